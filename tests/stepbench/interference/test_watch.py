"""Interference is separated from the work of the case, in real processes."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from stepbench.interference.watch import (
    MAX_OTHERS,
    MAX_STEAL,
    MAX_TRIES,
    MachineWatch,
    interferes,
    until_quiet,
)
from stepbench_reports.schema.machine_use import MachineUse

BURN = "while True: pass"


@contextmanager
def burning(count: int) -> Iterator[list[int]]:
    processes = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(count)]
    try:
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def watched(watch: MachineWatch, seconds: float) -> MachineUse:
    watch.begin()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return watch.end()


def test_a_process_that_uses_every_core_is_interference() -> None:
    watch = (
        MachineWatch()
    )  # made before the neighbours, as a case's is, so they do not belong to it
    cores = len(os.sched_getaffinity(0))
    with burning(cores):
        use = watched(watch, 1.0)
    assert use.others is not None
    assert use.others > MAX_OTHERS
    assert interferes(use)


def test_the_cpu_time_of_the_process_tree_counts_as_the_case_s() -> None:
    with burning(1) as (pid,):
        watch = MachineWatch()
        before = psutil.Process(pid).cpu_times().user
        use = watched(watch, 1.0)
        burned_s = psutil.Process(pid).cpu_times().user - before
    # The child's time is counted with the parent's, exactly.
    assert use.cpu_per_wall > burned_s * 0.9


def test_a_process_that_starts_later_counts_once_it_is_listed() -> None:
    watch = MachineWatch()
    with burning(1) as (pid,):
        watch.list_processes()
        before = psutil.Process(pid).cpu_times().user
        use = watched(watch, 1.0)
        burned_s = psutil.Process(pid).cpu_times().user - before
    assert use.cpu_per_wall > burned_s * 0.9


def test_a_process_of_the_tree_that_ends_is_no_error() -> None:
    with burning(1):
        watch = MachineWatch()
    assert watched(watch, 0.05).cpu_per_wall >= 0


class FakeWatch:
    def __init__(self, *quiet: bool) -> None:
        self.quiet = iter(quiet)

    def begin(self) -> None:
        pass

    def end(self) -> MachineUse:
        return machine_use(others=0.0 if next(self.quiet) else 1.0)


def test_a_short_measurement_is_repeated_until_the_machine_is_quiet() -> None:
    tries = iter(range(10))
    assert until_quiet(FakeWatch(False, False, True), lambda: next(tries)) == (2, True)
    tries = iter(range(10))
    noisy = FakeWatch(*[False] * 10)
    assert until_quiet(noisy, lambda: next(tries)) == (MAX_TRIES - 1, False)


def machine_use(**values: object) -> MachineUse:
    quiet = {
        "others": 0.0, "steal": 0.0, "pressure": 0.9, "cpu_per_wall": 2.0,
        "involuntary_switches": 500, "clock_hz": None, "throttled": None,
    }  # fmt: skip
    return MachineUse(**{**quiet, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "interference"),
    [
        ({}, False),  # the case's workers raise pressure and switches
        ({"others": None, "steal": None}, False),  # the system does not report them
        ({"others": MAX_OTHERS * 1.01}, True),
        ({"steal": MAX_STEAL * 1.01}, True),
        ({"throttled": "heat"}, True),
    ],
)
def test_the_rule_uses_the_work_of_others(values: dict[str, object], interference: bool) -> None:
    assert interferes(machine_use(**values)) is interference

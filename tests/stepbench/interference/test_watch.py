"""What disturbs a block is told from what the case does itself, in real processes."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from stepbench.interference.watch import (
    MOST_OTHERS,
    MOST_STEAL,
    MOST_TRIES,
    Disturbance,
    MachineWatch,
    undisturbed,
)

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


def watched(watch: MachineWatch, seconds: float) -> Disturbance:
    watch.begin()
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass
    return watch.end()


def test_a_neighbour_that_burns_every_core_is_noticed() -> None:
    watch = MachineWatch()  # made before the neighbours, as a case's is, so they are not its own
    cores = len(os.sched_getaffinity(0))
    with burning(cores):
        found = watched(watch, 1.0)
    assert found.others is not None
    assert found.others > MOST_OTHERS
    assert found.disturbed


def test_what_the_process_tree_burns_itself_is_its_own() -> None:
    with burning(1) as (pid,):
        watch = MachineWatch()
        before = psutil.Process(pid).cpu_times().user
        found = watched(watch, 1.0)
        burned_s = psutil.Process(pid).cpu_times().user - before
    # The child's time is counted with the parent's own, exactly.
    assert found.cpu_per_wall > burned_s * 0.9


def test_a_process_of_the_tree_that_ends_is_no_error() -> None:
    with burning(1):
        watch = MachineWatch()
    assert watched(watch, 0.05).cpu_per_wall >= 0


class FakeWatch:
    def __init__(self, *calm: bool) -> None:
        self.calm = iter(calm)

    def begin(self) -> None:
        pass

    def end(self) -> Disturbance:
        return disturbance(others=0.0 if next(self.calm) else 1.0)


def test_what_is_short_is_measured_again_until_it_went_undisturbed() -> None:
    tries = iter(range(10))
    assert undisturbed(FakeWatch(False, False, True), lambda: next(tries)) == (2, True)
    tries = iter(range(10))
    noisy = FakeWatch(*[False] * 10)
    assert undisturbed(noisy, lambda: next(tries)) == (MOST_TRIES - 1, False)


def disturbance(**values: object) -> Disturbance:
    calm = {
        "others": 0.0, "steal": 0.0, "pressure": 0.9, "cpu_per_wall": 2.0,
        "involuntary_switches": 500, "clock_hz": None, "throttled": None,
    }  # fmt: skip
    return Disturbance(**{**calm, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "disturbed"),
    [
        ({}, False),  # its own workers raise pressure and switches
        ({"others": None, "steal": None}, False),  # a system that does not tell
        ({"others": MOST_OTHERS * 1.01}, True),
        ({"steal": MOST_STEAL * 1.01}, True),
        ({"throttled": "heat"}, True),
    ],
)
def test_the_rule_looks_at_what_others_did(values: dict[str, object], disturbed: bool) -> None:
    assert disturbance(**values).disturbed is disturbed

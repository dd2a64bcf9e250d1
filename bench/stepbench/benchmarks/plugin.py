"""stepbench as a pytest plugin: the hooks, which call the runner.

`stepbench run` loads the plugin; the plugin never registers itself.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from stepbench.benchmarks.case_under_test import CaseUnderTest, uncaptured
from stepbench.benchmarks.session import stepbench_arguments
from stepbench.config.case import Case
from stepbench.config.option_definitions import FLAGS
from stepbench.config.options import read
from stepbench.errors import UsageError
from stepbench.runner.run import Runner
from stepbench_reports.schema import phases
from stepbench_reports.schema.phases import STEP

_RUN = pytest.StashKey[Runner]()
_MEASURING = {"test_phase", "test_profile"}
"""The tests that need a case's measurement."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds stepbench's options to pytest's."""
    group = parser.getgroup("stepbench")
    for flag in FLAGS:
        flag.add_to(group.addoption)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Reads the options and claims the run's directory, both without torch."""
    console = Console(file=sys.stdout, highlight=False)
    arguments = list(config.invocation_params.args)[len(stepbench_arguments()) :]
    with _converted_usage_errors():
        run = Runner(read(vars(config.option), Path.cwd()), arguments, console)
        if config.option.collectonly:
            run.list_only()
        else:
            run.claim()
            if config.option.benchmark_json is None:
                config.option.benchmark_json = str(run.directory.benchmark_json)
    config.stash[_RUN] = run
    tables = ("benchmark_verbose", "benchmark_compare", "benchmark_histogram")
    if not any(getattr(config.option, name, None) for name in tables):
        config.option.benchmark_quiet = True  # stepbench prints a table with a row per case


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Opens the run: starts the server, and checks workloads, data and devices."""
    config = session.config
    if config.option.collectonly:
        return
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # so that SIGTERM ends the run as Ctrl-C does, with a report
    run = config.stash[_RUN]
    with uncaptured(config), _converted_usage_errors():
        run.open()
        if config.option.verbose >= 0:
            run.print_header()
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if config.option.verbose <= 0 and reporter is not None:
        reporter.showfspath = False  # stepbench prints a line per finished case


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrizes a test by case, or by case and phase if the test has the argument `phase`."""
    run = metafunc.config.stash[_RUN]
    cases = [CaseUnderTest(case, run, metafunc.config) for case in run.cases]
    if "phase" not in metafunc.fixturenames:
        metafunc.parametrize("training_step", [pytest.param(case, id=case.id) for case in cases])
        return
    cases_and_phases = [
        pytest.param(case, phase, id=f"{case.id}-{phase}")
        for case in cases
        for phase in (*phases.phases_of(case.case.loop, case.case.device), STEP)
    ]
    metafunc.parametrize(("training_step", "phase"), cases_and_phases)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Drops tests that the options or the case's loop rule out, and groups the rest by case."""
    run = config.stash[_RUN]
    is_selected = {
        "test_phase": True,
        "test_parity": run.compares,
        "test_training_parity": run.compares_trainings,
        "test_profile": run.profiles,
    }
    order = {case: number for number, case in enumerate(run.cases)}
    selected = [
        item
        for item in items
        if is_selected[item.originalname]  # type: ignore[attr-defined]  # a Function
        and (_case(item).trains or item.originalname != "test_training_parity")  # type: ignore[attr-defined]  # a Function
    ]
    items[:] = sorted(selected, key=lambda item: order[_case(item)])


def pytest_report_collectionfinish(
    config: pytest.Config, items: list[pytest.Item]
) -> list[str] | None:
    """Passes the cases to measure to the run; lists the selected ones for `--collect-only`."""
    run = config.stash[_RUN]
    if not config.option.collectonly:
        measuring = [item for item in items if item.originalname in _MEASURING]  # type: ignore[attr-defined]  # a Function
        run.expect(list(dict.fromkeys(map(_case, measuring))))
        return None
    cases = list(dict.fromkeys(_case(item) for item in items))
    if config.option.verbose < 0:
        return None
    return [f"{len(cases)} cases:", *(f"  {case.id}" for case in cases)]


def _case(item: pytest.Item) -> Case:
    under_test: CaseUnderTest = item.callspec.params["training_step"]  # type: ignore[attr-defined]  # a Function
    return under_test.case


def pytest_report_teststatus(
    report: pytest.TestReport, config: pytest.Config
) -> tuple[str, str, str] | None:
    """Counts tests without printing letters: stepbench prints a line per finished case."""
    if config.option.verbose > 0 or (report.when != "call" and report.passed):
        return None
    return report.outcome, "", "" if report.passed else report.outcome.upper()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Writes the reports, also of an interrupted run, after pytest-benchmark writes its file."""
    run = session.config.stash[_RUN]
    if run.has_begun:
        with uncaptured(session.config):
            run.report(Path(session.config.option.benchmark_json))


def pytest_terminal_summary(config: pytest.Config) -> None:
    """Shows the table of cases."""
    run = config.stash[_RUN]
    if run.has_begun and config.option.verbose >= 0:
        run.show()


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """Removes the processor's current clock rate, which would make any two machines differ."""
    for name in ("hz_actual", "hz_actual_friendly"):
        machine_info.get("cpu", {}).pop(name, None)


def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """Adds the run's facts to each file that pytest-benchmark writes."""
    output_json["stepbench"] = msgspec.to_builtins(config.stash[_RUN].facts)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Ends the server with its children."""
    run = config.stash.get(_RUN, None)
    if run is not None:
        run.close()


@contextmanager
def _converted_usage_errors() -> Iterator[None]:
    """Converts `UsageError` to `pytest.UsageError`, which ends pytest with exit code 4."""
    try:
        yield
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None

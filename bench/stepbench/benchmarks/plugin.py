"""stepbench as a pytest plugin: the hooks, which call the runner.

`stepbench run` loads the plugin; the plugin never registers itself.
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pytest_benchmark.logger import PytestBenchmarkWarning

from stepbench.benchmarks.case_under_test import CaseUnderTest, uncaptured
from stepbench.benchmarks.pytest_files import refuse_unwritable_files
from stepbench.benchmarks.session import stepbench_arguments
from stepbench.config.case import Case
from stepbench.config.option_definitions import FLAGS
from stepbench.config.options import read
from stepbench.errors import UsageError
from stepbench.interruption import INTERRUPTED, signals_ignored
from stepbench.process.server import ServerGoneError
from stepbench.runner.cluster_run import make_runner
from stepbench.runner.progress import Task
from stepbench.runner.run import Runner
from stepbench_reports.errors import ReportError
from stepbench_reports.render.console import make_console
from stepbench_reports.schema import phases
from stepbench_reports.schema.paths import relative_path
from stepbench_reports.schema.phases import STEP
from stepbench_reports.schema.text import printable

_RUN = pytest.StashKey[Runner]()
_VERBOSITY = pytest.StashKey[int]()
"""The verbosity that was asked for: -1 with -q, 1 with -v."""
_MEASURING = {"test_phase", "test_profile"}
"""The tests that need a case's measurement."""
_TASKS = {
    "test_parity": Task.PARITY,
    "test_training_parity": Task.TRAINING_PARITY,
    "test_profile": Task.PROFILE,
}
"""The kind of task that a test performs."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds stepbench's options to pytest's."""
    group = parser.getgroup("stepbench")
    for flag in FLAGS:
        flag.add_to(group.addoption)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Reads the options and claims the run's directory, both without torch."""
    console = make_console(file=sys.stdout)
    arguments = list(config.invocation_params.args)[len(stepbench_arguments()) :]
    with _converted_usage_errors():
        refuse_unwritable_files(config)
        run = make_runner(read(vars(config.option), Path.cwd()), arguments, console)
        config.stash[_RUN] = run
        if config.option.collectonly:
            run.list_only()
        else:
            run.claim()
            if config.option.benchmark_json is None:
                config.option.benchmark_json = str(run.directory.benchmark_json)
    _silence_pytest(config)
    tables = ("benchmark_verbose", "benchmark_compare", "benchmark_histogram")
    if not any(getattr(config.option, name, None) for name in tables):
        config.option.benchmark_quiet = True  # stepbench prints a table with a row per case


def _silence_pytest(config: pytest.Config) -> None:
    """Leaves the terminal to stepbench, which prints a line per case; not with -v.

    pytest would print a header, for a failed case the failure of each of its phases, twice, and at
    the end the number of phases instead of cases.
    """
    option = config.option
    config.stash[_VERBOSITY] = option.verbose
    if option.verbose > 0:
        return
    option.verbose = -2
    if option.tbstyle == "auto":
        option.tbstyle = "no"
    if option.reportchars == "fE":
        option.reportchars = "N"
    # On a full disk, of which stepbench tells.
    config.addinivalue_line("filterwarnings", "ignore::pytest.PytestCacheWarning")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Opens the run: starts the server, and checks workloads, data and devices."""
    config = session.config
    if config.option.collectonly:
        return
    run = config.stash[_RUN]
    with uncaptured(config), _converted_usage_errors():
        try:
            run.open()
        except ServerGoneError as error:
            pytest.exit(str(error), returncode=pytest.ExitCode.TESTS_FAILED)
        if config.stash[_VERBOSITY] >= 0:
            run.print_header()
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if config.option.verbose <= 0 and reporter is not None:
        reporter.showfspath = False  # stepbench prints a line per finished case
        reporter._report_keyboardinterrupt = lambda: None  # `_Ending` says it
        config.pluginmanager.register(_Ending(run))


class _Ending:
    """Says why a run ends early; after Ctrl-C the closing line does.

    Args:
        run: The run.
    """

    def __init__(self, run: Runner) -> None:
        self._run = run

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Prints the message of `pytest.exit`."""
        if isinstance(excinfo.value, pytest.exit.Exception):
            self._run.print_error(excinfo.value.msg)


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
        tasks = {
            task: [_case(item) for item in items if item.originalname == test]  # type: ignore[attr-defined]  # a Function
            for test, task in _TASKS.items()
        }
        run.expect(list(dict.fromkeys(map(_case, measuring))), tasks)
        return None
    cases = list(dict.fromkeys(_case(item) for item in items))
    verbosity = config.stash[_VERBOSITY]
    if verbosity > 0:
        return None  # pytest lists the tests
    reporter = config.pluginmanager.getplugin("terminalreporter")
    reporter._printcollecteditems = lambda _: None  # the only way to keep pytest from it
    names = [case.id for case in cases]
    return names if verbosity < 0 else [f"{len(names)} cases:", *(f"  {name}" for name in names)]


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


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Writes the reports, also of an interrupted run, after pytest-benchmark writes its file.

    Temporary files are removed first, as they may be what filled the disk.
    """
    config = session.config
    run = config.stash[_RUN]
    if not run.has_begun:
        yield
        return
    run.remove_temporary()
    benchmark_json = Path(config.option.benchmark_json)
    try:
        with warnings.catch_warnings():  # stepbench's report says what an interrupted run lacks
            warnings.simplefilter("ignore", PytestBenchmarkWarning)
            yield
    except OSError as error:  # a full disk does not say which file it was
        unwritten = Path(error.filename or benchmark_json)
        if unwritten == benchmark_json:
            unwritten.unlink(missing_ok=True)  # cut off
        _report_unwritten(session, f"{unwritten}: cannot be written ({error.strerror})")
    try:
        with uncaptured(config), _interruptible(run):
            run.report(benchmark_json)
    except (OSError, ReportError) as error:
        _report_unwritten(session, str(error))


def _report_unwritten(session: pytest.Session, message: str) -> None:
    """Prints that a file of results is missing; the session then counts as failed."""
    run = session.config.stash[_RUN]
    with uncaptured(session.config):
        run.print_error(
            f"{message}; when there is space, write it with: stepbench report {run.directory.path}"
        )
    if session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(exitstatus: int, config: pytest.Config) -> None:
    """Shows the table of cases."""
    run = config.stash[_RUN]
    if run.has_begun and config.stash[_VERBOSITY] >= 0:
        with _interruptible(run):
            run.show(interrupted=exitstatus == INTERRUPTED)


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
        with signals_ignored():
            run.close()


@contextmanager
def _converted_usage_errors() -> Iterator[None]:
    """Converts `UsageError` to `pytest.UsageError`, which ends pytest with exit code 4."""
    try:
        yield
    except UsageError as error:
        raise pytest.UsageError(printable(str(error))) from None


@contextmanager
def _interruptible(run: Runner) -> Iterator[None]:
    """Ends pytest in order, without the rest of the reports, if a signal comes meanwhile."""
    try:
        yield
    except KeyboardInterrupt:
        path = relative_path(run.directory.path)
        reason = f"interrupted while reports were made; make them with: stepbench report {path}"
        pytest.exit(reason, returncode=INTERRUPTED)

"""stepbench as a pytest plugin: options, parameters, progress and reports.

The only file that knows pytest. It is loaded by `python -m bench` and never registers itself, so
that a user's own test suite does not see it.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench import phases
from bench.case import Case
from bench.case_result import CaseResult
from bench.child import ServerGoneError, Status
from bench.errors import UsageError
from bench.judgement import Verdict
from bench.measurement import Measurement
from bench.options import FLAGS, read
from bench.phases import STEP
from bench.run import Run
from bench.store import StoreError

_RUN = pytest.StashKey[Run]()
_EXPLAINED = pytest.StashKey[set[str]]()
"""The tracebacks that were shown."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds stepbench's options to pytest's."""
    group = parser.getgroup("stepbench")
    for flag in FLAGS:
        group.addoption(flag.name, dest=flag.destination, help=flag.help, **flag.arguments)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Reads the options and takes the run's directory; torch is not needed for either."""
    console = Console(file=sys.stdout, highlight=False)
    with _usage_errors():
        run = Run(read(vars(config.option), Path.cwd()), sys.argv[1:], console)
        if config.option.collectonly:
            run.list_only()
        else:
            run.claim()
            if config.option.benchmark_json is None:
                config.option.benchmark_json = str(run.directory.ledger)
    config.stash[_RUN] = run
    given = {"benchmark_verbose", "benchmark_compare", "benchmark_histogram"}
    if not any(getattr(config.option, name, None) for name in given):
        config.option.benchmark_quiet = True  # stepbench's own table has a row a case


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Opens the run: from here on there is a fork server, and what was asked for has been tried."""
    config = session.config
    if config.option.collectonly:
        return
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # so that it ends as Ctrl-C does, with a report
    run = config.stash[_RUN]
    with _uncaptured(config), _usage_errors():
        run.open()
        if config.option.verbose >= 0:
            run.introduce()
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if config.option.verbose <= 0 and reporter is not None:
        reporter.showfspath = False  # a finished case has a line of its own


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Makes a test of each phase of each case, and of its parity."""
    run = metafunc.config.stash[_RUN]
    steps = {case: Step(case, run, metafunc.config) for case in run.cases}
    if "phase" not in metafunc.fixturenames:
        metafunc.parametrize(
            "training_step", [pytest.param(step, id=case.id) for case, step in steps.items()]
        )
        return
    of_phases = [
        pytest.param(step, phase, id=f"{case.id}-{phase}")
        for case, step in steps.items()
        for phase in (*phases.of(case.loop, case.device), STEP)
    ]
    metafunc.parametrize(("training_step", "phase"), of_phases)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is not to be compared, and brings together what belongs to one case."""
    run = config.stash[_RUN]
    wanted = {
        "test_phase": True,
        "test_parity": run.compares,
        "test_training_parity": run.compares_trainings,
        "test_profile": run.profiles,
    }
    order = {case: number for number, case in enumerate(run.cases)}
    kept = [
        item
        for item in items
        if wanted[item.originalname]  # type: ignore[attr-defined]  # a Function
        and (_case(item).trains or item.originalname != "test_training_parity")  # type: ignore[attr-defined]  # likewise
    ]
    items[:] = sorted(kept, key=lambda item: order[_case(item)])


def pytest_report_collectionfinish(
    config: pytest.Config, items: list[pytest.Item]
) -> list[str] | None:
    """Tells the run which cases to expect; lists them for `--collect-only`."""
    run = config.stash[_RUN]
    cases = list(dict.fromkeys(_case(item) for item in items))
    if not config.option.collectonly:
        run.expect(cases)
        return None
    if config.option.verbose < 0:
        return None
    return [f"{len(cases)} cases:", *(f"  {case.id}" for case in cases)]


def _case(item: pytest.Item) -> Case:
    step: Step = item.callspec.params["training_step"]  # type: ignore[attr-defined]  # a Function
    return step.case


@dataclass(frozen=True)
class Step:
    """A case, as a test sees it."""

    case: Case
    run: Run
    config: pytest.Config

    def measurement(self) -> Measurement:
        """The case's measurement; fails or skips the test where there is none."""
        with self._at_work():
            measurement = self.run.measure(self.case)
        self._require(measurement)
        return measurement

    def _require(self, ended: Measurement | CaseResult) -> None:
        """Fails or skips the test where something came to no good end."""
        if ended.status is Status.OK:
            return
        told = f"{self.case.id}: {ended.status}: {ended.reason}"
        if ended.status is Status.UNSUPPORTED and not self.run.asked_by_name(ended.axis):
            pytest.skip(told)
        explained = self.config.stash.setdefault(_EXPLAINED, set())
        if ended.detail and ended.detail not in explained:  # once is enough for its phases
            told += f"\n\n{ended.detail}"
            explained.add(ended.detail)
        pytest.fail(told, pytrace=False)

    def _skip_unmeasured(self) -> None:
        """What could not be measured is not judged either: the failure is told once."""
        measured = self.run.measured(self.case)
        if measured is not None and measured.status is not Status.OK:
            pytest.skip(f"{self.case.id}: was not measured ({measured.status})")

    def assert_parity(self) -> None:
        """Fails the test where the case departs, and skips it where that cannot be told."""
        self._skip_unmeasured()
        with self._at_work():
            judged = self.run.judge(self.case)
        self._require(judged)
        reason = f"{self.case.id}: {(judged.judgement or {}).get('reason')}"
        if judged.verdict is Verdict.UNDECIDED:
            pytest.skip(reason)
        if judged.verdict is not Verdict.PASS:
            pytest.fail(reason, pytrace=False)

    def assert_profile(self) -> None:
        """Fails the test where the case could not be profiled."""
        with self._at_work():
            measured = self.run.measure(self.case)
        if measured.status is not Status.OK:
            pytest.skip(f"{self.case.id}: was not measured ({measured.status})")
        with self._at_work():
            profiled = self.run.profile(self.case)
        self._require(profiled)

    def assert_training_parity(self) -> None:
        """Fails the test where the case trains to another accuracy; skips where it is not known."""
        self._skip_unmeasured()
        with self._at_work():
            judged = self.run.judge_training(self.case)
        self._require(judged)
        if judged.verdict in {"equivalent", "twin"}:
            return
        told = f"{self.case.id}: {judged.verdict}: {judged.sentence}"
        if judged.verdict == "different":
            pytest.fail(told, pytrace=False)
        pytest.skip(told)

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        try:
            with _uncaptured(self.config):
                yield
        except (StoreError, ServerGoneError) as error:
            pytest.exit(str(error), returncode=pytest.ExitCode.TESTS_FAILED)


def pytest_report_teststatus(
    report: pytest.TestReport, config: pytest.Config
) -> tuple[str, str, str] | None:
    """Counts tests and prints no letters: a finished case has a line of its own."""
    if config.option.verbose > 0 or (report.when != "call" and report.passed):
        return None
    return report.outcome, "", "" if report.passed else report.outcome.upper()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Writes the reports, also of a run that was cut off; pytest-benchmark has written by now."""
    run = session.config.stash[_RUN]
    if run.has_begun:
        with _uncaptured(session.config):
            run.report(Path(session.config.option.benchmark_json))


def pytest_terminal_summary(config: pytest.Config) -> None:
    """Shows the table of cases."""
    run = config.stash[_RUN]
    if run.has_begun and config.option.verbose >= 0:
        run.show()


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """Drops the processor's momentary clock, by which no two machines would be alike."""
    for name in ("hz_actual", "hz_actual_friendly"):
        machine_info.get("cpu", {}).pop(name, None)


def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """Adds the run's own facts. Called once for each file that pytest-benchmark writes."""
    output_json["stepbench"] = config.stash[_RUN].facts


def pytest_unconfigure(config: pytest.Config) -> None:
    """Ends the fork server."""
    run = config.stash.get(_RUN, None)
    if run is not None:
        run.close()


@contextmanager
def _usage_errors() -> Iterator[None]:
    """Ends the run as pytest ends one that was asked for wrongly: with exit code 4."""
    try:
        yield
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def _uncaptured(config: pytest.Config) -> AbstractContextManager[None]:
    """Lets what is printed reach the terminal."""
    manager = config.pluginmanager.getplugin("capturemanager")
    context: AbstractContextManager[None] = manager.global_and_fixture_disabled()
    return context

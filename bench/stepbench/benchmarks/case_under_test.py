"""A case for the benchmarks' tests: measures, compares and profiles; fails or skips a test."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import pytest

from stepbench.config.case import Case
from stepbench.process.server import ServerGoneError
from stepbench.results.writing import StoreError
from stepbench.runner.equivalence import difference_sentence
from stepbench.runner.run import Runner
from stepbench_reports.schema.parity import ParityVerdict, TrainingVerdict
from stepbench_reports.schema.results import CaseRecord, MeasurementRecord
from stepbench_reports.schema.status import Status
from stepbench_reports.schema.text import printable

_SHOWN_TRACEBACKS = pytest.StashKey[set[str]]()
"""The tracebacks that were already shown."""


@dataclass(frozen=True)
class CaseUnderTest:
    """A case, with the methods that a test calls.

    Attributes:
        case: The case.
        run: The run that the case belongs to.
        config: pytest's configuration.
    """

    case: Case
    run: Runner
    config: pytest.Config

    @property
    def id(self) -> str:
        """The case's id."""
        return self.case.id

    def measurement(self) -> MeasurementRecord:
        """The case's measurement; fails or skips the test if measuring failed."""
        with self._running():
            measurement = self.run.measure(self.case)
        self._require(measurement)
        return measurement

    def _require(self, result: CaseRecord) -> None:
        """Fails the test on failure; skips it for an unsupported value that no option gave."""
        if result.status is Status.OK:
            return
        message = f"{self.id}: {result.status}: {result.reason}"
        if result.status is Status.UNSUPPORTED and not self.run.is_given(result.axis):
            pytest.skip(printable(message))
        shown = self.config.stash.setdefault(_SHOWN_TRACEBACKS, set())
        if result.detail and result.detail not in shown:  # shown once, not for each phase
            message += f"\n\n{result.detail}"
            shown.add(result.detail)
        pytest.fail(printable(message), pytrace=False)

    def _skip_unmeasured(self) -> None:
        """Skips the test if measuring failed; the test of a phase reports that failure."""
        measured = self.run.measured(self.case)
        if measured is not None and measured.status is not Status.OK:
            pytest.skip(f"{self.id}: was not measured ({measured.status})")

    def assert_parity(self) -> None:
        """Fails the test if tensors are out of tolerance; skips the test if undecided."""
        self._skip_unmeasured()
        with self._running():
            judged = self.run.judge(self.case)
        self._require(judged)
        judgement = judged.judgement
        verdict = None if judgement is None else judgement.verdict
        reason = f"{self.id}: {None if judgement is None else judgement.reason}"
        if verdict is ParityVerdict.UNDECIDED:
            pytest.skip(printable(reason))
        if verdict is not ParityVerdict.PASS:
            pytest.fail(printable(reason), pytrace=False)

    def assert_profile(self) -> None:
        """Fails the test if profiling failed; skips the test if measuring failed."""
        with self._running():
            measured = self.run.measure(self.case)
        if measured.status is not Status.OK:
            pytest.skip(f"{self.id}: was not measured ({measured.status})")
        with self._running():
            profiled = self.run.profile(self.case)
        self._require(profiled)

    def assert_training_parity(self) -> None:
        """Fails the test if the trained accuracy differs; skips the test if undecided."""
        self._skip_unmeasured()
        with self._running():
            judged = self.run.judge_training(self.case)
        self._require(judged)
        verdict = judged.facts.verdict
        if verdict in {TrainingVerdict.EQUIVALENT, TrainingVerdict.EAGER_FP32}:
            return
        message = f"{self.id}: {verdict}: {difference_sentence(judged.facts)}"
        if verdict is TrainingVerdict.DIFFERENT:
            pytest.fail(printable(message), pytrace=False)
        pytest.skip(printable(message))

    @contextmanager
    def _running(self) -> Iterator[None]:
        try:
            with uncaptured(self.config):
                yield
        except (StoreError, ServerGoneError) as error:
            pytest.exit(printable(str(error)), returncode=pytest.ExitCode.TESTS_FAILED)


def uncaptured(config: pytest.Config) -> AbstractContextManager[None]:
    """Lets output reach the terminal while the context lasts."""
    manager = config.pluginmanager.getplugin("capturemanager")
    context: AbstractContextManager[None] = manager.global_and_fixture_disabled()
    return context

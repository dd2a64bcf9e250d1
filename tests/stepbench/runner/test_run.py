import io
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from stepbench.config import options
from stepbench.config.case import Case
from stepbench.process.job import Outcome
from stepbench.runner import outcomes
from stepbench.runner.run import Runner
from stepbench_reports.schema.results import MeasurementRecord
from stepbench_reports.schema.status import Status

A, B, C = (Case(workload="net", batch_size=size) for size in (1, 2, 4))


class Measurer:
    """Measures groups at once, and keeps their cases."""

    def __init__(self) -> None:
        self.groups: list[list[Case]] = []
        self._measured: dict[Case, MeasurementRecord] = {}

    def measured(self, case: Case) -> MeasurementRecord | None:
        return self._measured.get(case)

    def measure(self, cases: Sequence[Case]) -> Iterator[tuple[Case, MeasurementRecord]]:
        self.groups.append(list(cases))
        for case in cases:
            self._measured[case] = outcomes.case_measurement(case, Outcome(Status.CRASHED))
            yield case, self._measured[case]


@pytest.fixture
def measurer() -> Measurer:
    return Measurer()


def runner(measurer: Measurer, logged: list[Case], *, one_at_a_time: bool = False) -> Runner:
    """A runner whose measurer has no processes."""
    given: dict[str, Any] = {"stepbench_one_at_a_time": True} if one_at_a_time else {}
    made = Runner(options.read(given, Path()), [], Console(file=io.StringIO()))
    opened: Any = SimpleNamespace(
        measurer=measurer,
        recovery=SimpleNamespace(run=lambda work: work()),
        log=SimpleNamespace(add_measurement=lambda case, _: logged.append(case)),
        judge=SimpleNamespace(finished=lambda _: set()),
    )
    made._open = opened
    return made


def test_the_first_call_measures_all_expected_cases_and_later_ones_return(
    measurer: Measurer,
) -> None:
    logged: list[Case] = []
    made = runner(measurer, logged)
    made.expect([A, B, C])
    records = [made.measure(case) for case in (B, A, C)]
    assert measurer.groups == [[A, B, C]]
    assert logged == [A, B, C]
    assert [record.id for record in records] == [B.id, A.id, C.id]


def test_a_case_that_was_not_expected_is_measured_all_the_same(measurer: Measurer) -> None:
    made = runner(measurer, [])
    made.measure(A)
    made.expect([A, B])
    made.measure(C)
    assert measurer.groups == [[A], [B, C]]


def test_one_at_a_time_measures_each_case_by_itself(measurer: Measurer) -> None:
    made = runner(measurer, [], one_at_a_time=True)
    made.expect([A, B])
    made.measure(A)
    made.measure(B)
    made.measure(A)
    assert measurer.groups == [[A], [B]]


def test_the_line_is_for_the_group(measurer: Measurer, monkeypatch: pytest.MonkeyPatch) -> None:
    made = runner(measurer, [])
    made.expect([A, B])
    shown: list[list[Case]] = []

    def measuring(cases: list[Case]) -> Any:
        shown.append(cases)
        return nullcontext()

    monkeypatch.setattr(made.progress, "measuring", measuring)
    made.measure(A)
    assert shown == [[A, B]]


def test_a_selection_of_cases_says_how_long_they_take(measurer: Measurer) -> None:
    made = runner(measurer, [])
    made.cases = (A, B, C)
    lines: list[str] = []
    log: Any = made._opened.log
    log.add_line = lines.append
    made.expect([A, B, C])
    assert lines == []
    made.expect([A, B])
    assert lines == [
        "selected 2 of 3 cases: about 54 s; --steps 20 takes about 18 s, without intervals"
    ]

from pathlib import Path

import pytest

from stepbench_reports.regression import culprit
from stepbench_reports.regression.decision import Decision, decide
from stepbench_reports.regression.headline import headline
from stepbench_reports.regression.screening import Row
from stepbench_reports.schema.check import PairLine, Stage
from support import synthetic_check as made


def decided(path: Path, slower: dict[str, float]) -> Decision:
    """A whole check of a case whose phases are slower by shares of the step."""

    def pair(number: int, change: float) -> PairLine:
        stage: Stage = "screen" if number <= 6 else "confirm"
        changes = {phase: share + change for phase, share in slower.items()}
        return made.entry(number, changes, stage=stage)

    noise = made.noise(30, 0.002)
    return decide(made.write(path, [pair(n, change) for n, change in enumerate(noise, start=1)]))


def test_the_headline_names_case_phase_and_share(tmp_path: Path) -> None:
    decision = decided(tmp_path, {"forward": 1.0, "backward": 0.04})
    line = headline(decision)
    assert line.startswith(f"Regression: {made.CASE} is ")
    assert line.endswith("slower, 96 % of it in forward.")
    assert "backward" not in line


def test_what_is_small_beside_the_culprit_follows_from_it(tmp_path: Path) -> None:
    decision = decided(tmp_path, {"forward": 1.0, "backward": 0.06})
    assert culprit.following(decision) == {Row(made.CASE, "backward"): "forward"}


def test_two_slower_phases_are_both_findings(tmp_path: Path) -> None:
    decision = decided(tmp_path, {"forward": 0.1, "backward": 0.08, "dataload": 0.07})
    assert culprit.following(decision) == {}
    assert headline(decision).endswith("slower, 40 % of it in forward, 32 % in backward.")


def test_a_faster_phase_leaves_no_share_above_all(tmp_path: Path) -> None:
    decision = decided(tmp_path, {"forward": 0.2, "dataload": -0.1})
    ((phase, share),) = culprit.culprits(decision)[0].phases
    assert phase == "forward"
    assert share == pytest.approx(1.0)


def test_a_phase_that_did_not_grow_clearly_is_not_named(tmp_path: Path) -> None:
    even = dict.fromkeys(("dataload", "forward", "backward"), 0.011)
    decision = decided(tmp_path, even)
    assert decision.regressions[0].row.what == "step"
    assert [c.phases for c in culprit.culprits(decision)] == [()]
    assert " of it in " not in headline(decision)


def test_the_suite_has_no_culprit(tmp_path: Path) -> None:
    pairs = [
        pair
        for case in (made.CASE, made.OTHER)
        for pair in (
            *made.entries(6, 0.2, case=case),
            *made.entries(24, 0.2, first=7, case=case, stage="confirm"),
        )
    ]
    decision = decide(made.write(tmp_path, pairs, cases=(made.CASE, made.OTHER)))
    assert {c.case for c in culprit.culprits(decision)} == {made.CASE, made.OTHER}
    assert "1 more case is slower" in headline(decision)
    assert "geometric mean" not in headline(decision)

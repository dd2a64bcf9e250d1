"""What check.py's stages have left in its directory: runs, a regression check, figures by hand."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

from stages import OUTCOMES, REFERENCE, STAGES

import stepbench_reports
from stepbench_reports import regression
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run


class Missing(Exception):  # noqa: N818  # no error: the figure was not measured
    """A figure was not measured; the message says why."""


class Record:
    """Reads results when they are asked for.

    Args:
        directory: The directory of check.py.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._runs: dict[str, Run] = {}

    def run(self, result: str) -> Run:
        """The run in a directory.

        Raises:
            Missing: The stage wrote no run.
        """
        if result not in self._runs:
            path = self._existing(result, result, "run.json")
            self._runs[result] = stepbench_reports.load(path)
        return self._runs[result]

    def case(self, result: str, **axes: object) -> Measurement:
        """The only case of a run with these values on these axes.

        Raises:
            Missing: No case has these values, or several cases have.
        """
        run = self.run(result)
        matches = [m for m in run.measurements if axes.items() <= m.axes.items()]
        if len(matches) != 1:
            wanted = ", ".join(f"{name} {value}" for name, value in axes.items())
            problems = "; ".join(run.problems) or self._outcome(result)
            raise Missing(f"{len(matches)} cases have {wanted or 'a record'}, not 1: {problems}")
        return matches[0]

    def measured(self, result: str, **axes: object) -> Measurement:
        """The only measured case of a run with these values on these axes.

        Raises:
            Missing: There is no such case, or the case was not measured.
        """
        match = self.case(result, **axes)
        if not match.ok:
            raise Missing(f"{match.id} is {match.status}: {match.reason}")
        return match

    @cached_property
    def _check(self) -> regression.Check:
        return regression.load(self._existing("check", "check", "check.json"))

    def check(self) -> regression.Check:
        """The regression check.

        Raises:
            Missing: The stage wrote none.
        """
        return self._check

    @cached_property
    def _reference(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self._existing(REFERENCE, REFERENCE).read_text())
        return content

    def by_hand(self, *path: str) -> float:
        """A figure by hand, at a path in reference.json.

        Raises:
            Missing: The reference has no such figure.
        """
        value: Any = self._reference
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if not isinstance(value, (int, float)):
            reason = self._reference.get("errors", {}).get(path[0]) or self._outcome(REFERENCE)
            raise Missing(f"no {' '.join(path)} by hand: {reason}")
        return float(value)

    def _existing(self, result: str, *parts: str) -> Path:
        if not self._directory.joinpath(*parts).exists():
            raise Missing(self._outcome(result))
        return self._directory / parts[0]

    def _outcome(self, result: str) -> str:
        """How the stage that writes a result ended, from stages.json."""
        stage = next(stage.name for stage in STAGES if stage.result == result)
        path = self._directory / OUTCOMES
        ended = json.loads(path.read_text()) if path.exists() else {}
        return f"the stage {stage} {ended.get(stage, {}).get('outcome', 'was not run')}"

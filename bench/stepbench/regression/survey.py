"""The survey of both sides before anything is measured, and the check's specification."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from stepbench import machine
from stepbench.config.axes import EVERY_DEVICE
from stepbench.config.case import Case
from stepbench.errors import UsageError
from stepbench.regression.comparison import Comparison
from stepbench.regression.facts import FactFinder
from stepbench.regression.pair import Survey
from stepbench.regression.progress import CheckProgress
from stepbench_reports.schema.check import SCHEMA, SIDES, CaseReason, CheckSpec, SideName
from stepbench_reports.schema.machine import Packages

_SAME = ("cases", "smallest", "turns", "settings", "fingerprint", "machine", "directory")
_SAME_OF_SIDE = ("commit", "packages")


@dataclass(frozen=True)
class SurveyResult:
    """The result of surveying both sides.

    Attributes:
        cases: The cases of the matrix on the devices present.
        surveys: The survey of each side.
        problems: The reasons why a side cannot run cases, by side and case.
    """

    cases: tuple[Case, ...]
    surveys: Mapping[SideName, Survey]
    problems: Mapping[SideName, Mapping[str, str]]

    @property
    def comparable(self) -> tuple[Case, ...]:
        """The cases that both sides can run."""
        return tuple(
            case for case in self.cases if not any(case.id in self.problems[side] for side in SIDES)
        )


def survey(comparison: Comparison, finder: FactFinder, progress: CheckProgress) -> SurveyResult:
    """Tries the workloads and data of both sides.

    Raises:
        UsageError: Neither side can run any case.
    """
    matrix = comparison.options.run.matrix
    surveys: dict[SideName, Survey] = {
        side: _surveyed(side, matrix.cases, finder, progress) for side in reversed(SIDES)
    }
    # A case that head alone cannot run is tried once more: a download may have failed.
    doubtful = [c for c in matrix.cases if c.id in {*surveys["head"].problems}]
    doubtful = [case for case in doubtful if case.id not in surveys["base"].problems]
    if doubtful:
        again = _surveyed("head", tuple(doubtful), finder, progress)
        mended = {case.id for case in doubtful} - set(again.problems)
        problems = {k: v for k, v in surveys["head"].problems.items() if k not in mended}
        surveys["head"] = replace(surveys["head"], problems=problems)
    devices = {**surveys["base"].devices, **surveys["head"].devices}
    cases = matrix.on(devices).cases
    problems_of = {
        side: {case.id: why for case in cases if (why := _problem(survey, case)) is not None}
        for side, survey in surveys.items()
    }
    if all(case.id in problems_of[side] for case in cases for side in SIDES):
        raise UsageError(problems_of["head"][cases[0].id])
    return SurveyResult(cases, surveys, problems_of)


def _surveyed(
    side: SideName, cases: Sequence[Case], finder: FactFinder, progress: CheckProgress
) -> Survey:
    """Surveys a side: all cases in one process, or case by case if that process failed."""
    progress.at(side)
    progress.doing("importing torch")
    whole = finder.survey(side, cases, progress.doing)
    if isinstance(whole, Survey):
        return whole
    parts = {case.id: finder.survey(side, (case,), progress.doing) for case in cases}
    surveys = [part for part in parts.values() if isinstance(part, Survey)]
    died = {name: part for name, part in parts.items() if not isinstance(part, Survey)}
    return Survey(
        devices={name: model for part in surveys for name, model in part.devices.items()},
        problems={**{k: v for part in surveys for k, v in part.problems.items()}, **died},
        packages=tuple(sorted({name for part in surveys for name in part.packages})),
        modules=sum(part.modules for part in surveys),
        foreign=tuple(sorted({name for part in surveys for name in part.foreign})),
    )


def _problem(survey: Survey, case: Case) -> str | None:
    """The reason why a side cannot run a case, or `None`.

    Surveys name the device as the matrix does, such as `all`.
    """
    anywhere = case.changed(device=EVERY_DEVICE).id
    return survey.problems.get(case.id) or survey.problems.get(anywhere)


def check_spec(
    comparison: Comparison,
    surveyed: SurveyResult,
    arguments: Sequence[str],
    base_packages: Packages | None,
) -> CheckSpec:
    """Makes the content of `check.json`.

    Args:
        comparison: Both sides, the cases and the directory.
        surveyed: The surveys of both sides.
        arguments: The command line, for the record.
        base_packages: Base's packages; `None` if both sides share an environment.
    """
    options, problems = comparison.options, surveyed.problems
    here = machine.packages()
    packages: dict[SideName, Packages] = {"base": base_packages or here, "head": here}
    return CheckSpec(
        schema=SCHEMA,
        id=comparison.directory.path.name,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        command=shlex.join(["stepbench", "regression", *arguments]),
        arguments=tuple(arguments),
        directory=str(Path.cwd()),
        stepbench=metadata.version("stepbench"),
        machine=machine.machine(),
        devices=dict(surveyed.surveys["head"].devices),
        sides={side: comparison.sides[side].facts(packages[side]) for side in SIDES},
        fingerprint=comparison.sides.fingerprint,
        environments=comparison.sides.environments,
        notes=comparison.sides.notes,
        smallest=options.smallest,
        turns=options.turns,
        settings=options.run.settings,
        axes={case.id: case for case in surveyed.cases},
        cases=tuple(case.id for case in surveyed.comparable),
        failing=tuple(
            CaseReason(case=case.id, reason=problems["head"][case.id])
            for case in surveyed.cases
            if case.id in problems["head"] and case.id not in problems["base"]
        ),
        unmeasured=tuple(
            CaseReason(case=case.id, reason=_of_base(problems["base"][case.id]))
            for case in surveyed.cases
            if case.id in problems["base"]
        ),
    )


def _of_base(problem: str) -> str:
    """The reason why base cannot run a case, with a remedy if ignored files may be missing."""
    missing = "FileNotFoundError" in problem or "No such file" in problem
    hint = "; files that git ignores and both sides need are shared with --share" if missing else ""
    return f"base: {problem}{hint}"


def refuse_another(path: Path, stored: CheckSpec, spec: CheckSpec) -> None:
    """Refuses to resume a check whose specification has changed.

    Args:
        path: The check's directory.
        stored: The specification from the check's beginning.
        spec: The specification of this invocation.

    Raises:
        UsageError: The specifications differ.
    """
    differing = [name for name in _SAME if getattr(stored, name) != getattr(spec, name)]
    differing += [
        f"{side}'s {name}"
        for side in SIDES
        for name in _SAME_OF_SIDE
        if getattr(stored.sides[side], name) != getattr(spec.sides[side], name)
    ]
    if "directory" in differing:
        raise UsageError(f"--resume {path}: it was begun in {stored.directory}; resume it there")
    if "fingerprint" in differing:
        raise UsageError(f"--resume {path}: head's files have changed since; begin a new check")
    if differing:
        raise UsageError(
            f"--resume {path}: it was another check ({', '.join(differing)} differ); "
            f"begin a new one"
        )


def fatal(comparison: Comparison, surveyed: SurveyResult) -> str | None:
    """The reason why nothing can be compared; `None` if something can."""
    for side in SIDES:
        if surveyed.surveys[side].foreign:
            return not_its_own(side, surveyed.surveys[side].foreign)
    if comparison.sides.same_files:
        return None
    if surveyed.comparable and not any(surveyed.surveys[side].modules for side in SIDES):
        return (
            "the workload uses no file of this repository, so that base and head are the same "
            "code; run the check in the repository that holds what has changed"
        )
    if all(case.id in surveyed.problems["base"] for case in surveyed.cases):
        return "there is no case that base can run"
    return None


def not_its_own(side: str, modules: Sequence[str]) -> str:
    """The message for a side that has loaded files from outside its tree, or installed copies."""
    return (
        f"{side} would run code that is not its own: {'; '.join(modules[:3])}, and be compared "
        f"with itself; install the repository's packages in editable mode, or not at all, and run "
        f"the check where their sources lie"
    )

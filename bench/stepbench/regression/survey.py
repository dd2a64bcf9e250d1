"""The survey of both sides before anything is measured, and the check's specification."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from stepbench import machine
from stepbench.config.axes import EVERY_DEVICE
from stepbench.config.case import Case
from stepbench.errors import UsageError
from stepbench.regression.comparison import Comparison
from stepbench.regression.facts import FactFinder
from stepbench.regression.progress import CheckProgress
from stepbench.regression.side_requests import Survey
from stepbench_reports.schema.check import SCHEMA, SIDES, CaseReason, CheckSpec, MinEffect, SideName
from stepbench_reports.schema.machine import Packages
from stepbench_reports.schema.phases import STEP, Phase

_UNCHANGED = (
    "cases",
    "min_effect",
    "min_effects",
    "turns",
    "settings",
    "fingerprint",
    "machine",
    "directory",
)
_UNCHANGED_OF_SIDE = ("commit", "packages")


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
        side: _survey_side(side, matrix.cases, finder, progress) for side in reversed(SIDES)
    }
    # A case that head alone cannot run is tried once more: a download may have failed.
    retried = [
        case
        for case in matrix.cases
        if case.id in surveys["head"].problems and case.id not in surveys["base"].problems
    ]
    if retried:
        retry = _survey_side("head", tuple(retried), finder, progress)
        recovered = {case.id for case in retried} - set(retry.problems)
        problems = {
            case: reason
            for case, reason in surveys["head"].problems.items()
            if case not in recovered
        }
        surveys["head"] = replace(surveys["head"], problems=problems)
    devices = {**surveys["base"].devices, **surveys["head"].devices}
    cases = matrix.on(devices).cases
    problems_by_side = {
        side: {case.id: reason for case in cases if (reason := _problem(survey, case)) is not None}
        for side, survey in surveys.items()
    }
    if all(case.id in problems_by_side[side] for case in cases for side in SIDES):
        raise UsageError(problems_by_side["head"][cases[0].id])
    return SurveyResult(cases, surveys, problems_by_side)


def _survey_side(
    side: SideName, cases: Sequence[Case], finder: FactFinder, progress: CheckProgress
) -> Survey:
    """Surveys a side: all cases in one process, or case by case if that process failed."""
    progress.set_prefix(side)
    progress.show_activity("importing torch")
    survey = finder.survey(side, cases, progress.show_activity)
    if isinstance(survey, Survey):
        return survey
    by_case = {case.id: finder.survey(side, (case,), progress.show_activity) for case in cases}
    surveys = [survey for survey in by_case.values() if isinstance(survey, Survey)]
    problems = {case: reason for case, reason in by_case.items() if isinstance(reason, str)}
    for survey in surveys:
        problems |= survey.problems
    return Survey(
        devices={name: model for survey in surveys for name, model in survey.devices.items()},
        problems=problems,
        packages=tuple(sorted({name for survey in surveys for name in survey.packages})),
        modules=sum(survey.modules for survey in surveys),
        foreign=tuple(sorted({name for survey in surveys for name in survey.foreign})),
    )


def _problem(survey: Survey, case: Case) -> str | None:
    """The reason why a side cannot run a case, or `None`.

    Surveys name the device as the matrix does, such as `all`.
    """
    on_all_devices = case.changed(device=EVERY_DEVICE).id
    return survey.problems.get(case.id) or survey.problems.get(on_all_devices)


def check_spec(
    comparison: Comparison,
    result: SurveyResult,
    arguments: Sequence[str],
    base_packages: Packages | None,
) -> CheckSpec:
    """Makes the content of `check.json`.

    Args:
        comparison: Both sides, the cases and the directory.
        result: The surveys of both sides.
        arguments: The command line, for the record.
        base_packages: Base's packages; `None` if both sides share an environment.
    """
    options, problems = comparison.options, result.problems
    head_packages = machine.packages()
    packages: dict[SideName, Packages] = {
        "base": base_packages or head_packages,
        "head": head_packages,
    }
    return CheckSpec(
        schema=SCHEMA,
        id=comparison.directory.path.name,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        command=shlex.join(["stepbench", "regression", *arguments]),
        arguments=tuple(arguments),
        directory=str(Path.cwd()),
        stepbench=machine.own_version(),
        machine=machine.machine_facts(),
        devices=dict(result.surveys["head"].devices),
        sides={side: comparison.sides[side].facts(packages[side]) for side in SIDES},
        fingerprint=comparison.sides.fingerprint,
        environments=comparison.sides.two_environments,
        notes=comparison.sides.notes,
        min_effect=options.min_effect,
        min_effects=options.min_effects,
        turns=options.turns,
        strict=options.strict,
        settings=options.run.settings,
        axes={case.id: case for case in result.cases},
        cases=tuple(case.id for case in result.comparable),
        failing=tuple(
            CaseReason(case=case.id, reason=problems["head"][case.id])
            for case in result.cases
            if case.id in problems["head"] and case.id not in problems["base"]
        ),
        unmeasured=tuple(
            CaseReason(case=case.id, reason=_base_reason(problems["base"][case.id]))
            for case in result.cases
            if case.id in problems["base"]
        ),
    )


def refuse_unfit_effects(effects: Sequence[MinEffect], cases: Sequence[Case]) -> None:
    """Refuses a smallest effect whose rows are neither a step or phase nor those of a case.

    Raises:
        UsageError: There is such an effect.
    """
    for effect in effects:
        rows = effect.rows
        if rows not in {STEP, *Phase} and not any(fnmatchcase(case.id, rows) for case in cases):
            raise UsageError(
                f"--min-effect {rows}={effect.share * 100:g}%: {rows} is no phase and fits no "
                f"case; give step, {', '.join(Phase)}, or a case such as {cases[0].id}, where * "
                f"stands for anything"
            )


def _base_reason(problem: str) -> str:
    """The reason why base cannot run a case, with a remedy if ignored files may be missing."""
    missing = "FileNotFoundError" in problem or "No such file" in problem
    hint = "; share files that git ignores and both sides need with --share" if missing else ""
    return f"base: {problem}{hint}"


def refuse_changed_spec(path: Path, stored: CheckSpec, spec: CheckSpec) -> None:
    """Refuses to resume a check whose specification has changed.

    Args:
        path: The check's directory.
        stored: The specification from the check's beginning.
        spec: The specification of this invocation.

    Raises:
        UsageError: The specifications differ.
    """
    differing = [name for name in _UNCHANGED if getattr(stored, name) != getattr(spec, name)]
    differing += [
        f"{side}'s {name}"
        for side in SIDES
        for name in _UNCHANGED_OF_SIDE
        if getattr(stored.sides[side], name) != getattr(spec.sides[side], name)
    ]
    if "directory" in differing:
        raise UsageError(f"--resume {path}: was started in {stored.directory}; resume it there")
    if "fingerprint" in differing:
        raise UsageError(f"--resume {path}: head's files have changed since; start a new check")
    if differing:
        raise UsageError(
            f"--resume {path}: is a different check ({', '.join(differing)} differ); start a new "
            f"check"
        )


def fatal_reason(comparison: Comparison, result: SurveyResult) -> str | None:
    """The reason why nothing can be compared; `None` if something can."""
    for side in SIDES:
        if result.surveys[side].foreign:
            return foreign_modules_message(side, result.surveys[side].foreign)
    if comparison.sides.same_files:
        return None
    if result.comparable and not any(result.surveys[side].modules for side in SIDES):
        return (
            "the workload uses no file of this repository, so base and head run the same code; "
            "run the check in the repository that has the changed code"
        )
    if all(case.id in result.problems["base"] for case in result.cases):
        return "base cannot run any of the cases"
    return None


def foreign_modules_message(side: str, modules: Sequence[str]) -> str:
    """The message for a side that has loaded files from outside its tree, or installed copies."""
    return (
        f"{side} loaded modules of the repository from outside its own files: "
        f"{'; '.join(modules[:3])}; install the repository's packages in editable mode, or not at "
        f"all, and run the check in the directory of their sources"
    )

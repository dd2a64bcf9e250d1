"""What a check is asked: both sides looked at, before anything is measured."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from bench import host
from bench.case import EVERY_DEVICE, Case
from bench.errors import UsageError
from bench.regression.comparison import Comparison
from bench.regression.facts import FactFinder
from bench.regression.pair import SIDES, Survey
from bench.regression.progress import CheckProgress

_SAME = ("cases", "smallest", "turns", "settings", "fingerprint", "machine", "directory")
_SAME_OF_SIDE = ("commit", "packages")


@dataclass(frozen=True)
class Looked:
    """What looking at both sides found.

    Attributes:
        cases: The matrix on the devices that there are.
        surveys: Of each side.
        problems: Why a side cannot run a case, by side and case.
    """

    cases: tuple[Case, ...]
    surveys: Mapping[str, Survey]
    problems: Mapping[str, Mapping[str, str]]

    @property
    def comparable(self) -> tuple[Case, ...]:
        """The cases that both sides can run."""
        return tuple(
            case for case in self.cases if not any(case.id in self.problems[side] for side in SIDES)
        )


def look(comparison: Comparison, finder: FactFinder, progress: CheckProgress) -> Looked:
    """Tries both sides' workloads and data.

    Raises:
        UsageError: Neither side can run any case.
    """
    matrix = comparison.asked.run.matrix
    surveys = {side: _surveyed(side, matrix.cases, finder, progress) for side in ("head", "base")}
    # What head alone cannot run is tried once more: it may have been a download, or the like.
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
        side: {case.id: told for case in cases if (told := _problem(survey, case)) is not None}
        for side, survey in surveys.items()
    }
    if all(case.id in problems_of[side] for case in cases for side in SIDES):
        raise UsageError(problems_of["head"][cases[0].id])
    return Looked(cases, surveys, problems_of)


def _surveyed(
    side: str, cases: Sequence[Case], finder: FactFinder, progress: CheckProgress
) -> Survey:
    """A side's survey; where its process came to no good end, case by case."""
    progress.at(side)
    progress.doing("importing torch")
    whole = finder.survey(side, cases, progress.doing)
    if isinstance(whole, Survey):
        return whole
    parts = {case.id: finder.survey(side, (case,), progress.doing) for case in cases}
    found = [part for part in parts.values() if isinstance(part, Survey)]
    died = {name: part for name, part in parts.items() if not isinstance(part, Survey)}
    return Survey(
        devices={name: model for part in found for name, model in part.devices.items()},
        problems={**{k: v for part in found for k, v in part.problems.items()}, **died},
        packages=tuple(sorted({name for part in found for name in part.packages})),
        modules=sum(part.modules for part in found),
        foreign=tuple(sorted({name for part in found for name in part.foreign})),
    )


def _problem(survey: Survey, case: Case) -> str | None:
    """Why a side cannot run a case; a survey knows it by the matrix's device, such as `all`."""
    anywhere = replace(case, device=EVERY_DEVICE).id
    return survey.problems.get(case.id) or survey.problems.get(anywhere)


def question(
    comparison: Comparison,
    looked: Looked,
    arguments: Sequence[str],
    base_packages: Mapping[str, str] | None,
) -> dict[str, Any]:
    """What `check.json` holds.

    Args:
        comparison: What is compared.
        looked: What looking at both sides found.
        arguments: The command line, for the record.
        base_packages: What base has installed, where it has an environment of its own.
    """
    asked, problems = comparison.asked, looked.problems
    packages = {"head": host.packages(), "base": base_packages or host.packages()}
    return {
        "id": comparison.directory.path.name,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "bench.regression", *arguments]),
        "arguments": list(arguments),
        "directory": str(Path.cwd()),
        "stepbench": metadata.version("stepbench"),
        "machine": host.machine(),
        "devices": dict(looked.surveys["head"].devices),
        "sides": {
            side: {**comparison.sides[side].to_json(), "packages": dict(packages[side])}
            for side in SIDES
        },
        "fingerprint": comparison.sides.fingerprint,
        "environments": comparison.sides.environments,
        "notes": list(comparison.sides.notes),
        "smallest": asked.smallest,
        "turns": asdict(asked.turns),
        "settings": asdict(asked.run.settings),
        "axes": {case.id: case.values() for case in looked.cases},
        "cases": [case.id for case in looked.comparable],
        "failing": [
            {"case": case.id, "reason": problems["head"][case.id]}
            for case in looked.cases
            if case.id in problems["head"] and case.id not in problems["base"]
        ],
        "unmeasured": [
            {"case": case.id, "reason": _of_base(problems["base"][case.id])}
            for case in looked.cases
            if case.id in problems["base"]
        ],
    }


def _of_base(problem: str) -> str:
    """Why base cannot run a case, with a remedy where files are missing that git does not keep."""
    missing = "FileNotFoundError" in problem or "No such file" in problem
    hint = "; files that git ignores and both sides need are shared with --share" if missing else ""
    return f"base: {problem}{hint}"


def refuse_another(path: Path, stored: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Sees to it that a check is gone on with only where it is still the same.

    Raises:
        UsageError: It is not.
    """
    differing = [name for name in _SAME if stored.get(name) != asked[name]]
    differing += [
        f"{side}'s {name}"
        for side in SIDES
        for name in _SAME_OF_SIDE
        if stored["sides"][side][name] != asked["sides"][side][name]
    ]
    if "directory" in differing:
        raise UsageError(f"--resume {path}: it was begun in {stored.get('directory')}; go on there")
    if "fingerprint" in differing:
        raise UsageError(f"--resume {path}: head's files have changed since; begin a new check")
    if differing:
        raise UsageError(
            f"--resume {path}: it was another check ({', '.join(differing)} differ); "
            f"begin a new one"
        )


def fatal(comparison: Comparison, looked: Looked) -> str | None:
    """Why nothing can be compared, where nothing can."""
    for side in SIDES:
        if looked.surveys[side].foreign:
            return not_its_own(side, looked.surveys[side].foreign)
    if comparison.sides.same_files:
        return None
    if looked.comparable and not any(looked.surveys[side].modules for side in SIDES):
        return (
            "the workload uses no file of this repository, so that base and head are the same "
            "code; run the check in the repository that holds what has changed"
        )
    if all(case.id in looked.problems["base"] for case in looked.cases):
        return "there is no case that base can run"
    return None


def not_its_own(side: str, modules: Sequence[str]) -> str:
    """Why a side that has loaded another's files, or copies of its own, cannot be compared."""
    return (
        f"{side} would run code that is not its own: {'; '.join(modules[:3])}, and be compared "
        f"with itself; install the repository's packages in editable mode, or not at all, and run "
        f"the check where their sources lie"
    )

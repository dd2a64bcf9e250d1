"""Resumes the run of a script: what it has measured is kept, and the rest is measured."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stepbench.config.case import Case
from stepbench.errors import UsageError
from stepbench.results.run_directory import RunDirectory
from stepbench.scripts.measuring import MeasuredScript
from stepbench.scripts.options import FLAGS, ScriptOptions, read
from stepbench_reports.schema.files import CASES, DamageError, read_measurement
from stepbench_reports.schema.measurement import SCHEMA
from stepbench_reports.schema.results import MeasurementRecord, ParityRecord
from stepbench_reports.schema.run import RunFacts

COMMAND = ("stepbench", "script")
CHANGEABLE = {"--resume", "--output", "-q"}
"""The options that a resumed run does not take from its first invocation."""


def stored_words(stored: RunFacts, path: Path) -> list[str]:
    """The command line of a run, after `stepbench script`.

    Raises:
        UsageError: The run is not one of a script.
    """
    words = stored.command_words
    if words[:2] != COMMAND:
        raise UsageError(
            f"--resume {path}: holds no run of a script (its command was {stored.command}); resume "
            f"it with stepbench run --resume {path}"
        )
    return list(words[2:])


def adopt(
    path: Path,
    given: tuple[Mapping[str, Any], Sequence[str]],
    before: tuple[Mapping[str, Any], Sequence[str]],
) -> ScriptOptions:
    """The options of the run that is resumed.

    A directory of results may come from anybody, so its script runs only if the command names it.

    Args:
        path: The run's directory.
        given: The values of `FLAGS` by name in this invocation, and the words that follow `--`.
        before: Those of the run's first invocation.

    Raises:
        UsageError: This invocation names another script, or changes an option.
    """
    (values, words), (old_values, old_words) = given, before
    if list(words) != list(old_words):
        said = f"-- {shlex.join(words)}" if words else "no script"
        raise UsageError(
            f"--resume {path}: the run measured -- {shlex.join(old_words)}, and this command names "
            f"{said}; end it with -- {shlex.join(old_words)}, or start a new run"
        )
    for flag in FLAGS:
        value = values[flag.name]
        if value and flag.name not in CHANGEABLE and value != old_values[flag.name]:
            raise UsageError(
                f"--resume {path}: the run has another {flag.name} "
                f"(stepbench script {shlex.join(old_words)}); leave {flag.name} out, or start a "
                f"new run"
            )
    quiet = bool(values["-q"] or old_values["-q"])
    options = read({**old_values, "--output": None, "-q": quiet}, old_words)
    return replace(options, resume=path)


def finished(directory: RunDirectory, stored: RunFacts) -> MeasuredScript | None:
    """The results of a run; `None` if one is missing, failed or was interrupted.

    The scripts of a run take turns, so they are measured together, or not at all.
    """
    found = {record.id: record for record in _final_records(directory)}
    if not stored.cases or set(stored.cases) - set(found):
        return None
    records = tuple(found[case_id] for case_id in stored.cases)
    parity = [directory.read(ParityRecord, _case(record)) for record in records[1:]]
    judged = tuple(each for each in parity if each is not None)
    if len(judged) < len(parity):
        return None
    return MeasuredScript(records, judged)


def _final_records(directory: RunDirectory) -> list[MeasurementRecord]:
    records = []
    for file in sorted((directory.path / CASES).glob("*.json")):
        try:
            record = read_measurement(file, SCHEMA)
        except DamageError:
            continue
        if file.stem == record.id == _case(record).id and record.is_final and not record.is_partial:
            records.append(record)
    return records


def _case(record: MeasurementRecord) -> Case:
    return Case(**record.case.values())

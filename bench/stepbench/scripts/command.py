"""`stepbench script`: runs somebody's own training script, and says where its time goes."""

import argparse
import os
import platform
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from stepbench import machine
from stepbench.config.axes import AXIS
from stepbench.config.case import Case
from stepbench.config.option_definitions import add_flags
from stepbench.config.options import refuse_output_with_resume
from stepbench.config.values import path
from stepbench.errors import UsageError
from stepbench.interruption import INTERRUPTED
from stepbench.results.claim import create, point_latest_at, reopen
from stepbench.results.run_directory import RunDirectory
from stepbench.results.writing import StoreError
from stepbench.runner.resume import RELEASES, refuse_another_machine
from stepbench.runner.terminal import LiveLine, format_duration
from stepbench.scripts import resume
from stepbench.scripts.measuring import MeasuredScript, measure_alone, measure_variants, profile
from stepbench.scripts.options import FLAGS, ScriptOptions, read
from stepbench.scripts.players import COMPARED_STEPS, ScriptStarter
from stepbench.scripts.working_copy import refuse_large_tree
from stepbench_reports import ReportError
from stepbench_reports.command_line import USAGE_ERROR, Parser, print_error
from stepbench_reports.schema.measurement import SCHEMA
from stepbench_reports.schema.parity import ParityVerdict
from stepbench_reports.schema.paths import relative_path
from stepbench_reports.schema.results import ProfileRecord
from stepbench_reports.schema.run import ParityOptions, RunFacts, Settings
from stepbench_reports.schema.status import Status
from stepbench_reports.wording.with_noun import with_noun

NOT_MEASURED = 1
"""The exit code if a case has no figures or trains something else."""
EPILOG = """\
examples:
  stepbench script -- train.py --epochs 1            where does a step's time go?
  stepbench script --steps 200 -- train.py           stop after 200 steps
  stepbench script -- -m mypackage.train config.yml  a module
  stepbench script --set num_workers=0,2,4 compile=off,default -- train.py
                                                     which settings are faster, paired

The script runs unedited, with its own arguments, working directory and exit code. Hooks at the
boundaries of its steps tell loading, transfer, forward, backward and the optimizer apart; the rest
of a step is `other`, and evaluation is no part of any step. What was not recognised is blank, with
a reason. With --set each script runs in a copy of the current directory. docs/scripts.md has more.

exit codes: 0 measured; the script's own, if that is not 0; 1 nothing was measured, or a setting
changes the losses; 2 interrupted; 4 wrong usage.
"""


def main(arguments: Sequence[str]) -> int:
    """Measures a script.

    Args:
        arguments: The command line after `stepbench script`.

    Returns:
        The exit code.
    """
    words = list(arguments)
    try:
        _refuse_without_dashes(words)
        values, script = parsed(words)
        _refuse_where_it_cannot_run()
        earlier = path("--resume", values["--resume"])
        if earlier is not None:
            return _resume(earlier, (values, script))
        options = read(values, script)
        return _measure(options, _RunRecord(options, create(options.output), words))
    except UsageError as error:
        print_error(error)
        return USAGE_ERROR
    except (StoreError, ReportError) as error:
        print_error(error)
        return NOT_MEASURED


def parsed(words: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The values of the options by name, such as `--steps`, and the words that follow `--`."""
    split = words.index("--") if "--" in words else len(words)
    values = vars(parser().parse_args(words[:split]))
    return {flag.name: values.get(flag.destination) for flag in FLAGS}, list(words[split + 1 :])


def _resume(directory: Path, given: tuple[dict[str, Any], list[str]]) -> int:
    """Goes on with a run.

    Raises:
        UsageError: The directory holds no run that can be resumed by this command.
    """
    refuse_output_with_resume(given[0])
    run = reopen(directory)
    try:
        stored = run.read_run()
        words = resume.stored_words(stored, directory)
        options = resume.adopt(directory, given, parsed(words))
        refuse_another_machine(stored, directory, ("cpu", *RELEASES))
    except UsageError:
        run.close()
        raise
    return _measure(options, _RunRecord(options, run, words, stored))


def _refuse_without_dashes(words: Sequence[str]) -> None:
    """Refuses a script that is named before `--`, after which its own words begin."""
    scripts = [] if "--" in words else [word for word in words if word.endswith(".py")]
    if scripts:
        raise UsageError(
            f"{scripts[0]}: put -- before the script, so that what follows is its own: stepbench "
            f"script [OPTIONS] -- {scripts[0]} [ARGUMENTS]"
        )


def _refuse_where_it_cannot_run() -> None:
    if platform.system() == "Windows":
        raise UsageError("stepbench script: needs Linux or macOS; run it in WSL")
    ranks = os.environ.get("WORLD_SIZE", "1")
    if ranks != "1":
        raise UsageError(
            f"WORLD_SIZE={ranks}: a script is held at its steps' ends, where its other ranks would "
            f"wait for it; start stepbench script without torchrun, for one process"
        )


def _measure(options: ScriptOptions, record: "_RunRecord") -> int:
    console = Console(highlight=False, soft_wrap=True)
    directory, line = record.directory, LiveLine(console)
    starter = ScriptStarter(
        options,
        directory.path / "output" if options.quiet else None,
        lambda activity: line.draw(Text(activity, style="dim")),
    )
    try:
        if options.changes:
            refuse_large_tree(Path.cwd(), options.share)
        if options.quiet:
            console.print(f"results in {relative_path(directory.path)}", markup=False)
            if options.changes:
                console.print(_expected(options), markup=False)
            with line.shown():
                measured = _measured(starter, record)
        else:
            measured = _measured(starter, record)
        profiles = _profiled(starter, record, measured)
    finally:
        record.close()
    _report(directory, console)
    return _exit_code(starter, measured, profiles)


def _expected(options: ScriptOptions) -> str:
    """Says how long the settings of `--set` may take, and what it is spent on."""
    variants, case_s = len(options.changes), options.sampling.max_time_s
    return (
        f"The script and up to {with_noun(variants, 'variant')} of it take turns, and are started "
        f"{with_noun(options.sampling.generations, 'time')} or more, which takes most of the time: "
        f"{format_duration((variants + 1) * case_s)}. --max-time TIME (for each, {case_s:g} s "
        f"now) makes it shorter."
    )


class _RunRecord:
    """The file of a run's facts, written once the cases are known.

    Args:
        options: The options.
        directory: The run's directory.
        arguments: The command line.
        stored: The facts of the run that is resumed; `None` for a new run.
    """

    def __init__(
        self,
        options: ScriptOptions,
        directory: RunDirectory,
        arguments: Sequence[str],
        stored: RunFacts | None = None,
    ) -> None:
        self._options = options
        self._arguments = arguments
        self._began = datetime.now(UTC).isoformat(timespec="seconds")
        self._written = stored is not None
        self.stored = stored
        self.directory = directory

    def write(self, cases: Sequence[Case], devices: Mapping[str, str]) -> None:
        """Writes the facts of a run with these cases."""
        options = self._options
        axes = {name: tuple(dict.fromkeys(getattr(case, name) for case in cases)) for name in AXIS}
        facts = RunFacts(
            schema=SCHEMA,
            id=self.directory.id,
            started=self._began if self.stored is None else self.stored.started,
            command=shlex.join(["stepbench", "script", *self._arguments]),
            stepbench=machine.own_version(),
            axes=axes,
            cases=tuple(case.id for case in cases),
            sampling=options.sampling,
            settings=Settings(seed=options.seed or 0),
            parity=ParityOptions(steps=COMPARED_STEPS) if options.changes else None,
            profiling=options.profiling,
            machine=machine.machine_facts(devices),
            packages=machine.packages(),
        )
        self.directory.write_run(facts)
        self._written = True
        if options.output is None and options.resume is None:
            point_latest_at(self.directory.path)

    def close(self) -> None:
        """Releases the directory; one without a run is removed, but for the script's output."""
        if self._written:
            self.directory.close()
        else:
            self.directory.discard()


def _measured(starter: ScriptStarter, record: _RunRecord) -> MeasuredScript:
    """Measures the script, alone or beside its variants, unless that is done already."""
    done = None if record.stored is None else resume.finished(record.directory, record.stored)
    if done is not None:
        return done
    if not starter.options.changes:
        return measure_alone(starter, record.directory, record.write)
    return measure_variants(starter, record.directory, record.write)


def _profiled(
    starter: ScriptStarter, record: _RunRecord, measured: MeasuredScript
) -> list[ProfileRecord]:
    """Profiles each case that was measured, if that is wanted; until Ctrl-C."""
    profiling = starter.options.profiling
    profiles: list[ProfileRecord] = []
    if profiling is None or starter.interrupted:
        return profiles
    for each in measured.records:
        if each.status is Status.OK:
            case = Case(**each.case.values())
            try:
                profiles.append(profile(starter, record.directory, case, profiling))
            except KeyboardInterrupt:  # what was measured is reported
                starter.interrupted = True
                break
    return profiles


def _report(directory: RunDirectory, console: Console) -> None:
    import stepbench_reports  # noqa: PLC0415  # importing pandas takes a second

    stepbench_reports.write(directory.path)
    stepbench_reports.show(directory.path, console)
    console.print(f"The run is in {relative_path(directory.path)}.", markup=False)


def _exit_code(
    starter: ScriptStarter, measured: MeasuredScript, profiles: Sequence[ProfileRecord]
) -> int:
    """The script's own exit code if that is not 0; else the code of the measurement."""
    if starter.exit_code:
        return starter.exit_code
    if starter.interrupted:
        return INTERRUPTED
    failed = any(each.status is not Status.OK for each in (*measured.records, *profiles))
    changed = any(
        record.judgement is not None and record.judgement.verdict is ParityVerdict.FAIL
        for record in measured.parity
    )
    return NOT_MEASURED if failed or changed else 0


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line, with its help."""
    command_line = Parser(
        prog="stepbench script",
        description="Runs a training script unedited, finds its steps, and times their phases.",
        epilog=EPILOG,
        usage="stepbench script [OPTIONS] -- train.py ARGUMENTS",
    )
    add_flags(command_line, FLAGS)
    return command_line

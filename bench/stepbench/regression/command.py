"""`stepbench regression`: fails if head is slower than base by more than noise."""

import argparse
import shlex
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from stepbench.config.axes import DEVICE_KINDS, EVERY_DEVICE
from stepbench.config.option_definitions import add_flags
from stepbench.config.values import path
from stepbench.errors import UsageError
from stepbench.process.server import Server, ServerGoneError
from stepbench.regression import ending, git, sides, workflow
from stepbench.regression.directory import CheckDirectory, created, reopened
from stepbench.regression.options import CHECK_FLAGS, RUN_FLAGS, CheckOptions, read
from stepbench.regression.survey import refuse_unfit_effects
from stepbench.results.writing import StoreError
from stepbench.runner.foreign_code import refuse_foreign_workloads
from stepbench_reports import ReportError
from stepbench_reports.command_line import USAGE_ERROR, Parser
from stepbench_reports.render.console import make_console
from stepbench_reports.schema.files import CHECK
from stepbench_reports.schema.paths import relative_path

_FLAGS = {flag.name: flag for flag in (*CHECK_FLAGS, *RUN_FLAGS)}
BASE, HEAD, BUDGET = _FLAGS["--base"], _FLAGS["--head"], _FLAGS["--budget"]
RESUME, OUTPUT = _FLAGS["--resume"], _FLAGS["--output"]
INIT, OVERWRITE = _FLAGS["--init"], _FLAGS["--overwrite"]
WORKLOAD, BASE_PYTHON = _FLAGS["--workload"], _FLAGS["--base-python"]
SCRIPT = _FLAGS["--script"]
EPILOG = """\
examples:
  stepbench regression --base main --workload train/bench.py:make   the working tree against main
  stepbench regression --base v1.2 --head v1.3 --workload train/bench.py:make
  stepbench regression --base main --workload train/bench.py:make --min-effect 2% --budget 20m
  stepbench regression --base main --script train.py -- --epochs 1   a script as it is
  stepbench regression --base-python ../torch-2.9/bin/python   two environments
  stepbench regression --init --workload train/bench.py:make --batch-size 32 --compile off
  stepbench regression --resume results/regression-20261125-093000-1f2e
  stepbench report DIR                           the verdict again, from the recorded pairs

Base is checked out in a temporary directory. A base process and a head process take turns of some
tens of milliseconds, so that noise affects both alike. A row that looks slower is measured again in
fresh pairs before it counts. docs/regression.md describes the method and its error rate. Name a
workload of the repository, and the cases that matter: the default ones are those of stepbench run.

Writes results/regression-TIME-ID: report.md for a pull request, junit.xml, verdict.json, and the
pairs. If GITHUB_STEP_SUMMARY is set, the report is also appended to that file.

exit codes: 0 nothing is slower, or it could not be told (a warning says which); 1 a confirmed
regression; 2 the check compared nothing, was interrupted or failed; 3 could not tell, with
--strict; 4 wrong usage. The last line has the code, too.
"""


Serve = Callable[[], Server]
"""Starts a server of another kind than a fork server."""
PrepareScript = Callable[[CheckOptions], tuple[CheckOptions, Serve]]
"""Takes the options of a check of a script; returns them with its case, and its servers."""


def main(arguments: Sequence[str], prepare_script: PrepareScript | None = None) -> int:
    """Runs a check.

    Args:
        arguments: The command line after `stepbench regression`.
        prepare_script: Prepares a check with `--script`; `None` where scripts cannot be checked.

    Returns:
        The exit code.
    """
    words = list(arguments)
    try:
        values = vars(parser().parse_args(_halves(words)[0]))
    except SystemExit as stopped:
        if stopped.code == USAGE_ERROR:
            return ending.last_line(USAGE_ERROR)
        raise
    console = make_console()
    try:
        if values[INIT.destination]:
            return _init(values, arguments)
        resumed = path(RESUME.name, values[RESUME.destination])
        if resumed is not None:
            return _resume(resumed, values, console, prepare_script)
        return _begin(values, words, console, prepare_script)
    except UsageError as error:
        return ending.stop(USAGE_ERROR, str(error))
    except (StoreError, ServerGoneError, ReportError) as error:
        reason = str(error)
    except KeyboardInterrupt:
        reason = "interrupted before anything was measured"
    except Exception as error:  # noqa: BLE001  # exit code 1 means that head is slower, and nothing else
        traceback.print_exc()
        reason = f"stepbench failed: {error!r}"
    return ending.stop(ending.NOT_COMPARED, reason)


def _halves(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options of a check, and a script's arguments, which follow `--`."""
    split = list(words).index("--") if "--" in words else len(words)
    return list(words[:split]), list(words[split + 1 :])


def _begin(
    values: Mapping[str, Any],
    words: list[str],
    console: Console,
    prepare_script: PrepareScript | None,
) -> int:
    """Starts a check of workloads, or of the script whose arguments follow `--`."""
    options, serve = read(values, Path.cwd()), None
    script = values[SCRIPT.destination]
    if script is None and "--" in words:
        raise UsageError("--: only a script has arguments; name it with --script train.py")
    if script is not None and prepare_script is not None:
        options, serve = prepare_script(replace(options, script=(script, *_halves(words)[1])))
    return _start(options, words, console, serve)


def _init(values: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Writes the workflow, whose check gets all other options; returns the exit code."""
    in_workflow = {"--base": BASE, "--output": OUTPUT, "--resume": RESUME, "--head": HEAD}
    for name, flag in in_workflow.items():
        if values[flag.destination] is not None:
            raise UsageError(f"{name}: --init sets it in the workflow; leave {name} out")
    options = read({**values, BASE.destination: "main"}, Path.cwd())
    repository = git.repository_of(Path.cwd())
    if repository != Path.cwd().resolve():
        raise UsageError(
            f"--init: the workflow runs in the repository's root; go to {repository}, and give "
            f"paths from there"
        )
    if values[SCRIPT.destination] is None:  # as the check would
        if options.base_python is None:
            sides.refuse_shipped(options, repository)
        devices = (EVERY_DEVICE, *DEVICE_KINDS)  # a report's ids name one
        cases = options.run.matrix.cases
        refuse_unfit_effects(
            options.min_effects,
            [case.changed(device=device) for case in cases for device in devices],
        )
    own, of_script = _halves(list(arguments))
    words = [word for word in own if word not in {INIT.name, OVERWRITE.name}]
    file = workflow.write(
        repository,
        [*words, *(["--", *of_script] if of_script else [])],
        budget_s=options.budget_s,
        overwrite=values[OVERWRITE.destination],
    )
    print(f"wrote {file}\ncommit it; the next pull request is checked against its base")
    return 0


def _start(
    options: CheckOptions, arguments: Sequence[str], console: Console, serve: Serve | None
) -> int:
    with created(options.run.output) as directory:
        return _check(options, directory, arguments, console, serve)


def _resume(
    resumed: Path,
    values: Mapping[str, Any],
    console: Console,
    prepare_script: PrepareScript | None,
) -> int:
    """Resumes a check with the check's original options; only the budget may change."""
    extra_options = [
        flag.name
        for flag in (*CHECK_FLAGS, *RUN_FLAGS)
        if values[flag.destination] and flag not in (RESUME, BUDGET, WORKLOAD, BASE_PYTHON, SCRIPT)
    ]
    if extra_options:
        raise UsageError(
            f"--resume {resumed}: a resumed check keeps its options; leave {extra_options[0]} out, "
            f"or start a new check"
        )
    with reopened(resumed) as directory:
        spec = directory.read_spec()
        arguments = () if spec is None else spec.arguments  # never `None`: `reopened` has read it
        options, serve = _stored_options(resumed, arguments, values), None
        if options.script and prepare_script is not None:
            options, serve = prepare_script(options)
        return _check(options, directory, arguments, console, serve)


def _stored_options(
    resumed: Path, arguments: Sequence[str], values: Mapping[str, Any]
) -> CheckOptions:
    """Reads the options of a check that is resumed.

    Args:
        resumed: The check's directory.
        arguments: The check's arguments, which its directory may have from anybody.
        values: The options of this invocation: the budget, and the code named again.

    Raises:
        UsageError: The arguments cannot be used, or name code that has to be named again.
    """
    try:
        stored = vars(parser().parse_args(_halves(arguments)[0]))
    except SystemExit:  # it has printed the reason
        raise UsageError(
            f"--resume {resumed}: the options in its {CHECK} cannot be used; start a new check"
        ) from None
    for flag in (WORKLOAD, BASE_PYTHON, SCRIPT):
        given = values[flag.destination]
        if given and given != stored[flag.destination]:
            raise UsageError(
                f"--resume {resumed}: the check has another {flag.name} "
                f"({shlex.join(arguments)}); leave it out, or start a new check"
            )
    options = read({**stored, BUDGET.destination: values[BUDGET.destination]}, Path.cwd())
    if not values[WORKLOAD.destination]:
        refuse_foreign_workloads(options.run.matrix.cases, resumed, CHECK)
    if options.base_python is not None and not values[BASE_PYTHON.destination]:
        raise UsageError(
            f"--resume {resumed}: its {CHECK} names the interpreter {options.base_python}; if it "
            f"is yours, name it again: repeat --base-python with --resume"
        )
    script = stored[SCRIPT.destination]
    if script is None:
        return options
    words = (script, *_halves(arguments)[1])
    if not values[SCRIPT.destination]:
        raise UsageError(
            f"--resume {resumed}: its {CHECK} names the script {shlex.join(words)}; if it is "
            f"yours, name it again: repeat --script {script} with --resume"
        )
    return replace(options, script=words)


def _check(
    options: CheckOptions,
    directory: CheckDirectory,
    arguments: Sequence[str],
    console: Console,
    serve: Serve | None = None,
) -> int:
    """Runs a check, and concludes it; returns the exit code."""
    # Slow imports, which --help and wrong usage need not wait for.
    from stepbench.regression import check, conclusion  # noqa: PLC0415

    try:
        decision = check.run(options, directory, arguments, console, serve)
        return conclusion.finish(decision, console)
    except UsageError:
        raise
    except KeyboardInterrupt:
        if directory.read_spec() is None:
            raise
        path = relative_path(directory.path)
        reason = f"interrupted while the verdict was made; make it with: stepbench report {path}"
        return ending.stop(ending.NOT_COMPARED, reason)
    except Exception as error:
        conclusion.record_failure(directory, error)
        raise


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line, with its help."""
    command_line = Parser(
        prog="stepbench regression",
        description="Compares training steps of two revisions, or two environments, side by side; "
        "fails if head is slower by more than noise.",
        epilog=EPILOG,
        usage="stepbench regression --base REV [OPTIONS]",
    )
    add_flags(command_line, (*CHECK_FLAGS, *RUN_FLAGS))
    return command_line

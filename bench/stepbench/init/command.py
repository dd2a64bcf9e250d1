"""`stepbench init`: writes a workload file, and tries it."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from stepbench.errors import UsageError
from stepbench.init import writing
from stepbench.init.target import Target, read_target
from stepbench.init.trial import STEPS, try_workload
from stepbench.init.writing import Draft
from stepbench.runner.terminal import LiveLine
from stepbench_reports.command_line import USAGE_ERROR, Parser, print_error
from stepbench_reports.schema.text import printable

DOES_NOT_TRAIN = 1
"""The exit code if the file was written, and its steps failed."""
EPILOG = """\
examples:
  stepbench init train.py               from a script: writes bench_train.py beside it
  stepbench init train.py:Net           the same, for the model Net of several
  stepbench init models.net:Net         from a model of a package: models/net.py
  stepbench init                        a file in which all is left to fill in

The script is read, not run. Found are the model, the data set of its DataLoader with transforms
and batch size, the loss, the optimizer, and gradient clipping; variables and defaults of argparse
are put in as values. What is not found is a line marked FILL IN, with what belongs there. A
complete file is tried for two steps on the CPU; it imports the script's classes, unless that would
train. Correct the file as you like.

exit codes: 0 the file is written, and trains or has lines to fill in, 1 the file is written and a
step failed, 4 wrong usage: nothing is written.
"""


def main(arguments: Sequence[str]) -> int:
    """Writes a workload file, and tries it.

    Args:
        arguments: The command line after `stepbench init`.

    Returns:
        The exit code.
    """
    options = parser().parse_args(list(arguments))
    console = Console(highlight=False, soft_wrap=True)
    try:
        target = read_target(options.target, options.output)
        draft = target.draft()
        text = writing.write(draft, target.spec)
        _write(target.output, text, overwrite=options.overwrite)
    except UsageError as error:
        print_error(error)
        return USAGE_ERROR
    marked = [n for n, line in enumerate(text.splitlines(), 1) if f"# {writing.MARK}" in line]
    _print_findings(console, target, draft)
    command = _command(target, draft)
    if marked:
        lines = ", ".join(map(str, marked))
        console.print(
            f"Fill in the lines marked {writing.MARK} (line {lines}), then try it:\n"
            f"  {command} --steps {STEPS} --num-workers 0",
            markup=False,
        )
        return 0
    if options.try_it:
        line = LiveLine(console)
        try:
            with line.shown():
                loss = try_workload(
                    target.spec,
                    draft.batch_size,
                    lambda activity: line.draw(Text(activity, style="dim")),
                )
        except UsageError as error:
            print_error(error)
            return DOES_NOT_TRAIN
        console.print(f"Tried: {STEPS} steps on the CPU, the last with loss {loss:.4g}.")
    console.print(f"Measure it:\n  {command}", markup=False)
    return 0


def _write(output: Path, text: str, *, overwrite: bool) -> None:
    try:
        with output.open("w" if overwrite else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(
            f"{output}: is there already; give --overwrite, or another --output"
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"--output {output}: cannot be written ({reason}); give another file"
        ) from None


def _print_findings(console: Console, target: Target, draft: Draft) -> None:
    console.print(f"Wrote {target.output}:", markup=False)
    for name, part in draft.fields.items():
        console.print(Text(printable(f"  {name:<9} {part.code}")))


def _command(target: Target, draft: Draft) -> str:
    batch = "" if draft.batch_size is None else f" --batch-size {draft.batch_size}"
    return f"stepbench run --workload {shlex.quote(target.spec)}{batch}"


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line, with its help."""
    command_line = Parser(
        prog="stepbench init",
        description="Writes a workload file for a model, or from a training script, and tries it.",
        epilog=EPILOG,
    )
    command_line.add_argument(
        "target",
        nargs="?",
        metavar="SCRIPT.py[:CLASS] | MODULE:CLASS",
        help="a training script, or a model's class",
    )
    command_line.add_argument(
        "--output",
        metavar="FILE",
        help="the file to write (default bench_NAME.py beside the script)",
    )
    command_line.add_argument(
        "--overwrite", action="store_true", help="replace the file if it is there already"
    )
    command_line.add_argument(
        "--no-try", dest="try_it", action="store_false", help="do not take two steps with the file"
    )
    return command_line

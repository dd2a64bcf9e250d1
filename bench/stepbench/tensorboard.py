"""`stepbench tensorboard [RUN ...]`: opens profiled runs in TensorBoard.

TensorBoard shows several runs side by side, each under the name of the run's directory.
"""

import os
import re
import subprocess
import sys
import tempfile
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Iterable, Sequence
from pathlib import Path

from stepbench.errors import UsageError
from stepbench.results.claim import LATEST, RESULTS
from stepbench.results.run_directory import TENSORBOARD, TRACES
from stepbench_reports.command_line import USAGE_ERROR, print_error, results_path
from stepbench_reports.schema.paths import nearby

INTERRUPTED = 130
PERFETTO = "https://ui.perfetto.dev"
FIRST_TAB = re.compile(r"(http://\S+/)(?= \(Press CTRL\+C)")
"""TensorBoard's address in the line that it prints when it serves."""
IRRELEVANT = (
    "TensorFlow installation not found",
    "NOTE: Using experimental fast data loading logic",
    '    "--load_fast=false" and report issues',
    "    https://github.com/tensorflow/tensorboard/issues/4784",
    "\n",
)
"""The beginnings of lines that TensorBoard writes at every start."""
EXIT_TIMEOUT_S = 10
"""The time that TensorBoard has to exit before it is killed, seconds."""
EPILOG = """\
examples:
  stepbench tensorboard
  stepbench tensorboard results/20261124-123015-k3f9 --port 6007
  stepbench tensorboard results/before results/after

Options that begin with a dash are passed to TensorBoard, such as --port 6007 or --bind_all.

The address that is printed opens the tab Time Series. It and the other tabs work without network,
but for PyTorch Profiler, which loads two scripts from public hosts; without network it never
finishes loading. The reports also list the operators, and the traces open in Perfetto.
"""


def main(arguments: Sequence[str]) -> int:
    """Starts TensorBoard and waits until it exits.

    Args:
        arguments: The command line after `stepbench tensorboard`.

    Returns:
        TensorBoard's exit code; 4 for wrong usage, 130 after Ctrl-C.
    """
    if {"-h", "--help"} & set(arguments):
        parser().print_help()
        return 0
    try:
        runs, options = split(arguments)
    except UsageError as error:
        print_error(error)
        return USAGE_ERROR
    with tempfile.TemporaryDirectory(prefix="stepbench-tensorboard-") as scratch:
        try:
            logdir = link_runs(runs or [RESULTS / LATEST], Path(scratch))
        except UsageError as error:
            print_error(error)
            return USAGE_ERROR
        command = [
            sys.executable,
            "-P",
            "-m",
            "tensorboard.main",
            "--logdir",
            str(logdir),
            *options,
        ]
        for run in runs or [RESULTS / LATEST]:
            print(f"The traces of {run} also open at {PERFETTO}: choose a file of {run / TRACES}")
        sys.stdout.flush()
        environment = {**os.environ, "TORCH_PROFILER_LOG_LEVEL": "WARNING"}
        with subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, errors="replace", env=environment
        ) as tensorboard:
            try:
                _forward(tensorboard.stderr)
                return tensorboard.wait()
            except KeyboardInterrupt:
                _end(tensorboard)
                return INTERRUPTED


def parser() -> ArgumentParser:
    """Makes the parser of the help and of shell completion; `split` parses the arguments."""
    command_line = ArgumentParser(
        prog="stepbench tensorboard",
        description="Opens the profiles of stepbench run --profile in TensorBoard.",
        epilog=EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
        usage="stepbench tensorboard [RUN ...] [TENSORBOARD OPTIONS]",
    )
    command_line.add_argument(
        "run",
        metavar="RUN",
        nargs="*",
        help=f"a run's directory (default: {RESULTS / LATEST}); several are shown side by side, "
        "each under its name",
    )
    return command_line


def _forward(lines: Iterable[str] | None) -> None:
    """Prints what TensorBoard writes, with the address of a tab that works without network."""
    for line in lines or ():
        if not line.startswith(IRRELEVANT):
            print(FIRST_TAB.sub(r"\1#timeseries", line), end="", file=sys.stderr, flush=True)


def _end(tensorboard: subprocess.Popen[str]) -> None:
    """Terminates TensorBoard, and kills it if it still runs after `EXIT_TIMEOUT_S` seconds."""
    tensorboard.terminate()
    try:
        tensorboard.wait(timeout=EXIT_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        tensorboard.kill()


def split(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Splits the arguments into runs, which come first, and TensorBoard's options.

    Raises:
        UsageError: The system cannot use the path of a run.
    """
    first = next((i for i, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    try:
        runs = [results_path(word) for word in arguments[:first]]
    except ArgumentTypeError as error:
        raise UsageError(str(error)) from None
    return runs, list(arguments[first:])


def link_runs(runs: Sequence[Path], scratch: Path) -> Path:
    """The directory that TensorBoard shows: of one run, or with links to several.

    Args:
        runs: The runs' directories.
        scratch: An empty directory, for links to several runs.

    Raises:
        UsageError: A directory holds no run, a run was not profiled, two runs have the same name,
            or the system cannot make links.
    """
    for run in runs:
        if not (run / "run.json").is_file():
            raise UsageError(f"{run}: holds no run (it has no run.json); {nearby(run)}")
        if not (run / TENSORBOARD).is_dir():
            raise UsageError(f"{run}: was not profiled; make a run with --profile")
    if len(runs) == 1:
        return runs[0] / TENSORBOARD
    for run in dict.fromkeys(run.resolve() for run in runs):
        link = scratch / run.name
        if link.exists():
            raise UsageError(f"{run}: two runs have the name {link.name}; rename one")
        try:
            link.symlink_to(run / TENSORBOARD, target_is_directory=True)
        except OSError as error:
            raise UsageError(
                f"{run}: cannot be shown together with other runs: the system cannot make "
                f"links ({error.strerror}); open one run at a time"
            ) from None
    return scratch

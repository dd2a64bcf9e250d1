"""`stepbench tensorboard [RUN ...]`: opens profiled runs in TensorBoard.

TensorBoard shows several runs side by side, each under the name of the run's directory.
"""

import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from stepbench.errors import UsageError
from stepbench.results.claim import LATEST, RESULTS
from stepbench.results.run_directory import TENSORBOARD

USAGE_ERROR, INTERRUPTED = 4, 130
EXIT_TIMEOUT_S = 10
"""The time that TensorBoard has to exit before it is killed, seconds."""
HELP = f"""\
usage: stepbench tensorboard [RUN ...] [TENSORBOARD OPTIONS]
       (in this repository also: nox -s tensorboard -- [RUN ...] [TENSORBOARD OPTIONS])

Opens the profiles of `stepbench run --profile` in TensorBoard. RUN is a run's directory, by default
{RESULTS / LATEST}; several are shown side by side, each under its name. Options that begin with a
dash are passed to TensorBoard, such as --port 6007 or --bind_all.

examples:
  stepbench tensorboard
  stepbench tensorboard results/20261124-123015-k3f9 --port 6007
  stepbench tensorboard results/before results/after

The PyTorch Profiler tab loads two scripts from public hosts; without network it never finishes
loading. The other tabs work without network, and the reports also list the operators.
"""


def main(arguments: Sequence[str]) -> int:
    """Starts TensorBoard and waits until it exits.

    Args:
        arguments: The command line after `stepbench tensorboard`.

    Returns:
        TensorBoard's exit code; 4 for wrong usage, 130 after Ctrl-C.
    """
    if {"-h", "--help"} & set(arguments):
        print(HELP, end="")
        return 0
    runs, options = split(arguments)
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # so that SIGTERM also ends TensorBoard
    with tempfile.TemporaryDirectory(prefix="stepbench-tensorboard-") as scratch:
        try:
            logdir = link_runs(runs or [RESULTS / LATEST], Path(scratch))
        except UsageError as error:
            print(f"error: {error}", file=sys.stderr)
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
        with subprocess.Popen(command) as tensorboard:
            try:
                return tensorboard.wait()
            except KeyboardInterrupt:
                _end(tensorboard)
                return INTERRUPTED


def _end(tensorboard: subprocess.Popen[bytes]) -> None:
    """Terminates TensorBoard, and kills it if it still runs after `EXIT_TIMEOUT_S` seconds."""
    tensorboard.terminate()
    try:
        tensorboard.wait(timeout=EXIT_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        tensorboard.kill()


def split(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Splits the arguments into runs, which come first, and TensorBoard's options."""
    first = next((i for i, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    return [Path(word) for word in arguments[:first]], list(arguments[first:])


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
            raise UsageError(
                f"{run}: holds no run (it has no run.json); name a run's directory, such as "
                f"{RESULTS / LATEST}, or make one with stepbench run --profile"
            )
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

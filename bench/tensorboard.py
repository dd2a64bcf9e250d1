"""`python -m bench.tensorboard [RUN ...]`: opens profiled runs in TensorBoard.

Several runs stand side by side, each under its own name, so that none mixes with another.
"""

import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.errors import UsageError
from bench.store import BOARD, LATEST, RESULTS

USAGE_ERROR, INTERRUPTED = 4, 130
END_S = 10
"""How long TensorBoard is given to end by itself."""
HELP = f"""\
usage: python -m bench.tensorboard [RUN ...] [TENSORBOARD OPTIONS]
       (in this repository also: nox -s tensorboard -- [RUN ...] [TENSORBOARD OPTIONS])

Opens what `python -m bench --profile` left in TensorBoard. RUN is a run's directory, by default
{RESULTS / LATEST}; several are shown side by side, each under its own name. Options begin with a
dash and go to TensorBoard, such as --port 6007 or --bind_all.

The PyTorch Profiler tab loads two scripts from public hosts; without network it spins for ever,
and the other tabs and the reports, which have the operators as well, do not need it.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Starts TensorBoard and waits for its end.

    Args:
        arguments: The command line without the program's name; `None` takes the process's own.

    Returns:
        TensorBoard's exit code; 4 for wrong usage, 130 after Ctrl-C.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if {"-h", "--help"} & set(given):
        print(HELP, end="")
        return 0
    runs, options = split(given)
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # so that TensorBoard ends with this process
    with tempfile.TemporaryDirectory(prefix="stepbench-tensorboard-") as scratch:
        try:
            logdir = lay_out(runs or [RESULTS / LATEST], Path(scratch))
        except UsageError as error:
            print(f"error: {error}", file=sys.stderr)
            return USAGE_ERROR
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir), *options]
        with subprocess.Popen(command) as board:
            try:
                return board.wait()
            except KeyboardInterrupt:
                _end(board)
                return INTERRUPTED


def _end(board: subprocess.Popen[bytes]) -> None:
    """Ends TensorBoard, and sees that it has."""
    board.terminate()
    try:
        board.wait(timeout=END_S)
    except subprocess.TimeoutExpired:
        board.kill()


def split(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The runs, which come first, and TensorBoard's options, from the first dash on."""
    first = next((i for i, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    return [Path(word) for word in arguments[:first]], list(arguments[first:])


def lay_out(runs: Sequence[Path], scratch: Path) -> Path:
    """The directory to give to TensorBoard.

    Args:
        runs: The runs.
        scratch: An empty directory, for links to them where there are several.

    Raises:
        UsageError: One is no run, or was not profiled.
    """
    for run in runs:
        if not (run / "run.json").is_file():
            raise UsageError(
                f"{run}: holds no run (it has no run.json); name a run's directory, such as "
                f"{RESULTS / LATEST}, or make one by python -m bench --profile"
            )
        if not (run / BOARD).is_dir():
            raise UsageError(f"{run}: was not profiled; run it with --profile")
    if len(runs) == 1:
        return runs[0] / BOARD
    for run in dict.fromkeys(run.resolve() for run in runs):
        link = scratch / run.name
        if link.exists():
            raise UsageError(f"{run}: two runs are called {link.name}; rename one")
        try:
            link.symlink_to(run / BOARD, target_is_directory=True)
        except OSError as error:
            raise UsageError(
                f"{run}: cannot be shown beside another, as this system makes no links "
                f"({error.strerror}); open one run at a time"
            ) from None
    return scratch


if __name__ == "__main__":
    raise SystemExit(main())

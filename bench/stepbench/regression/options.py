"""A check's options, read once from the command line into one frozen object."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepbench.config import options, values
from stepbench.config.flags import FLAGS, Flag, OptionSection
from stepbench.config.options import Options
from stepbench.errors import UsageError
from stepbench_reports.schema.check import TurnOptions

BUDGET_S = 600.0
"""The default of `--budget`, seconds."""
SMALLEST = 0.03
"""The default of `--min-effect`, a share of the step."""
PAIR_S = TurnOptions().total_s
"""The default of `--pair-time`, seconds."""
LEAST_SMALLEST, MOST_SMALLEST = 0.01, 0.5
"""The limits of `--min-effect`: a smaller effect could not be distinguished from the margin."""

_COMPARE, _HOW = "what to compare", "how to decide"

OWN_FLAGS: tuple[Flag, ...] = (
    Flag(
        "--base",
        "what head is compared with: a git revision (main, v1.2, HEAD~1), checked out beside head "
        "while the check runs; or a run's directory, where only a trend is wanted",
        _COMPARE,
        {"metavar": "REV"},
    ),
    Flag(
        "--head",
        "a git revision as head (default: the working tree as it is, with uncommitted changes)",
        _COMPARE,
        {"metavar": "REV"},
    ),
    Flag(
        "--base-python",
        "base runs in another environment: its Python's path, such as ../torch-2.9/bin/python. "
        "Alone it compares two environments on the same files",
        _COMPARE,
        {"metavar": "PYTHON"},
    ),
    Flag(
        "--share",
        "files or folders that git ignores and both sides need, such as data/: base finds head's",
        _COMPARE,
        {"metavar": "PATH", "nargs": "+"},
    ),
    Flag(
        "--other-machine",
        "compare with a run of another machine all the same",
        _COMPARE,
        {"action": "store_true"},
    ),
    Flag(
        "--min-effect",
        "the smallest slowdown that matters, a share of the step (default "
        f"{SMALLEST:.0%}%); a smaller one takes more pairs, or stays inconclusive",
        _HOW,
        {"metavar": "SHARE"},
    ),
    Flag(
        "--budget",
        f"measure for at most so long, such as 90s, 10m or 1h (default {BUDGET_S / 60:g}m); what "
        "is not decided by then is inconclusive",
        _HOW,
        {"metavar": "TIME"},
    ),
    Flag(
        "--pair-time",
        "how long the turns of a pair last together, in seconds (default "
        f"{PAIR_S:g}); longer ones lower the noise",
        _HOW,
        {"metavar": "SECONDS"},
    ),
)

_BORROWED_SECTIONS = {OptionSection.CASES, OptionSection.SETTINGS, OptionSection.FILES}
_BORROWED = {"--deadline", "--memory-limit", "--no-parity", "--parity-steps", "--parity-budget"}
BORROWED: tuple[Flag, ...] = tuple(
    flag for flag in FLAGS if flag.section in _BORROWED_SECTIONS or flag.name in _BORROWED
)
"""The options of `stepbench run` that have the same meaning in a check."""


@dataclass(frozen=True)
class CheckOptions:
    """The options of a check.

    Attributes:
        run: The cases and their settings, as in a run.
        base: The revision, or the run's directory, to compare with; `None` for head's files.
        head: The revision that is compared; `None` for the working tree.
        base_python: The Python that base runs in; `None` for this one.
        shared: Files and folders that git ignores and both sides need.
        other_machine: True if the stored run may be of another machine.
        smallest: The smallest effect to detect, a share of the step.
        budget_s: The longest that a check measures, seconds.
        turns: The number and length of the turns of a pair.
    """

    run: Options
    base: str | None
    head: str | None
    base_python: Path | None
    shared: tuple[Path, ...]
    other_machine: bool
    smallest: float
    budget_s: float
    turns: TurnOptions

    @property
    def stored_run(self) -> Path | None:
        """The directory of the run that is the base; `None` if the base is no run."""
        path = None if self.base is None else Path(self.base)
        return path if path is not None and (path / "run.json").is_file() else None


def read(given: Mapping[str, Any], directory: Path) -> CheckOptions:
    """Reads the options of a check.

    Args:
        given: The values of the flags by destination; an absent value is the same as `None`.
        directory: The directory in which to look for `pyproject.toml`.

    Raises:
        UsageError: A value cannot be used.
    """
    value = {flag.name: given.get(flag.destination) for flag in OWN_FLAGS}
    run = options.read(given, directory)
    if value["--base"] is None and value["--base-python"] is None and run.resume is None:
        raise UsageError(
            "--base: say what to compare with: a git revision (--base main), a run's directory, "
            "or another environment (--base-python PYTHON)"
        )
    return CheckOptions(
        run=run,
        base=value["--base"],
        head=value["--head"],
        base_python=_python(value["--base-python"]),
        shared=tuple(_shared(word) for word in value["--share"] or ()),
        other_machine=bool(value["--other-machine"]),
        smallest=values.share(
            "--min-effect", value["--min-effect"], SMALLEST, LEAST_SMALLEST, MOST_SMALLEST
        ),
        budget_s=values.duration("--budget", value["--budget"], BUDGET_S),
        turns=TurnOptions(
            total_s=values.positive("--pair-time", value["--pair-time"], PAIR_S, "seconds")
        ),
    )


def _python(word: str | None) -> Path | None:
    if word is None:
        return None
    python = Path(word).expanduser().absolute()  # not resolved: a venv's Python is often a link
    if not python.is_file():
        raise UsageError(
            f"--base-python {word}: is no file; give the path of an environment's Python, such as "
            f"../torch-2.9/bin/python"
        )
    return python


def _shared(word: str) -> Path:
    path = Path(word).resolve()
    if not path.exists():
        raise UsageError(f"--share {word}: does not exist; name a file or folder that does")
    return path

"""What a check was asked to do: the command line's options, read once into one frozen object."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import options
from bench.errors import UsageError
from bench.options import FLAGS, Flag, Options
from bench.regression.pair import Turns

BUDGET_S = 600.0
"""How long a check measures at most, unless told otherwise."""
SMALLEST = 0.03
"""The smallest effect that is looked for, unless told otherwise: a share of the step."""
LEAST_SMALLEST, MOST_SMALLEST = 0.01, 0.5
"""The smallest effects that can be asked for: less could not be told from the margin."""

_COMPARE, _HOW = "what to compare", "how to decide"

OWN_FLAGS: tuple[Flag, ...] = (
    Flag(
        "--base",
        "what head is compared with: a git revision (main, v1.2, HEAD~1), checked out beside head "
        "for as long as the check takes; or a run's directory, where only a trend is wanted",
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
        "is not decided by then is said to be inconclusive",
        _HOW,
        {"metavar": "TIME"},
    ),
    Flag(
        "--pair-time",
        "how long the turns of a pair last together, in seconds (default "
        f"{Turns.total_s:g}); longer ones lower the noise",
        _HOW,
        {"metavar": "SECONDS"},
    ),
)

_BORROWED_SECTIONS = ("what to measure", "under which settings", "data and results")
_BORROWED = ("--deadline", "--memory-limit", "--no-parity", "--parity-steps", "--parity-budget")
BORROWED: tuple[Flag, ...] = tuple(
    flag for flag in FLAGS if flag.section in _BORROWED_SECTIONS or flag.name in _BORROWED
)
"""Those of `python -m bench` that mean the same here."""


@dataclass(frozen=True)
class CheckOptions:
    """What a check was asked to do.

    Attributes:
        run: The cases, and what bears upon them, as in a run.
        base: The revision, or the run's directory, to compare with; `None` for head's own files.
        head: The revision that is compared; `None` for the working tree.
        base_python: The Python that base runs in; `None` for this one.
        shared: Files and folders that both sides are to have, though git does not keep them.
        other_machine: Whether a stored run may be another machine's.
        smallest: The smallest effect that is looked for, a share of the step.
        budget_s: For how long it measures at most.
        turns: How pairs are taken.
    """

    run: Options
    base: str | None
    head: str | None
    base_python: Path | None
    shared: tuple[Path, ...]
    other_machine: bool
    smallest: float
    budget_s: float
    turns: Turns

    @property
    def stored_run(self) -> Path | None:
        """The run's directory that is the base, where it is one."""
        place = None if self.base is None else Path(self.base)
        return place if place is not None and (place / "run.json").is_file() else None


def read(given: Mapping[str, Any], directory: Path) -> CheckOptions:
    """Options from the values of the flags, by destination.

    Raises:
        UsageError: A value is not to be used.
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
        smallest=_share("--min-effect", value["--min-effect"]),
        budget_s=_duration("--budget", value["--budget"]),
        turns=Turns(
            total_s=options.positive("--pair-time", value["--pair-time"], Turns.total_s, "seconds")
        ),
    )


def _python(word: str | None) -> Path | None:
    if word is None:
        return None
    place = Path(word).expanduser().absolute()  # not resolved: an environment's is often a link
    if not place.is_file():
        raise UsageError(
            f"--base-python {word}: is no file; give the path of an environment's Python, such as "
            f"../torch-2.9/bin/python"
        )
    return place


def _shared(word: str) -> Path:
    place = Path(word).resolve()
    if not place.exists():
        raise UsageError(f"--share {word}: does not exist; name a file or folder that does")
    return place


def _share(option: str, word: str | None) -> float:
    if word is None:
        return SMALLEST
    digits, percent = word.rstrip("% "), word.rstrip().endswith("%")
    try:
        share = float(digits) / (100 if percent else 1)
    except ValueError:
        share = 0
    if not LEAST_SMALLEST <= share <= MOST_SMALLEST:
        raise UsageError(
            f"{option} {word}: give a share of the step from {LEAST_SMALLEST:.0%} to "
            f"{MOST_SMALLEST:.0%}, such as 3% or 0.03"
        )
    return share


_DURATION = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>s|m|min|h)?")
_UNITS_S = {None: 1, "s": 1, "m": 60, "min": 60, "h": 3600}


def _duration(option: str, word: str | None) -> float:
    if word is None:
        return BUDGET_S
    found = _DURATION.fullmatch(word)
    seconds = 0.0 if found is None else float(found["number"]) * _UNITS_S[found["unit"]]
    if not seconds:
        raise UsageError(f"{option} {word}: give a time above 0, such as 90s, 10m or 1h")
    return seconds

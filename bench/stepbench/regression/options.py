"""A check's options, read once from the command line into one frozen object."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepbench.config import options, values
from stepbench.config.option_definitions import FLAGS, Flag, OptionSection
from stepbench.config.options import Options
from stepbench.errors import UsageError
from stepbench_reports.schema.check import TurnOptions

BUDGET_S = 600.0
"""The default of `--budget`, seconds."""
MIN_EFFECT = 0.03
"""The default of `--min-effect`, a share of the step."""
PAIR_S = TurnOptions().total_s
"""The default of `--pair-time`, seconds."""
MIN_EFFECT_LIMITS = 0.01, 0.5
"""The limits of `--min-effect`: a smaller effect could not be distinguished from the margin."""

_COMPARE, _HOW = "what to compare", "how to decide"

CHECK_FLAGS: tuple[Flag, ...] = (
    Flag(
        "--base",
        "compare head with this git revision, such as main, v1.2 or HEAD~1, checked out in a "
        "temporary directory; or with the run in this directory, which shows only a trend",
        _COMPARE,
        {"metavar": "REV"},
    ),
    Flag(
        "--head",
        "the git revision to test (default: the working tree, with uncommitted changes)",
        _COMPARE,
        {"metavar": "REV"},
    ),
    Flag(
        "--base-python",
        "run base in the environment of this Python, such as ../torch-2.9/bin/python. Without "
        "--base, both environments run the same files",
        _COMPARE,
        {"metavar": "PYTHON"},
    ),
    Flag(
        "--share",
        "files or folders that git ignores and both sides need, such as data/; base uses head's",
        _COMPARE,
        {"metavar": "PATH", "nargs": "+"},
    ),
    Flag(
        "--other-machine",
        "allow --base to be a run of another machine",
        _COMPARE,
        {"action": "store_true"},
    ),
    Flag(
        "--min-effect",
        "the smallest slowdown to detect, as a share of the step (default "
        f"{MIN_EFFECT:.0%}%); a smaller one takes more pairs, or is inconclusive",
        _HOW,
        {"metavar": "SHARE"},
    ),
    Flag(
        "--budget",
        f"the time limit, such as 90s, 10m or 1h (default {BUDGET_S / 60:g}m); rows that are not "
        "decided by then are inconclusive",
        _HOW,
        {"metavar": "TIME"},
    ),
    Flag(
        "--pair-time",
        "the total length of the turns of a pair, in seconds (default "
        f"{PAIR_S:g}); longer turns lower the noise",
        _HOW,
        {"metavar": "SECONDS"},
    ),
)

_RUN_SECTIONS = {OptionSection.CASES, OptionSection.SETTINGS, OptionSection.FILES}
_RUN_OPTIONS = {"--deadline", "--memory-limit", "--no-parity", "--parity-steps", "--parity-budget"}
RUN_FLAGS: tuple[Flag, ...] = tuple(
    flag for flag in FLAGS if flag.section in _RUN_SECTIONS or flag.name in _RUN_OPTIONS
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
        min_effect: The smallest effect to detect, a share of the step.
        budget_s: The longest that a check measures, seconds.
        turns: The number and length of the turns of a pair.
    """

    run: Options
    base: str | None
    head: str | None
    base_python: Path | None
    shared: tuple[Path, ...]
    other_machine: bool
    min_effect: float
    budget_s: float
    turns: TurnOptions

    @property
    def stored_run(self) -> Path | None:
        """The directory of the run that is the base; `None` if the base is no run."""
        path = None if self.base is None else Path(self.base)
        return path if path is not None and (path / "run.json").is_file() else None


def read(flag_values: Mapping[str, Any], directory: Path) -> CheckOptions:
    """Reads the options of a check.

    Args:
        flag_values: The values of the flags by destination; an absent value is the same as `None`.
        directory: The directory in which to look for `pyproject.toml`.

    Raises:
        UsageError: A value cannot be used.
    """
    value = {flag.name: flag_values.get(flag.destination) for flag in CHECK_FLAGS}
    run = options.read(flag_values, directory)
    if value["--base"] is None and value["--base-python"] is None and run.resume is None:
        raise UsageError(
            "--base: give what to compare with: a git revision (--base main), a run's directory, "
            "or another environment (--base-python PYTHON)"
        )
    return CheckOptions(
        run=run,
        base=value["--base"],
        head=value["--head"],
        base_python=_python(value["--base-python"]),
        shared=tuple(_shared(argument) for argument in value["--share"] or ()),
        other_machine=bool(value["--other-machine"]),
        min_effect=values.share(
            "--min-effect", value["--min-effect"], MIN_EFFECT, *MIN_EFFECT_LIMITS
        ),
        budget_s=values.duration("--budget", value["--budget"], BUDGET_S),
        turns=TurnOptions(
            total_s=values.positive("--pair-time", value["--pair-time"], PAIR_S, "seconds")
        ),
    )


def _python(argument: str | None) -> Path | None:
    if argument is None:
        return None
    python = Path(argument).expanduser().absolute()  # not resolved: a venv's Python is often a link
    if not python.is_file():
        raise UsageError(
            f"--base-python {argument}: is not a file; give the path of an environment's Python, "
            f"such as ../torch-2.9/bin/python"
        )
    return python


def _shared(argument: str) -> Path:
    path = Path(argument).resolve()
    if not path.exists():
        raise UsageError(f"--share {argument}: does not exist; give an existing file or folder")
    return path

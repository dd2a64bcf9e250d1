"""A check's options, read once from the command line into one frozen object."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepbench.config import options, values
from stepbench.config.option_definitions import FLAGS, Flag, OptionSection
from stepbench.config.options import Options
from stepbench.errors import UsageError
from stepbench_reports.schema.check import MinEffect, TurnOptions

BUDGET_S = 600.0
"""The default of `--budget`, seconds."""
MIN_EFFECT = 0.03
"""The default of `--min-effect`, a share of the step."""
PAIR_S = TurnOptions().total_s
"""The default of `--pair-time`, seconds."""
MIN_EFFECT_LIMITS = 0.01, 0.5
"""The limits of `--min-effect`: a smaller effect could not be distinguished from the margin."""

_COMPARE, _HOW, _WORKFLOW = "what to compare", "how to decide", "a workflow for pull requests"

CHECK_FLAGS: tuple[Flag, ...] = (
    Flag(
        "--base",
        "compare head with this git revision, such as main, v1.2 or HEAD~1, checked out in a "
        "temporary directory",
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
        "--script",
        "compare a training script as it is, with no workload: --script train.py -- ARGUMENTS",
        _COMPARE,
        {"metavar": "FILE"},
    ),
    Flag(
        "--share",
        "files or folders that git ignores and both sides need, such as data/; base uses head's",
        _COMPARE,
        {"metavar": "PATH", "nargs": "+"},
    ),
    Flag(
        "--min-effect",
        "the smallest slowdown to detect, as a share of the step (default "
        f"{MIN_EFFECT:.0%}%); a smaller one takes more pairs, or is not decided. For some rows: "
        "step or a phase, or a pattern of cases, such as dataload=10%% or gpt-*=5%%",
        _HOW,
        {"metavar": "[ROWS=]SHARE", "nargs": "+"},
    ),
    Flag(
        "--strict",
        "exit with code 3 if a case could not be decided, instead of with 0 and a warning",
        _HOW,
        {"action": "store_true"},
    ),
    Flag(
        "--budget",
        f"the time limit, such as 90s, 10m or 1h (default {BUDGET_S / 60:g}m); what is not "
        "decided by then is reported as not decided",
        _HOW,
        {"metavar": "TIME"},
    ),
    Flag(
        "--one-at-a-time",
        "never have base and head alive at once, as a check does by itself for a case whose sides "
        "find no memory beside each other; such pairs spread more widely",
        _HOW,
        {"action": "store_true"},
    ),
    Flag(
        "--pair-time",
        "the total length of the turns of a pair (default "
        f"{PAIR_S:g} s); longer turns lower the noise",
        _HOW,
        {"metavar": "TIME"},
    ),
    Flag(
        "--init",
        "write .github/workflows/stepbench.yml, which checks every pull request with the options "
        "given here, and end",
        _WORKFLOW,
        {"action": "store_true"},
    ),
    Flag(
        "--overwrite",
        "replace the workflow that --init finds",
        _WORKFLOW,
        {"action": "store_true"},
    ),
)

_RUN_SECTIONS = {
    OptionSection.CASES,
    OptionSection.LIMITS,
    OptionSection.SETTINGS,
    OptionSection.FILES,
}
_RUN_OPTIONS = {"--no-parity", "--parity-steps", "--parity-budget"}
RUN_FLAGS: tuple[Flag, ...] = tuple(
    flag for flag in FLAGS if flag.section in _RUN_SECTIONS or flag.name in _RUN_OPTIONS
)
"""The options of `stepbench run` that have the same meaning in a check."""


@dataclass(frozen=True)
class CheckOptions:
    """The options of a check.

    Attributes:
        run: The cases and their settings, as in a run.
        base: The revision to compare with; `None` for head's files.
        head: The revision that is compared; `None` for the working tree.
        base_python: The Python that base runs in; `None` for this one.
        shared: Files and folders that git ignores and both sides need.
        min_effect: The smallest effect to detect, a share of the step.
        min_effects: Other smallest effects for some rows; of those that fit a row, the last counts.
        strict: True if a check that could not tell is to fail.
        budget_s: The longest that a check measures, seconds.
        turns: The number and length of the turns of a pair.
        one_at_a_time: True if the sides of a pair are never alive at once.
        script: The script that is compared, and its arguments; empty for workloads.
    """

    run: Options
    base: str | None
    head: str | None
    base_python: Path | None
    shared: tuple[Path, ...]
    min_effect: float
    min_effects: tuple[MinEffect, ...]
    strict: bool
    budget_s: float
    turns: TurnOptions
    one_at_a_time: bool = False
    script: tuple[str, ...] = ()


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
            "--base: give what to compare with: a git revision (--base main), or another "
            "environment (--base-python PYTHON)"
        )
    min_effect, min_effects = _min_effects(value["--min-effect"] or ())
    return CheckOptions(
        run=run,
        base=value["--base"],
        head=value["--head"],
        base_python=_python(value["--base-python"]),
        shared=tuple(_shared(argument) for argument in value["--share"] or ()),
        min_effect=min_effect,
        min_effects=min_effects,
        strict=bool(value["--strict"]),
        budget_s=values.duration("--budget", value["--budget"], BUDGET_S),
        turns=TurnOptions(total_s=values.duration("--pair-time", value["--pair-time"], PAIR_S)),
        one_at_a_time=bool(value["--one-at-a-time"]),
    )


def _min_effects(words: Sequence[str]) -> tuple[float, tuple[MinEffect, ...]]:
    """Reads `3%`, `forward=5%` and `gpt-*=5%`: the share of all rows, and those of some rows.

    Whether rows fit a case is known once both sides' cases are.

    Raises:
        UsageError: A share cannot be used.
    """
    min_effect, others = MIN_EFFECT, []
    for word in words:
        rows, equals, text = word.rpartition("=")
        option = f"--min-effect {rows}=" if equals else "--min-effect"
        share = values.share(option, text, MIN_EFFECT, *MIN_EFFECT_LIMITS)
        if equals:
            others.append(MinEffect(rows=rows, share=share))
        else:
            min_effect = share
    return min_effect, tuple(others)


def _python(argument: str | None) -> Path | None:
    python = values.path("--base-python", argument)  # not resolved: a venv's Python is often a link
    if python is not None and not python.is_file():
        raise UsageError(
            f"--base-python {argument}: is not a file; give the path of an environment's Python, "
            f"such as ../torch-2.9/bin/python"
        )
    return python


def _shared(argument: str) -> Path:
    path = values.path("--share", argument)
    if path is None or not path.exists():
        raise UsageError(f"--share {argument}: does not exist; give an existing file or folder")
    return path.resolve()

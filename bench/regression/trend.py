"""A stored run as base: head is measured as that run was, and the two are laid side by side.

Whatever else differs between two times of day differs between two runs, so that this shows a trend
and confirms no regression.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import host, store
from bench.case import AXES
from bench.errors import UsageError
from bench.options import DEADLINE_S
from bench.regression.options import CheckOptions
from bench.request import Sampling
from bench.settings import Settings

_MACHINE = ("cpu", "usable_cores", "memory_bytes")
PREFIX = "trend-"
REPORT = "trend.md"
CAVEAT = (
    "A trend, and no verdict: noise between runs is not controlled, and nothing was confirmed. To "
    "know whether head is slower, compare with a revision: --base main."
)


class TrendError(Exception):
    """Head could not be measured."""


def run(asked: CheckOptions, stored: Path, console: Console) -> Path:
    """Measures head as a stored run was, and compares.

    Args:
        asked: What to check.
        stored: The run's directory.
        console: Where to.

    Returns:
        The file with the comparison, in Markdown.

    Raises:
        UsageError: The run cannot be read, or is another machine's.
        TrendError: Head could not be measured.
    """
    try:
        facts: dict[str, Any] = json.loads((stored / "run.json").read_text())
    except (OSError, ValueError):
        raise UsageError(f"--base {stored}: its run.json is damaged; name another run") from None
    _refuse_others(asked, stored)
    there, here = facts.get("machine", {}), host.machine()
    differing = [f"{there.get(n)}, here {here[n]}" for n in _MACHINE if there.get(n) != here[n]]
    if differing and not asked.other_machine:
        raise UsageError(
            f"--base {stored}: was measured on another machine ({'; '.join(differing)}), so that "
            f"machines would be compared; add --other-machine to do so all the same"
        )
    output = asked.run.output or store.fresh_path(PREFIX)
    if asked.run.output is None:
        output.parent.mkdir(parents=True, exist_ok=True)
        store.keep_out_of_git(output.parent)
    command = [
        *(sys.executable, "-m", "bench"),
        *_axes(facts["axes"]),
        *_unusual(facts["settings"], vars(Settings())),
        *_unusual(facts["sampling"], {**vars(Sampling()), "deadline_s": DEADLINE_S}),
        *(() if facts["data_dir"] is None else ("--data-dir", facts["data_dir"])),
        "--no-parity",
        *("--output", str(output)),
    ]
    done = subprocess.run(command, check=False)
    if not (output / "report.md").is_file():
        raise TrendError(f"python -m bench left with {done.returncode} and no report")
    from reports import against, load  # noqa: PLC0415  # pandas takes a second, --help need not

    text = f"{against.markdown(load(output), [load(stored)])}\n> {CAVEAT}\n"
    place = output / REPORT
    place.write_text(text)
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    return place


def _refuse_others(asked: CheckOptions, stored: Path) -> None:
    """A trend is measured as its base was: nothing else can be asked of it."""
    given = {
        "--head": asked.head is not None,
        "--base-python": asked.base_python is not None,
        "--share": bool(asked.shared),
        **{f"--{name.replace('_', '-')}": True for name in sorted(asked.run.named - {"output"})},
    }
    for option, is_given in given.items():
        if is_given:
            raise UsageError(
                f"{option}: with --base {stored}, a run, head is measured as that run was; leave "
                f"it out, or compare with a revision"
            )


def _axes(axes: Mapping[str, list[Any]]) -> Iterator[str]:
    """A run's axes as options."""
    words = {True: "on", False: "off"}
    for axis in AXES:
        if axes.get(axis.name):
            yield axis.flag
            for value in axes[axis.name]:
                yield words[value] if isinstance(value, bool) else str(value)


def _unusual(stored: Mapping[str, Any], usual: Mapping[str, Any]) -> Iterator[str]:
    """What a run was told otherwise than usual, as options."""
    for name, value in stored.items():
        if name in usual and value != usual[name]:
            yield f"--{name.removesuffix('_s').replace('_', '-')}"
            if value is not True:
                yield str(value)

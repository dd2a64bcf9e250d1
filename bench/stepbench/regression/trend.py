"""Compares head with a stored run: measures head with the run's options first.

The machine's state changes between two runs. Their comparison therefore shows a trend, and confirms
no regression.
"""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from stepbench import machine
from stepbench.config.axes import AXES
from stepbench.config.values import option_name
from stepbench.errors import UsageError
from stepbench.regression.options import CheckOptions
from stepbench.results import claim
from stepbench_reports.schema.files import RUN, DamageError, read_record
from stepbench_reports.schema.measurement import SCHEMA
from stepbench_reports.schema.run import RunFacts, SamplingOptions, Settings, Value

_MACHINE_FIELDS = ("cpu", "usable_cores", "memory_bytes")
PREFIX = "trend-"
REPORT = "trend.md"
CAVEAT = (
    "A trend, not a verdict: noise between runs is not controlled, and nothing is confirmed. To "
    "test whether head is slower, compare with a revision: --base main."
)

RunPart = TypeVar("RunPart", SamplingOptions, Settings)


class TrendError(Exception):
    """Head could not be measured."""


def run(options: CheckOptions, stored: Path, console: Console) -> Path:
    """Measures head with the options of a stored run, and compares the two runs.

    Args:
        options: The check's options.
        stored: The run's directory.
        console: The terminal.

    Returns:
        The file with the comparison, in Markdown.

    Raises:
        UsageError: The run cannot be read, was measured on another machine, or rules out an option.
        TrendError: Head could not be measured.
    """
    try:
        facts = read_record(stored / RUN, RunFacts, SCHEMA)
    except (FileNotFoundError, DamageError) as error:
        fault = error.fault if isinstance(error, DamageError) else "does not exist"
        raise UsageError(
            f"--base {stored}: its {RUN} cannot be used ({fault}); name another run"
        ) from None
    _refuse_options(options, stored)
    this_machine = machine.machine_facts()
    values = [(getattr(facts.machine, n, None), getattr(this_machine, n)) for n in _MACHINE_FIELDS]
    differing = [f"{old}, here {new}" for old, new in values if old != new]
    if differing and not options.other_machine:
        raise UsageError(
            f"--base {stored}: was measured on another machine ({'; '.join(differing)}); add "
            f"--other-machine to compare anyway"
        )
    output = options.run.output or claim.fresh_path(PREFIX)
    if options.run.output is None:
        output.parent.mkdir(parents=True, exist_ok=True)
        claim.keep_out_of_git(output.parent)
    command = [
        *(sys.executable, "-m", "stepbench", "run"),
        *_axes(facts.axes),
        *_changed_options(facts.settings, Settings()),
        *_changed_options(facts.sampling, SamplingOptions()),
        *(() if facts.data_dir is None else ("--data-dir", facts.data_dir)),
        "--no-parity",
        *("--output", str(output)),
    ]
    completed = subprocess.run(command, check=False)
    if not (output / "report.md").is_file():
        raise TrendError(f"stepbench run wrote no report (exit code {completed.returncode})")
    from stepbench_reports import load  # noqa: PLC0415  # pandas takes a second to import
    from stepbench_reports.comparing import against  # noqa: PLC0415  # pandas imports slowly

    text = f"{against.markdown(load(output), [load(stored)])}\n> {CAVEAT}\n"
    report = output / REPORT
    report.write_text(text)
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    return report


def _refuse_options(options: CheckOptions, stored: Path) -> None:
    """Refuses options that would measure head differently from the stored run."""
    given = {
        "--head": options.head is not None,
        "--base-python": options.base_python is not None,
        "--share": bool(options.shared),
        **{option_name(name): True for name in sorted(options.run.given - {"output"})},
    }
    for option, is_given in given.items():
        if is_given:
            raise UsageError(
                f"{option}: --base {stored} is a run, and head is measured with that run's "
                f"options; leave {option} out, or compare with a revision"
            )


def _axes(axes: Mapping[str, Sequence[Value]]) -> Iterator[str]:
    """Yields a run's axes as command-line options."""
    switches = {True: "on", False: "off"}
    for axis in AXES:
        if axes.get(axis.name):
            yield axis.flag
            for value in axes[axis.name]:
                yield switches[value] if isinstance(value, bool) else str(value)


def _changed_options(stored: RunPart, defaults: RunPart) -> Iterator[str]:
    """Yields a run's options that differ from the defaults."""
    for name in defaults.__struct_fields__:
        value = getattr(stored, name)
        if value != getattr(defaults, name):
            yield option_name(name.removesuffix("_s"))
            if value is not True:
                yield str(value)

"""Writes `run-directory.md` from the records of `stepbench_reports.schema`, and their docstrings.

`python docs/run_directory.py` writes it; a test keeps it current.
"""

import inspect
import re
import sys
import typing
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from msgspec import Meta, Struct

from stepbench_reports.schema import check, cluster, measurement, results, run, verdict
from stepbench_reports.schema.record import Record

PAGE = Path(__file__).parent / "run-directory.md"
HEAD = """\
# The run directory

<!-- Written by docs/run_directory.py from the records of stepbench_reports.schema. -->

A run leaves one directory. Everything that stepbench reports is computed from it alone, so a report
can be made again later, elsewhere, and without torch: `stepbench report results/latest`.

```
results/20261124-123015-k3f9/
  run.json            the cases and options of the run, and the machine
  cases/<id>.json     a case's measurement, written atomically
  parity/<id>.json    the comparison of the case's tensors with a reference
  train-parity/<id>.json   with --train-parity: the comparison of trained models
  profiles/<id>.json  with --profile: operators by phase, curves, loader workers
  traces/<id>.pt.trace.json.gz   the case's profiler trace, for ui.perfetto.dev
  tb/<workload>/<case>/          the case's log directory for TensorBoard
  snapshots/<id>.pickle          with --memory-snapshot: a CUDA device's allocations
  hosts/<name>.json   with --on: a node that has measured cases
  repeats/<number>-<id>.json     with --on: a further measurement of a case, by another job
  jobs/<number>.json  with --on: what a job measures; .start.json: where; .outcome.json: its end
  jobs/<number>.log   with --on: the job's output
  benchmark.json      the same laps in pytest-benchmark's format
  report.html         the report for a browser, readable without network
  report.md           the report for a pull request
  figures/*.svg       the page's figures
  samples.parquet     a row per case, clock and step
  phases.csv          a row per case and phase
  operators.csv       with --profile: a row per case, phase, operator and shapes
```

A regression check leaves a directory with `check.json`, `pairs.jsonl`, `facts.jsonl`
and `verdict.json`; [regression.md](regression.md) describes its reports.

A figure that was not measured is `null`, never 0. A field that a file lacks has its default value,
and an unknown field is ignored. If a file is damaged or of a newer version, one sentence names the
file and the wrong field; the other cases are shown, and `--resume` measures the damaged case again.
In Python, `stepbench.load(DIR)` gives the figures as pandas frames.
"""
FILES: tuple[tuple[str, type[Record], str], ...] = (
    ("`run.json`", run.RunFacts, ""),
    (
        "`cases/<id>.json`",
        results.MeasurementRecord,
        "The fields of `Findings` stand beside these.",
    ),
    ("`parity/<id>.json`", results.ParityRecord, ""),
    ("`train-parity/<id>.json`", results.TrainingParityRecord, ""),
    ("`profiles/<id>.json`", results.ProfileRecord, ""),
    ("`hosts/<name>.json`", cluster.HostFacts, ""),
    ("`jobs/<number>.json`", cluster.JobRequest, ""),
    ("`jobs/<number>.start.json`", cluster.JobStart, ""),
    ("`jobs/<number>.outcome.json`", cluster.JobOutcome, ""),
    ("`check.json`", check.CheckSpec, ""),
    ("`pairs.jsonl`: a line for each pair", check.PairLine, "Or, if a side failed:"),
    ("`pairs.jsonl`: a pair that failed", check.FailedPairLine, ""),
    *(
        (f"`facts.jsonl`: `{kind.__struct_config__.tag}`", kind, "")
        for kind in get_args(check.Fact)
    ),
    ("`verdict.json`", verdict.VerdictFile, ""),
)
"""Every file with its record, and a note."""


def document() -> str:
    """The page as Markdown."""
    parts, seen = [HEAD], set[type]()
    for title, kind, note in FILES:
        parts.append(f"## {title}\n\n" + "\n\n".join(_sections(kind, seen, level=3, top=True)))
        if note:
            parts.append(note)
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _sections(kind: type[Struct], seen: set[type], level: int, *, top: bool) -> Iterator[str]:
    """A record's table, and the tables of its nested records that are not in `seen` yet."""
    if kind in seen:
        return
    seen.add(kind)
    heading = "" if top else f"{'#' * level} {kind.__name__}\n\n"
    summary, meanings = described(kind)
    rows = [
        f"| `{name}` | {type_words(hint)} | {meanings.get(name, '')} |"
        for name, hint in typing.get_type_hints(kind, include_extras=True).items()
        if name in kind.__struct_fields__
    ]
    table = "\n".join(["| field | type | meaning |", "| --- | --- | --- |", *rows]) if rows else ""
    yield "\n\n".join(filter(None, (f"{heading}{summary}", table)))
    for inner in _records(kind):
        yield from _sections(inner, seen, level, top=False)


def described(kind: type) -> tuple[str, dict[str, str]]:
    """A record's docstring without its attributes, and all attributes' meanings by name."""
    meanings: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        text = inspect.cleandoc(base.__dict__.get("__doc__") or "")
        _, _, attributes = text.partition("Attributes:\n")
        for entry in re.split(r"\n(?=    \w+: )", f"\n{attributes}"):
            name, colon, meaning = entry.strip().partition(": ")
            if colon:
                meanings[name] = (
                    " ".join(meaning.split()).replace("|", "\\|").replace("`None`", "`null`")
                )
    summary = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:")[0].strip()
    return summary, meanings


def type_words(hint: Any) -> str:  # noqa: ANN401  # any annotation
    """A type in words: `seconds or null`, `list of Block`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        meta = next((item for item in arguments[1:] if isinstance(item, Meta)), Meta())
        return meta.description or type_words(arguments[0])
    if origin is not None:
        return _container_words(origin, arguments)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return ", ".join(f"`{value}`" for value in hint)
    return NAMES.get(hint) or f"[{hint.__name__}](#{hint.__name__.lower()})"


NAMES = {
    type(None): "`null`",
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    run.RunFacts: "[as `run.json`](#runjson)",
}
"""JSON types in words, and records that are described as files."""


def _container_words(origin: Any, arguments: tuple[Any, ...]) -> str:  # noqa: ANN401  # any annotation
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in {list, tuple}:
        return f"list of {type_words(arguments[0])}"
    if origin is dict:
        return f"{type_words(arguments[1])} by name"
    return " or ".join(type_words(argument) for argument in arguments)


def _records(kind: type) -> Iterator[type[Struct]]:
    """The records that a record's fields hold, in order."""
    if kind is results.MeasurementRecord:
        yield measurement.Findings
    for hint in typing.get_type_hints(kind).values():
        yield from _inside(hint)


def _inside(hint: Any) -> Iterator[type[Struct]]:  # noqa: ANN401  # any annotation
    if isinstance(hint, type) and issubclass(hint, Struct):
        yield hint
    for argument in get_args(hint):
        yield from _inside(argument)


if __name__ == "__main__":
    PAGE.write_text(document())
    print(f"wrote {PAGE}", file=sys.stderr)

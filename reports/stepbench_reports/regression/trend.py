"""Draws the verdicts and estimates of several checks over commits: `stepbench trend DIR...`."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from stepbench_reports.analysis.stats import Interval
from stepbench_reports.errors import ReportError
from stepbench_reports.figures.style import (
    FAINT,
    SETTINGS,
    Drawing,
    canvas,
    colour,
    marker,
    whiskers,
)
from stepbench_reports.regression import table, words
from stepbench_reports.regression.screening import SUITE
from stepbench_reports.schema.check import SCHEMA, CheckSpec
from stepbench_reports.schema.files import CHECK, VERDICT, DamageError, read_record
from stepbench_reports.schema.phases import STEP
from stepbench_reports.schema.verdict import Verdict, VerdictFile, VerdictRow
from stepbench_reports.wording import quantity

MAX_LINES = 8
"""The most cases of the figure; more would be hard to distinguish."""
COMMIT_CHARACTERS = 9
"""The length of a commit's hash in the table."""
CAPTION = (
    "Each point is the change from that check's own base to its head, as a share of the step, with "
    "its 95 % interval. Filled: a confirmed regression or improvement."
)


@dataclass(frozen=True)
class PastCheck:
    """A check that has ended.

    Attributes:
        spec: The specification.
        verdict: The verdict.
    """

    spec: CheckSpec
    verdict: VerdictFile

    @property
    def commit(self) -> str:
        """The short hash of head's commit, with a `+` if head has uncommitted changes."""
        head = self.spec.sides["head"]
        text = (head.commit or "no commit")[:COMMIT_CHARACTERS]
        return f"{text}+" if "uncommitted" in head.described else text

    @property
    def day(self) -> str:
        """The day of the check, UTC."""
        return self.spec.started[:10]

    def step(self, case: str) -> VerdictRow | None:
        """The row of a case's step; `None` if the check did not compare the case."""
        rows = (row for row in self.verdict.rows if (row.case, row.row) == (case, STEP))
        return next(rows, None)


def load(directories: Sequence[Path]) -> list[PastCheck]:
    """Reads checks, the oldest first.

    Args:
        directories: Directories of checks, or directories that contain such directories.

    Raises:
        ReportError: There is no check, or a file cannot be used.
    """
    paths = [path for directory in directories for path in _checks_in(directory)]
    return sorted((_past_check(path) for path in paths), key=lambda check: check.spec.started)


def _checks_in(directory: Path) -> list[Path]:
    if (directory / CHECK).is_file():
        return [directory]
    paths = sorted(file.parent for file in directory.glob(f"*/{CHECK}") if not _is_link(file))
    paths = [path for path in paths if (path / VERDICT).is_file()] or paths  # not killed ones
    if not paths:
        raise ReportError(
            f"{directory}: holds no check (it has no {CHECK}); give directories that stepbench "
            f"regression wrote, or the one that contains them"
        )
    return paths


def _is_link(file: Path) -> bool:
    """True if a check's directory is a link to another one, such as `latest`."""
    return file.parent.is_symlink()


def _past_check(path: Path) -> PastCheck:
    try:
        return PastCheck(
            read_record(path / CHECK, CheckSpec, SCHEMA),
            read_record(path / VERDICT, VerdictFile, SCHEMA),
        )
    except FileNotFoundError:
        raise ReportError(
            f"{path}: has no {VERDICT}; write it with stepbench report {path}"
        ) from None
    except DamageError as error:
        raise ReportError(f"{error}; leave {path} out") from None


def cases(checks: Sequence[PastCheck]) -> list[str]:
    """The cases that any check compared, in order; the suite comes last."""
    ids = dict.fromkeys(row.case for check in checks for row in check.verdict.rows)
    return sorted(ids, key=lambda case: case == SUITE)


def lines(checks: Sequence[PastCheck]) -> Iterator[str]:
    """The table: each case's id, followed by a row for each check."""
    rows = [
        (
            case,
            (f"  {check.day}", check.commit, quantity.percent_change(_change(row)), _verdict(row)),
        )
        for case in cases(checks)
        for check in checks
        if (row := check.step(case)) is not None
    ]
    heads = ("  day", "head", "change, of the step", "verdict")
    head, *texts = table.aligned([heads, *(cells for _, cells in rows)], "llrl")
    yield head
    last = None
    for (case, _), text in zip(rows, texts, strict=True):
        if case != last:
            yield words.name(case)
            last = case
        yield text


def _verdict(row: VerdictRow) -> str:
    seen = "" if row.detectable is None else f", would see {quantity.percent(row.detectable)}"
    return f"{words.SIGNS[row.verdict]}{seen}"


def _change(row: VerdictRow) -> Interval:
    figures = (row.change, row.low, row.high)
    return Interval(*(math.nan if figure is None else figure for figure in figures))


def drawing(checks: Sequence[PastCheck]) -> Drawing:
    """The figure: each case's change in each check, with its interval."""
    shown = cases(checks)[:MAX_LINES]
    with mpl.rc_context(SETTINGS):
        figure = _figure(checks, shown)
    left_out = len(cases(checks)) - len(shown)
    more = f" {left_out} more cases are in the table alone." if left_out else ""
    return Drawing("Change of the step by check", CAPTION + more, figure)


def _figure(checks: Sequence[PastCheck], shown: Sequence[str]) -> Figure:
    figure, (axes,) = canvas(4.2)
    for number, case in enumerate(shown):
        rows = [(place, row) for place, c in enumerate(checks) if (row := c.step(case)) is not None]
        changes = [_change(row) for _, row in rows]
        shift = 0.06 * (number - (len(shown) - 1) / 2)  # else intervals hide each other
        places = [place + shift for place, _ in rows]
        values = [change.value for change in changes]
        axes.errorbar(
            places, values, yerr=whiskers(changes), capsize=2, markerfacecolor="none",
            label=words.name(case), color=colour(number), marker=marker(number),
        )  # fmt: skip
        confirmed = [
            (place, value)
            for place, value, (_, row) in zip(places, values, rows, strict=True)
            if row.verdict in {Verdict.REGRESSION, Verdict.IMPROVEMENT}
        ]
        axes.plot(
            [place for place, _ in confirmed], [value for _, value in confirmed],
            linestyle="none", color=colour(number), marker=marker(number),
        )  # fmt: skip
    axes.axhline(0, color=FAINT, linewidth=1)
    axes.set_xticks(
        range(len(checks)), [f"{c.commit}\n{c.day}" for c in checks], rotation=45, ha="right"
    )
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylabel("head minus base, share of the step")
    axes.grid(color=FAINT, axis="y")
    axes.legend(fontsize=9, loc="lower left", bbox_to_anchor=(0, 1))
    return figure

"""The figures of throughput against batch size and loader workers, with ideal scaling."""

from collections.abc import Callable, Hashable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from stepbench_reports.figures.style import (
    FAINT,
    Drawing,
    canvas,
    colour,
    log_ticks,
    marker,
    thousands,
    whiskers,
)
from stepbench_reports.read import numbers
from stepbench_reports.read.axis_values import varying
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.schema.axes import AxisValues
from stepbench_reports.wording import naming

MAX_LINES = 8
"""The maximum number of lines of a plot; more would be hard to distinguish."""
HEADROOM = 1.1
"""The height of an axis from 0, as a multiple of its largest value."""
Line = list[Measurement]


def by_batch_size(run: Run) -> Drawing | None:
    """Draws samples/s against batch size; `None` with fewer than two batch sizes."""

    def ideal(axes: Axes, line: Line, number: int) -> None:
        first, last = line[0], line[-1]
        begin, end = (position(m, "batch_size") for m in (first, last))
        rate = first.samples_per_s.value
        axes.plot([begin, end], [rate, rate * end / begin], ":", color=colour(number), alpha=0.6)

    return _draw(
        run, "batch_size", ideal, "Throughput by batch size",
        "Samples/s of the mean step with 95 % intervals. Dotted: ideal scaling from each line's "
        "first point, as if a step took the same time at every batch size.",
    )  # fmt: skip


def by_workers(run: Run) -> Drawing | None:
    """Draws samples/s against loader workers; `None` with fewer than two numbers of workers."""

    def ideal(axes: Axes, line: Line, number: int) -> None:
        steps = [m.unloaded_step_s for m in line]
        rates = [m.samples / step_s for m, step_s in zip(line, steps, strict=True) if step_s > 0]
        if rates:
            axes.axhline(max(rates), linestyle=":", color=colour(number), alpha=0.6)

    return _draw(
        run, "num_workers", ideal, "Throughput by loader workers",
        "Samples/s of the mean step with 95 % intervals. Dotted: the same step on one reused "
        "batch, without loading.",
    )  # fmt: skip


def _draw(
    run: Run, axis: str, ideal: Callable[[Axes, Line, int], None], title: str, caption: str
) -> Drawing | None:
    by_axes = lines(run, axis)
    if not by_axes:
        return None
    shown = dict(list(by_axes.items())[:MAX_LINES])
    figure, (axes,) = canvas(4.2)
    all_cases = [m for line in by_axes.values() for m in line]
    other_axes = [n for n in varying(run.axis_names, all_cases) if n != axis]
    for number, line in enumerate(shown.values()):
        rates = [m.samples_per_s for m in line]
        axes.errorbar(
            [position(m, axis) for m in line],
            [rate.value for rate in rates],
            yerr=whiskers(rates),
            color=colour(number),
            marker=marker(number),
            capsize=2,
            label=line_label(line, other_axes),
        )
        ideal(axes, line, number)
    values = [position(m, axis) for m in all_cases]
    if min(values) > 0:
        log_ticks(axes, values)
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xticks(sorted({*values}))
        axes.set_ylim(0, HEADROOM * max(m.samples_per_s.value for m in all_cases))
    axes.yaxis.set_major_formatter(FuncFormatter(thousands))
    axes.set_xlabel(naming.head(axis))
    axes.set_ylabel("samples/s")
    axes.grid(color=FAINT)
    legend(axes)
    left_out = (
        f" The first {MAX_LINES} of {len(by_axes)} lines." if len(by_axes) > MAX_LINES else ""
    )
    return Drawing(title, caption + left_out, figure)


def lines(run: Run, axis: str) -> Mapping[Hashable, Line]:
    """Groups of two or more cases that may be compared, of one host, and differ only in `axis`.

    Each is sorted by it.
    """
    by_axes: dict[Hashable, Line] = {}
    for m in run.measurements:
        if m.counts and isinstance(m.axes.get(axis), int) and m.samples_per_s.value > 0:
            by_axes.setdefault((m.host, _other_axes(m.axes, axis)), []).append(m)
    ordered = {key: sorted(line, key=lambda m: position(m, axis)) for key, line in by_axes.items()}
    return {key: line for key, line in ordered.items() if len(line) > 1}


def line_label(line: Line, other_axes: Sequence[str]) -> str:
    """A line's values on the other axes that vary, and its host; empty if it has none."""
    return " ".join(filter(None, [naming.label(line[0].axes, other_axes), line[0].host]))


def legend(axes: Axes) -> None:
    """Names the lines above a plot, unless there is only one and nothing to tell it from."""
    if any(axes.get_legend_handles_labels()[1]):
        axes.legend(fontsize=9, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))


def position(case: Measurement, axis: str) -> float:
    """A case's value on a numeric axis."""
    return numbers.number(case.axes[axis])


def _other_axes(axes: AxisValues, axis: str) -> Hashable:
    """The values on the other axes that have a meaning for every value of `axis`."""
    moot = {axis, *(["prefetch_factor", "persistent_workers"] if axis == "num_workers" else [])}
    return tuple((name, str(value)) for name, value in axes.items() if name not in moot)

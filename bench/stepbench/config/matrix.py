"""A matrix: the values of each axis, and the cases that they span."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stepbench.config.axes import AXES, AXIS, EVERY_DEVICE
from stepbench.config.case import Case
from stepbench.errors import UsageError
from stepbench_reports.schema.axes import DEFAULTS
from stepbench_reports.schema.axis_labels import INFO, workload_label
from stepbench_reports.schema.run import Value


@dataclass(frozen=True)
class Matrix:
    """The axes and the cases that they span.

    Attributes:
        axes: The values of each axis.
        include: Cases to add; an axis that an entry omits has the first of the axis's values.
        exclude: Cases to leave out: those that match all values of an entry.
    """

    axes: Mapping[str, tuple[Any, ...]]
    include: tuple[Mapping[str, Value], ...] = ()
    exclude: tuple[Mapping[str, Value], ...] = ()

    @classmethod
    def of(cls, cases: Sequence[Case]) -> "Matrix":
        """The matrix of some cases, in their order.

        Args:
            cases: Cases in the form in which `cases` has them; at least one.
        """
        first, *others = (case.values() for case in cases)
        return cls({name: (value,) for name, value in first.items()}, tuple(others))

    def on(self, devices: Iterable[str]) -> "Matrix":
        """The same matrix with `EVERY_DEVICE` replaced by the given devices."""
        if EVERY_DEVICE not in self.axes.get("device", ()):
            return self
        return replace(self, axes={**self.axes, "device": tuple(devices)})

    @property
    def cases(self) -> tuple[Case, ...]:
        """All distinct cases: the product of the axes in their order, then those of `include`.

        An axis that has no meaning in a case, such as `prefetch_factor` without workers, has its
        default value in that case, so no case is measured twice.

        Raises:
            UsageError: No case is left, two workloads would have the same name, or a requested
                value has no meaning in any case.
        """
        product = (
            Case(**dict(zip(self.axes, values, strict=True)))
            for values in itertools.product(*self.axes.values())
        )
        first = {name: values[0] for name, values in self.axes.items()}
        cases = [case for case in product if not self._excludes(case)]
        cases += [Case(**{**first, **extra}) for extra in self.include]
        unique = tuple(dict.fromkeys(case.normalized() for case in cases))
        if not unique:
            raise UsageError(
                "--matrix: exclude leaves no case; add values to an axis, or exclude fewer cases"
            )
        _refuse_shared_names(unique)
        self._refuse_ineffective_values(cases, unique)
        return unique

    def _refuse_ineffective_values(self, cases: list[Case], normalized: tuple[Case, ...]) -> None:
        """Raises `UsageError` for a value that normalization removes from every case."""
        for name, info in INFO.items():
            if info.need is None:
                continue
            requested = {getattr(case, name) for case in cases}
            ineffective = requested - {getattr(case, name) for case in normalized}
            for value in ineffective - {DEFAULTS[name]}:
                word = {True: "on", False: "off"}.get(value, value)
                raise UsageError(f"{AXIS[name].flag} {word}: {info.need.remedy}")

    def _excludes(self, case: Case) -> bool:
        return any(
            all(getattr(case, name) == value for name, value in pattern.items())
            for pattern in self.exclude
        )


def _refuse_shared_names(cases: tuple[Case, ...]) -> None:
    by_id: dict[str, Case] = {}
    for case in cases:
        # Some file systems tell apart no upper and lower case.
        other = by_id.setdefault(case.id.casefold(), case)
        if other != case:
            raise UsageError(
                f"--workload {case.workload}: has the same name in the results as "
                f"{other.workload}, {workload_label(case.workload)!r}; rename one, or measure "
                f"them in two runs"
            )


def default_matrix() -> Matrix:
    """The matrix of a run that names no axis."""
    return Matrix({axis.name: axis.default for axis in AXES})

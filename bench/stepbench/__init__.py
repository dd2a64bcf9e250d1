"""stepbench: where a training step's time goes, and which settings make it fastest.

Importing the package is fast: each public name is imported at first use, and torch only when
something is measured.
"""

TYPE_CHECKING = (
    False  # not from `typing`: `__main__` must first remove the current directory from `sys.path`
)
if TYPE_CHECKING:
    from stepbench.api import measure
    from stepbench.config.case import Case
    from stepbench.config.matrix import Matrix
    from stepbench.errors import UnsupportedError, UsageError
    from stepbench.training.step import Step
    from stepbench.workload.data_choice import DataChoice
    from stepbench.workload.metrics import right_answers
    from stepbench.workload.workload import Workload
    from stepbench_reports import load
    from stepbench_reports.schema.phases import Phase

__all__ = [
    "Case",
    "DataChoice",
    "Matrix",
    "Phase",
    "Step",
    "UnsupportedError",
    "UsageError",
    "Workload",
    "load",
    "measure",
    "right_answers",
]

_MODULES = {
    "Case": "stepbench.config.case",
    "DataChoice": "stepbench.workload.data_choice",
    "Matrix": "stepbench.config.matrix",
    "Phase": "stepbench_reports.schema.phases",
    "Step": "stepbench.training.step",
    "UnsupportedError": "stepbench.errors",
    "UsageError": "stepbench.errors",
    "Workload": "stepbench.workload.workload",
    "load": "stepbench_reports",
    "measure": "stepbench.api",
    "right_answers": "stepbench.workload.metrics",
}
"""The module of each public name."""


def __getattr__(name: str) -> object:
    """Imports a public name at first use (PEP 562)."""
    from importlib import import_module  # noqa: PLC0415  # after `__main__` has changed `sys.path`

    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The module's names, including public names that are not imported yet."""
    return sorted({*globals(), *__all__})

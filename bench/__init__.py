"""stepbench: where a training step's time goes, and which settings make it fastest.

Importing this costs next to nothing: torch is imported when something is measured.
"""

from bench.case import Case, Matrix
from bench.errors import UnsupportedError, UsageError
from bench.notebook import measure
from bench.phases import Phase
from bench.workload import DataChoice, Workload

__all__ = [
    "Case",
    "DataChoice",
    "Matrix",
    "Phase",
    "UnsupportedError",
    "UsageError",
    "Workload",
    "measure",
]

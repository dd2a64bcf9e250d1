"""A CUDA memory snapshot: every allocation of some steps, for pytorch.org/memory_viz."""

from collections.abc import Callable
from pathlib import Path

import torch

from stepbench_reports.schema.files import atomic_write

ENTRIES = 200_000
"""The number of allocations that are kept, the latest."""


def take(run: Callable[[], None], place: Path) -> int:
    """Records a run's allocations and writes them to a file.

    Args:
        run: Runs some steps on the current CUDA device.
        place: The file; it appears only once it is complete.

    Returns:
        The file's size, bytes.
    """
    memory = torch.cuda.memory
    memory._record_memory_history(max_entries=ENTRIES)
    try:
        run()
        torch.cuda.synchronize()
        with atomic_write(place) as beside:
            memory._dump_snapshot(str(beside))  # type: ignore[no-untyped-call]  # torch leaves it untyped
    finally:
        memory._record_memory_history(enabled=None)
    return place.stat().st_size

"""A CUDA memory snapshot: every allocation of some steps, for pytorch.org/memory_viz."""

from collections.abc import Callable
from pathlib import Path

import torch

from stepbench_reports.schema.files import atomic_write

ENTRIES = 200_000
"""How many allocations are kept, the last ones."""


def take(run: Callable[[], None], place: Path) -> int:
    """Records the allocations of what is run.

    Args:
        run: Some steps on the current CUDA device.
        place: The file; it shows up there only once it is complete.

    Returns:
        Its size in bytes.
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

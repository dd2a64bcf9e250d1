"""A CUDA memory snapshot: every allocation of some steps, for pytorch.org/memory_viz."""

from collections.abc import Callable
from pathlib import Path

import torch

from stepbench_reports.schema.files import atomic_write

MAX_ENTRIES = 200_000
"""The number of allocations that are kept, the latest."""


def take(run: Callable[[], None], file: Path) -> int:
    """Records a run's allocations, with their Python stacks, and writes them to a file.

    C++ frames are left out: torch looks up their symbols when it writes the file, which takes
    minutes.

    Args:
        run: Runs some steps on the current CUDA device.
        file: The file; it appears only once it is complete.

    Returns:
        The file's size, bytes.
    """
    memory = torch.cuda.memory
    memory._record_memory_history(stacks="python", max_entries=MAX_ENTRIES)
    try:
        run()
        torch.cuda.synchronize()
        with atomic_write(file) as temporary:
            memory._dump_snapshot(str(temporary))  # type: ignore[no-untyped-call]  # torch leaves it untyped
    finally:
        memory._record_memory_history(enabled=None)
    return file.stat().st_size

"""The peak memory of the process tree."""

import mmap
import sys

import pytest

from stepbench.measurement.memory import HostPeak

SIZE = 64 * 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="PSS is Linux's")
def test_shared_memory_of_one_process_counts_whole() -> None:
    """NVIDIA's driver maps page-locked memory in this way."""
    with HostPeak() as before:
        pass
    with mmap.mmap(-1, SIZE) as shared:
        shared.write(b"x" * SIZE)
        with HostPeak() as during:
            pass
    assert during.peak_bytes > before.peak_bytes + 0.9 * SIZE

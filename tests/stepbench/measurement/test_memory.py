"""The peak memory of the process tree, and of the device."""

import mmap
import sys
from types import SimpleNamespace

import pytest
import torch

from stepbench.config.case import Case
from stepbench.measurement.memory import HostPeak, device_peak_bytes

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


@pytest.mark.parametrize(
    ("compile_mode", "expected"), [("off", 20), ("default", 20), ("reduce-overhead", 30)]
)
def test_the_peak_with_cuda_graphs_is_that_of_reserved_memory(
    monkeypatch: pytest.MonkeyPatch, compile_mode: str, expected: int
) -> None:
    module = SimpleNamespace(max_memory_allocated=lambda _: 20, max_memory_reserved=lambda _: 30)
    monkeypatch.setattr(torch, "get_device_module", lambda _: module)
    case = Case(workload="net", device="cuda:1", compile=compile_mode)
    assert device_peak_bytes(case) == expected


def test_a_device_without_memory_statistics_has_no_peak() -> None:
    assert device_peak_bytes(Case(workload="net")) is None

"""The kinds of devices, tested on a machine without accelerators."""

import platform
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import torch

from stepbench import machine
from stepbench.devices import kinds
from stepbench.devices.clock import EventClock, HostClock
from stepbench.errors import UnsupportedError, UsageError
from stepbench_reports.schema.measurement import DevicePeak


@pytest.fixture
def tpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two accelerators of a kind that has no file in `devices/`."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    device = type("Device", (), {"type": "tpu"})()
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: device)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr(torch, "get_device_module", lambda _: object())


def without_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)


def test_the_table_has_each_kind_under_its_name() -> None:
    assert {name: kind.name for name, kind in kinds.KINDS.items()} == {
        name: name for name in ("cpu", "cuda", "mps", "xpu")
    }


def test_the_kind_ignores_the_index() -> None:
    assert kinds.kind_of("cuda:1") is kinds.kind_of("cuda")
    assert kinds.kind_of("cpu") is kinds.KINDS["cpu"]


def test_without_an_accelerator_only_the_cpu_is_present(monkeypatch: pytest.MonkeyPatch) -> None:
    without_accelerator(monkeypatch)
    assert kinds.present() == {"cpu": machine.cpu_name()}
    kinds.check("cpu")
    kinds.check("cpu:0")
    kinds.select("cpu:0")


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("mps", r"--device mps: this machine has no such device; choose from cpu$"),
        ("cuda", r"choose from cpu; the installed torch is built without CUDA$"),
        (
            "cpu:1",
            r"--device cpu:1: this machine has no such device; choose from cpu:0$",
        ),
    ],
)
def test_an_absent_device_is_refused(
    monkeypatch: pytest.MonkeyPatch, device: str, message: str
) -> None:
    without_accelerator(monkeypatch)
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(UsageError, match=message):
        kinds.check(device)


@pytest.mark.usefixtures("tpu")
def test_an_accelerator_of_an_unknown_kind_is_used_through_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert list(kinds.present().items())[1:] == [("tpu", "TPU")]
    kinds.check("tpu:1")
    with pytest.raises(UsageError, match="choose from tpu:0 to tpu:1"):
        kinds.check("tpu:2")
    selected: list[int] = []
    monkeypatch.setattr(torch.accelerator, "set_device_index", selected.append)
    kinds.select("tpu")
    kinds.select("tpu:1")
    assert selected == [1]
    kind = kinds.kind_of("tpu:1")
    kind.reset_peak_memory("tpu:1")
    assert kind.peak_memory("tpu:1") == DevicePeak()
    assert kind.gauge("tpu:1") is None
    assert kind.profiler_activity() is None
    assert not kind.records_allocations
    kind.require_compiler()
    kind.require_precision("bf16", "tpu:1")


def test_each_kind_has_its_clock() -> None:
    assert isinstance(kinds.kind_of("cpu").clock("cpu"), HostClock)
    for device in ("cuda", "mps", "xpu"):
        clock = kinds.kind_of(device).clock(device)
        assert isinstance(clock, EventClock)
        assert clock.clock_name == f"{device} events"


class FakeModule:
    """Replaces torch's module of a device type; records its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Callable[..., int]:
        def call(*arguments: Any) -> int:
            self.calls.append((name, *arguments))
            return len(self.calls)

        return call


@pytest.mark.parametrize(("device", "given"), [("cuda:1", (torch.device("cuda:1"),)), ("mps", ())])
def test_a_clock_synchronizes_through_the_module_of_its_device(
    monkeypatch: pytest.MonkeyPatch, device: str, given: tuple[Any, ...]
) -> None:
    module = FakeModule()
    monkeypatch.setattr(torch, "get_device_module", lambda _: module)
    kinds.kind_of(device).clock(device).synchronize()
    assert module.calls == [("synchronize", *given)]


@pytest.mark.parametrize("device", ["cuda:1", "xpu"])
def test_peak_memory_is_read_from_the_allocator(
    monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    module = FakeModule()
    monkeypatch.setattr(torch, "get_device_module", lambda _: module)
    kind = kinds.kind_of(device)
    kind.reset_peak_memory(device)
    assert kind.peak_memory(device) == DevicePeak(
        device_peak_allocated_bytes=2, device_peak_reserved_bytes=3
    )
    torch_device = torch.device(device)
    assert module.calls == [
        ("reset_peak_memory_stats", torch_device),
        ("max_memory_allocated", torch_device),
        ("max_memory_reserved", torch_device),
    ]


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_devices_without_memory_statistics_have_no_peak(device: str) -> None:
    kinds.kind_of(device).reset_peak_memory(device)
    assert kinds.kind_of(device).peak_memory(device) == DevicePeak()


@pytest.mark.parametrize(
    ("stats", "held"),
    [
        ({"allocated_bytes.current": 1, "reserved_bytes.current": 4}, 4),  # torch 2.7
        ({"active_bytes.current": 1, "allocated_bytes.current": 4}, 4),  # newer
        ({"active_bytes.current": 0, "allocated_bytes.current": 0}, 0),
        ({}, None),  # CUDA is not in use
    ],
)
def test_page_locked_memory_counts_in_use_or_cached(
    monkeypatch: pytest.MonkeyPatch, stats: dict[str, int], held: int | None
) -> None:
    monkeypatch.setattr(torch.cuda, "host_memory_stats", lambda: stats, raising=False)
    assert kinds.kind_of("cuda").pinned_bytes() == held


def test_page_locked_memory_is_unknown_where_torch_does_not_count_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(torch.cuda, "host_memory_stats", raising=False)
    for device in ("cpu", "cuda", "mps", "xpu"):
        assert kinds.kind_of(device).pinned_bytes() is None


def test_only_nvidia_devices_have_a_gauge() -> None:
    assert kinds.kind_of("cpu").gauge("cpu") is None
    assert kinds.kind_of("mps").gauge("mps") is None
    assert kinds.kind_of("xpu:0").gauge("xpu:0") is None


@pytest.mark.parametrize("device", ["cpu", "mps", "xpu"])
def test_only_nvidia_devices_support_tf32(device: str) -> None:
    kind = kinds.kind_of(device)
    for precision in ("fp32", "bf16", "fp16"):
        kind.require_precision(precision, device)
    with pytest.raises(UnsupportedError, match=f"{device} does not support TF32") as raised:
        kind.require_precision("tf32", device)
    assert raised.value.axis == "precision"


def test_an_older_nvidia_gpu_lacks_tf32_and_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    cuda = kinds.kind_of("cuda")
    cuda.require_precision("fp16", "cuda")
    with pytest.raises(UnsupportedError, match="cuda does not support TF32"):
        cuda.require_precision("tf32", "cuda")
    with pytest.raises(UnsupportedError, match="cuda does not support bfloat16; use --prec"):
        cuda.require_precision("bf16", "cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    cuda.require_precision("tf32", "cuda")


def test_a_gpu_without_triton_cannot_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.utils._triton.has_triton", lambda: False)
    with pytest.raises(UnsupportedError, match="install triton"):
        kinds.kind_of("cuda").require_compiler()
    kinds.kind_of("mps").require_compiler()


def test_the_profiler_records_devices_that_it_knows() -> None:
    from torch.profiler import ProfilerActivity

    activities = {name: kind.profiler_activity() for name, kind in kinds.KINDS.items()}
    assert activities == {
        "cpu": None, "cuda": ProfilerActivity.CUDA, "mps": None, "xpu": ProfilerActivity.XPU,
    }  # fmt: skip


def test_only_cuda_records_allocations() -> None:
    assert [name for name, kind in kinds.KINDS.items() if kind.records_allocations] == ["cuda"]


@pytest.mark.parametrize(
    ("listing", "code", "visible", "devices"),
    [
        ("GPU 0: NVIDIA H200 (UUID: GPU-1)", 0, None, ("cpu", "cuda")),
        ("GPU 0: NVIDIA H200 (UUID: GPU-1)", 0, "0", ("cpu", "cuda")),
        ("GPU 0: NVIDIA H200 (UUID: GPU-1)", 0, "", ("cpu",)),
        ("GPU 0: NVIDIA H200 (UUID: GPU-1)", 0, "-1", ("cpu",)),
        ("No devices were found", 0, None, ("cpu",)),
        ("GPU access blocked by the operating system", 9, None, ("cpu",)),
    ],
)
def test_nvidia_s_gpus_are_listed_without_torch(
    monkeypatch: pytest.MonkeyPatch,
    listing: str,
    code: int,
    visible: str | None,
    devices: tuple[str, ...],
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    done = subprocess.CompletedProcess(["nvidia-smi", "-L"], code, stdout=listing)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert kinds.listed_without_torch() == devices


def test_a_mac_s_gpu_is_listed_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert kinds.listed_without_torch() == ("cpu", "mps")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert kinds.listed_without_torch() == ("cpu",)


def test_the_allocator_s_settings_are_read_back_from_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch._C, "_accelerator_getAllocatorSettings", lambda: "a:1", raising=False)
    assert kinds.kind_of("cuda:1").allocator_settings() == "a:1"
    assert kinds.kind_of("xpu").allocator_settings() == "a:1"
    for device in ("cpu", "mps", "tpu"):
        assert kinds.kind_of(device).allocator_settings() is None


@pytest.mark.parametrize(("backend", "settings"), [("native", "a:1"), ("cudaMallocAsync", None)])
def test_an_older_torch_has_the_allocator_s_settings_in_its_snapshot(
    monkeypatch: pytest.MonkeyPatch, backend: str, settings: str | None
) -> None:
    def snapshot() -> dict[str, Any]:
        assert backend == "native"  # torch refuses a snapshot of another backend
        return {"allocator_settings": {"PYTORCH_CUDA_ALLOC_CONF": "a:1"}}

    monkeypatch.delattr(torch._C, "_accelerator_getAllocatorSettings", raising=False)
    monkeypatch.setattr(torch.cuda, "get_allocator_backend", lambda: backend)
    monkeypatch.setattr(torch.cuda.memory, "_snapshot", snapshot)
    assert kinds.kind_of("cuda").allocator_settings() == settings
    assert kinds.kind_of("xpu").allocator_settings() is None

import itertools
import json
import math
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec import structs
from PIL import Image

from stepbench import machine
from stepbench.errors import UsageError
from stepbench.interference.watch import MachineWatch
from stepbench.measurement import machine_peaks
from stepbench_reports.schema.machine import MachinePeaks
from stepbench_reports.schema.machine_use import MachineUse

QUIET = MachineUse(
    others=0.0, steal=0.0, pressure=0.0, cpu_per_wall=1.0, involuntary_switches=0,
    clock_hz=None, throttled=None,
)  # fmt: skip


@pytest.fixture(autouse=True)
def cache_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A separate cache, on a quiet machine."""
    monkeypatch.setenv("STEPBENCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(MachineWatch, "end", lambda _: QUIET)
    return tmp_path / "cache" / "machine-peaks"


@pytest.fixture(autouse=True)
def restored_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class FakeMeasurement:
    """Replaces the measurement; the rate is one higher each time, or the next of `rates`."""

    def __init__(self) -> None:
        self.times = 0
        self.rates: Iterator[float] = itertools.count(1.0)

    def __call__(self, _: Callable[[str], None], device: str) -> MachinePeaks:
        self.times += 1
        products = dict.fromkeys(machine_peaks.PRECISIONS, None) | {"fp32": next(self.rates)}
        return MachinePeaks(
            matmul_flops_per_s=products,
            copy_bytes_per_s=8.0,
            decoded_images_per_s=None,
            threads=torch.get_num_threads(),
            measured=f"for {device}",
        )


@pytest.fixture
def measurement(monkeypatch: pytest.MonkeyPatch) -> FakeMeasurement:
    fake = FakeMeasurement()
    monkeypatch.setattr(machine_peaks, "_measure", fake)
    return fake


def ignore(_: str) -> None:
    pass


def cpu(threads: int | None = None) -> MachinePeaks:
    return machine_peaks.machine_peaks(ignore, ("cpu",), threads)["cpu"]


def only_file(cache_directory: Path) -> Path:
    (path,) = cache_directory.iterdir()
    return path


def test_measured_peaks_are_plausible_and_cached(cache_directory: Path) -> None:
    messages: list[str] = []
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    first = machine_peaks.machine_peaks(messages.append, ("cpu",), None)
    assert list(first) == ["cpu"]
    facts = first["cpu"]
    products = dict(facts.matmul_flops_per_s)
    assert set(products) == {"fp32", "tf32", "bf16", "fp16"}
    assert products.pop("tf32") is None
    for rate in (*products.values(), facts.copy_bytes_per_s, facts.decoded_images_per_s):
        assert rate is not None
        assert 0 < rate < math.inf
    assert facts.threads == torch.get_num_threads()
    assert datetime.fromisoformat(facts.measured).utcoffset() == timedelta(0)
    assert any("bf16" in message for message in messages)
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before

    messages.clear()
    assert only_file(cache_directory).name.endswith(".json")
    assert machine_peaks.machine_peaks(messages.append, ("cpu",), None) == first
    assert not messages


def test_peaks_are_read_from_the_file(cache_directory: Path, measurement: FakeMeasurement) -> None:
    assert cpu().matmul_flops_per_s["fp32"] == 1
    path = only_file(cache_directory)
    content = json.loads(path.read_text())
    content["peaks"]["copy_bytes_per_s"] = 12345.0
    path.write_text(json.dumps(content))
    assert cpu().copy_bytes_per_s == 12345.0
    assert measurement.times == 1


def changed(**fields: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda content: {**content, "peaks": {**content["peaks"], **fields}}


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: None,
        lambda _: [],
        lambda _: {},
        lambda content: {**content, "peaks": None},
        lambda content: {**content, "key": {**content["key"], "torch": "1.0"}},
        changed(copy_bytes_per_s=0),
        changed(copy_bytes_per_s=-1.0),
        changed(copy_bytes_per_s=None),
        changed(copy_bytes_per_s=math.nan),
        changed(decoded_images_per_s=math.inf),
        changed(decoded_images_per_s="many"),
        changed(matmul_flops_per_s=None),
        changed(matmul_flops_per_s={"fp32": 1.0}),
    ],
)
def test_peaks_of_a_damaged_file_are_measured_again(
    cache_directory: Path, measurement: FakeMeasurement, damage: Callable[[dict[str, Any]], Any]
) -> None:
    cpu()
    path = only_file(cache_directory)
    path.write_text(json.dumps(damage(json.loads(path.read_text()))))
    assert cpu().matmul_flops_per_s["fp32"] == 2
    assert cpu().matmul_flops_per_s["fp32"] == 2  # from the cache
    assert measurement.times == 2


@pytest.mark.parametrize("content", [b"", b'{"key": {', b"\xff\xfe\x00"])
def test_peaks_of_a_truncated_file_are_measured_again(
    cache_directory: Path, measurement: FakeMeasurement, content: bytes
) -> None:
    cpu()
    only_file(cache_directory).write_bytes(content)
    cpu()
    cpu()
    assert measurement.times == 2


def test_each_number_of_threads_has_a_file(
    cache_directory: Path, measurement: FakeMeasurement
) -> None:
    assert [cpu(1).threads, cpu(2).threads, cpu(1).threads] == [1, 2, 1]
    assert measurement.times == 2
    names = sorted(path.name for path in cache_directory.iterdir())
    assert len(names) == 2
    assert "1threads" in names[0]
    assert "2threads" in names[1]
    assert all(f"torch{torch.__version__.partition('+')[0]}" in name for name in names)


def test_torch_s_default_number_of_threads_has_the_same_file_as_that_number(
    measurement: FakeMeasurement,
) -> None:
    torch.set_num_threads(2)
    assert cpu().threads == 2
    cpu(2)
    assert measurement.times == 1


@pytest.mark.parametrize(("name", "value"), [("cpu_name", "Another"), ("usable_cores", 97)])
def test_another_machine_has_another_file(
    measurement: FakeMeasurement, monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    cpu()
    monkeypatch.setattr(machine, name, lambda: value)
    cpu()
    assert measurement.times == 2


def test_peaks_measured_during_interference_are_measured_again(
    measurement: FakeMeasurement, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(MachineWatch, "end", lambda _: structs.replace(QUIET, others=0.4))
        assert cpu().matmul_flops_per_s["fp32"] == 1
    assert [cpu().matmul_flops_per_s["fp32"] for _ in range(2)] == [2, 2]
    assert measurement.times == 2


def test_on_a_machine_that_is_never_quiet_the_best_of_some_measurements_is_kept(
    measurement: FakeMeasurement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MachineWatch, "end", lambda _: structs.replace(QUIET, others=0.4))
    measurement.rates = iter([5.0, 7.0, 6.0])
    assert [cpu().matmul_flops_per_s["fp32"] for _ in range(5)] == [5, 7, 7, 7, 7]
    assert measurement.times == machine_peaks.MAX_TRIES


def test_a_cache_that_cannot_be_written_is_named_with_a_remedy(
    tmp_path: Path, measurement: FakeMeasurement
) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(UsageError, match=r"STEPBENCH_CACHE_DIR=.*set STEPBENCH_CACHE_DIR to"):
        cpu()
    assert measurement.times == 1


def test_no_temporary_file_is_left(cache_directory: Path, measurement: FakeMeasurement) -> None:
    cpu()
    assert measurement.times == 1
    assert [path.suffix for path in cache_directory.iterdir()] == [".json"]


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0
        self.waits = 0

    def now_ns(self) -> int:
        return self.now

    def synchronize(self) -> None:
        self.waits += 1


def test_the_best_trial_counts_and_none_is_shorter_than_the_clock_needs() -> None:
    clock = Clock()
    costs = iter([50_000_000, *[2_000_000] * 15, *[1_500_000] * 8, *[9_000_000] * 1000])

    def call() -> None:
        clock.now += next(costs)

    # The first call is not timed. Trials of 1, 2 and 4 calls are too short, and the one of 8 calls
    # is the first that counts; the next is better, and those after it are not.
    assert machine_peaks._fastest_s(call, clock) == pytest.approx(1.5e-3)  # type: ignore[arg-type]
    assert clock.waits > 5


def test_a_slow_call_is_timed_once() -> None:
    clock = Clock()
    calls = []

    def call() -> None:
        calls.append(0)
        clock.now += 10**9

    assert machine_peaks._fastest_s(call, clock) == 1.0  # type: ignore[arg-type]
    assert len(calls) == 2


def test_slow_products_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    sides: list[int] = []

    def slow(call: Callable[[], Any], _: object) -> float:
        sides.append(len(call()))
        return 1.0

    monkeypatch.setattr(machine_peaks, "_fastest_s", slow)
    assert machine_peaks._matmul_flops_per_s("cpu", "fp16") == 2 * 512**3
    assert sides == [512]


def test_fast_products_grow_to_the_limit_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    products: list[tuple[int, torch.dtype]] = []

    def fast(call: Callable[[], Any], _: object) -> float:
        product = call()
        products.append((len(product), product.dtype))
        return 1e-3

    monkeypatch.setattr(machine_peaks, "_fastest_s", fast)
    best = machine_peaks._matmul_flops_per_s("cpu", "bf16")
    assert products == [(side, torch.bfloat16) for side in (512, 1024, 2048)]
    assert best == pytest.approx(2 * 2048**3 / 1e-3)


def test_a_copy_is_read_and_written(monkeypatch: pytest.MonkeyPatch) -> None:
    copies: list[torch.Tensor] = []

    def once(call: Callable[[], Any], _: object) -> float:
        copies.append(call())
        return 0.5

    monkeypatch.setattr(machine_peaks, "_fastest_s", once)
    assert machine_peaks._copy_bytes_per_s("cpu") == 2 * 256 * 2**20 / 0.5
    assert copies[0].nbytes == 256 * 2**20
    assert bool((copies[0] == 1).all())


def test_images_are_decoded_completely(monkeypatch: pytest.MonkeyPatch) -> None:
    converted: list[tuple[str, tuple[int, int]]] = []
    convert = Image.Image.convert

    def watched(image: Image.Image, mode: str) -> Image.Image:
        assert image.format == "JPEG"
        result = convert(image, mode)
        converted.append((result.mode, result.size))
        return result

    def once(call: Callable[[], Any], _: object) -> float:
        call()
        return 2.0

    monkeypatch.setattr(Image.Image, "convert", watched)
    monkeypatch.setattr(machine_peaks, "_fastest_s", once)
    assert machine_peaks._decoded_images_per_s() == 10 / 2.0
    assert converted == [("RGB", (288, 288))] * 10


def test_the_precision_is_restored_after_a_failure() -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32

    def fail() -> None:
        with machine_peaks._in_precision("tf32"):
            assert torch.get_float32_matmul_precision() == "high"
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before

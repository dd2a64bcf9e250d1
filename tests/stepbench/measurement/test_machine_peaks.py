import json
import math
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from stepbench import machine
from stepbench.errors import UsageError
from stepbench.interference.watch import Disturbance, MachineWatch
from stepbench.measurement import machine_peaks
from stepbench_reports.schema.machine import MachinePeaks

QUIET = Disturbance(
    others=0.0, steal=0.0, pressure=0.0, cpu_per_wall=1.0, involuntary_switches=0,
    clock_hz=None, throttled=None,
)  # fmt: skip


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, on a machine that is quiet."""
    monkeypatch.setenv("STEPBENCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(MachineWatch, "end", lambda _: QUIET)
    return tmp_path / "cache" / "ceilings"


@pytest.fixture(autouse=True)
def own_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class Measuring:
    """Stands for the measuring: gives a rate that is one higher each time."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, _: Callable[[str], None], device: str) -> MachinePeaks:
        self.times += 1
        products = dict.fromkeys(machine_peaks.PRECISIONS, None) | {"fp32": float(self.times)}
        return MachinePeaks(
            matmul_flops_per_s=products,
            copy_bytes_per_s=8.0,
            decoded_images_per_s=None,
            threads=torch.get_num_threads(),
            measured=f"for {device}",
        )


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> Measuring:
    stands = Measuring()
    monkeypatch.setattr(machine_peaks, "_measured", stands)
    return stands


def silent(_: str) -> None:
    pass


def cpu(threads: int | None = None) -> MachinePeaks:
    return machine_peaks.machine_peaks(silent, ("cpu",), threads)["cpu"]


def only_file(place: Path) -> Path:
    (path,) = place.iterdir()
    return path


def test_what_is_measured_is_plausible_kept_and_given_again(place: Path) -> None:
    said: list[str] = []
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    first = machine_peaks.machine_peaks(said.append, ("cpu",), None)
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
    assert any("bf16" in words for words in said)
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before

    said.clear()
    assert only_file(place).name.endswith(".json")
    assert machine_peaks.machine_peaks(said.append, ("cpu",), None) == first
    assert not said


def test_what_the_file_says_is_adopted(place: Path, measuring: Measuring) -> None:
    assert cpu().matmul_flops_per_s["fp32"] == 1
    path = only_file(place)
    content = json.loads(path.read_text())
    content["ceilings"]["copy_bytes_per_s"] = 12345.0
    path.write_text(json.dumps(content))
    assert cpu().copy_bytes_per_s == 12345.0
    assert measuring.times == 1


def changed(**fields: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda content: {**content, "ceilings": {**content["ceilings"], **fields}}


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: None,
        lambda _: [],
        lambda _: {},
        lambda content: {**content, "ceilings": None},
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
def test_a_damaged_file_is_measured_anew(
    place: Path, measuring: Measuring, damage: Callable[[dict[str, Any]], Any]
) -> None:
    cpu()
    path = only_file(place)
    path.write_text(json.dumps(damage(json.loads(path.read_text()))))
    assert cpu().matmul_flops_per_s["fp32"] == 2
    assert cpu().matmul_flops_per_s["fp32"] == 2  # and kept
    assert measuring.times == 2


@pytest.mark.parametrize("content", [b"", b'{"key": {', b"\xff\xfe\x00"])
def test_a_file_cut_off_is_measured_anew(place: Path, measuring: Measuring, content: bytes) -> None:
    cpu()
    only_file(place).write_bytes(content)
    cpu()
    cpu()
    assert measuring.times == 2


def test_each_number_of_threads_has_a_file(place: Path, measuring: Measuring) -> None:
    assert [cpu(1).threads, cpu(2).threads, cpu(1).threads] == [1, 2, 1]
    assert measuring.times == 2
    names = sorted(path.name for path in place.iterdir())
    assert len(names) == 2
    assert "1threads" in names[0]
    assert "2threads" in names[1]
    assert all(f"torch{torch.__version__.partition('+')[0]}" in name for name in names)


def test_torch_s_own_number_of_threads_is_the_same_as_that_number(measuring: Measuring) -> None:
    torch.set_num_threads(2)
    assert cpu().threads == 2
    cpu(2)
    assert measuring.times == 1


@pytest.mark.parametrize(("name", "value"), [("cpu_name", "Another"), ("usable_cores", 97)])
def test_another_machine_has_a_file_of_its_own(
    measuring: Measuring, monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    cpu()
    monkeypatch.setattr(machine, name, lambda: value)
    cpu()
    assert measuring.times == 2


def test_beside_a_busy_neighbour_nothing_is_kept(
    place: Path, measuring: Measuring, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = Disturbance(**{**QUIET.__dict__, "others": 0.4})
    with monkeypatch.context() as patch:
        patch.setattr(MachineWatch, "end", lambda _: busy)
        assert cpu().matmul_flops_per_s["fp32"] == 1
        assert not place.exists()
    assert [cpu().matmul_flops_per_s["fp32"] for _ in range(2)] == [2, 2]
    assert measuring.times == 2


def test_a_cache_that_cannot_be_written_says_what_to_do(
    tmp_path: Path, measuring: Measuring
) -> None:
    (tmp_path / "cache").write_text("a file in its place")
    with pytest.raises(UsageError, match=r"STEPBENCH_CACHE_DIR=.*set STEPBENCH_CACHE_DIR to"):
        cpu()
    assert measuring.times == 1


def test_nothing_unfinished_is_left(place: Path, measuring: Measuring) -> None:
    cpu()
    assert measuring.times == 1
    assert [path.suffix for path in place.iterdir()] == [".json"]


class Clock:
    """Passes when it is told to."""

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
    assert machine_peaks._product_flops_per_s("cpu", "fp16") == 2 * 512**3
    assert sides == [512]


def test_fast_products_grow_as_far_as_the_cpu_s_do(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[tuple[int, torch.dtype]] = []

    def fast(call: Callable[[], Any], _: object) -> float:
        product = call()
        found.append((len(product), product.dtype))
        return 1e-3

    monkeypatch.setattr(machine_peaks, "_fastest_s", fast)
    best = machine_peaks._product_flops_per_s("cpu", "bf16")
    assert found == [(side, torch.bfloat16) for side in (512, 1024, 2048)]
    assert best == pytest.approx(2 * 2048**3 / 1e-3)


def test_a_copy_is_read_and_written(monkeypatch: pytest.MonkeyPatch) -> None:
    copies: list[torch.Tensor] = []

    def once(call: Callable[[], Any], _: object) -> float:
        copies.append(call())
        return 0.5

    monkeypatch.setattr(machine_peaks, "_fastest_s", once)
    assert machine_peaks._copied_bytes_per_s("cpu") == 2 * 256 * 2**20 / 0.5
    assert copies[0].nbytes == 256 * 2**20
    assert bool((copies[0] == 1).all())


def test_pictures_are_decoded_whole(monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert machine_peaks._decoded_per_s() == 10 / 2.0
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

"""The figures by hand, on the CPU with a device that does not exist: only that there are all."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import reference
import torch
from criteria import CRITERIA
from record import Missing, Record


class Event:
    """A CUDA event that records the host's time."""

    def __init__(self, **_options: Any) -> None:
        self._s = 0.0

    def record(self) -> None:
        self._s = time.perf_counter()

    def elapsed_time(self, end: "Event") -> float:
        return 1e3 * max(end._s - self._s, 1e-6)


@pytest.fixture
def no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the CPU in the place of a GPU, and little to do."""
    small = {
        "DEVICE": "cpu", "SIDE": 16, "COPIED": 1024, "SERIES": 2, "ROUNDS": 1, "RESNET_BATCH": 2,
        "CONVNET_STEPS": 2, "RESNET_STEPS": 1,
    }  # fmt: skip
    for name, value in small.items():
        monkeypatch.setattr(reference, name, value)
    for name, replacement in {
        "Event": Event,
        "_sleep": lambda _cycles: None,
        "synchronize": lambda: None,
        "get_device_name": lambda: "no card",
        "get_device_capability": lambda: (9, 0),
        "reset_peak_memory_stats": lambda: None,
        "max_memory_allocated": lambda: 1,
    }.items():
        monkeypatch.setattr(torch.cuda, name, replacement)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)


@pytest.mark.usefixtures("no_card")
def test_the_reference_has_every_figure_that_the_criteria_need(tmp_path: Path) -> None:
    reference.measure(tmp_path / "reference.json")
    record = Record(tmp_path)
    for criterion in CRITERIA:
        if criterion.name == "slow loader: starvation on the device's clock":
            continue  # by hand and by a run, which this record does not have
        assert criterion.by_hand(record) is not None, criterion.name


def test_a_part_that_fails_is_told_and_the_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> float:
        raise RuntimeError("no memory")

    monkeypatch.setattr(reference, "PARTS", {"h2d": fails, "copy": lambda: 2.0})
    reference.measure(tmp_path / "reference.json")
    record = Record(tmp_path)
    assert record.by_hand("copy") == 2.0
    with pytest.raises(Missing, match="no h2d by hand: RuntimeError\\('no memory'\\)"):
        record.by_hand("h2d")


def event(name: str, device: str, begin_us: float, end_us: float) -> SimpleNamespace:
    """An event as torch's profiler has it."""
    return SimpleNamespace(
        name=name,
        device_type=SimpleNamespace(name=device),
        time_range=SimpleNamespace(
            start=begin_us, end=end_us, elapsed_us=lambda: end_us - begin_us
        ),
    )


def test_work_counts_in_the_phase_in_which_it_began() -> None:
    seconds = reference.seconds_by_phase(
        [
            event("by hand: forward", "CPU", 0, 100),
            event("by hand: backward", "CPU", 100, 300),
            event("by hand: forward", "CPU", 300, 400),
            event("by hand: forward", "CUDA", 0, 100),  # the device's copy of the mark
            event("Optimizer.step#SGD.step", "CUDA", 310, 350),
            event("aten::mm", "CPU", 5, 50),
            event("gemm", "CUDA", 10, 40),
            event("gemm", "CUDA", 110, 120),
            event("Memcpy HtoD", "CUDA", 320, 325),
            event("after all phases", "CUDA", 500, 600),
        ]
    )
    assert seconds == pytest.approx(
        {"transfer": 0.0, "forward": 35e-6, "backward": 10e-6, "optimizer": 0.0}
    )


def test_marks_follow_the_order_of_the_phases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    marks = reference.ProfileMarks()
    with torch.profiler.profile() as profiler:
        for _ in range(6):
            marks()
        marks.end()
    events: Any = profiler.events()
    names = [e.name for e in events if e.name.startswith(reference.MARK)]
    assert names == [reference.MARK + n for n in (*reference.LAPS, "transfer", "forward")]

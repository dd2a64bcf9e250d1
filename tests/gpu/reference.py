"""Measures figures by hand, with torch and the clock alone, to compare stepbench's figures with.

Usage: python reference.py FILE. Writes a JSON object after each part; takes half a minute on a GPU.
A part that fails is left out, and its reason is kept.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, cycle, islice, repeat
from pathlib import Path
from typing import Any, TypeAlias

import torch
import truth_gpu
from torch import Tensor, nn
from torch.autograd.profiler import record_function
from torch.utils.data import DataLoader
from torchvision.models import resnet18

from stepbench import Case, DataChoice
from stepbench.training.dataloader import training_data
from stepbench.workload.loading import load

DEVICE = "cuda"
SIDE = 8192
"""The side of the square matrices that are multiplied."""
COPIED = 64 * 2**20
"""The elements of the copied tensor, each of 4 bytes."""
SERIES = 30
"""The number of series of calls, of which the fastest counts."""
ROUNDS = 5
"""The number of times that a loop is timed; the median counts."""
CONVNET_BATCH, RESNET_BATCH = 32, 512
CONVNET_STEPS, RESNET_STEPS = 200, 30
"""The steps of a timed loop."""
LAPS = ("transfer", "forward", "backward", "optimizer")
MARK = "by hand: "
"""The beginning of the names of phases in a profile."""
Batch: TypeAlias = tuple[Tensor, Tensor]
Mark: TypeAlias = Callable[[], None]


# --- the machine ---------------------------------------------------------------------------------


def event() -> torch.cuda.Event:
    """An event that records the device's time."""
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch leaves it untyped


def best_s(call: Callable[[], object], min_s: float = 0.01) -> float:
    """The time of a call on the device, seconds: the mean of the fastest series of calls.

    Args:
        call: The call to measure.
        min_s: The minimum length of a series after the first one, seconds.
    """
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    begin, end = event(), event()
    count, best = 1, 1e9
    for _ in range(SERIES):
        begin.record()
        for _ in range(count):
            call()
        end.record()
        torch.cuda.synchronize()
        best = min(best, begin.elapsed_time(end) / 1e3 / count)
        count = max(count, int(min_s / best) + 1)
    return best


def product_flops_per_s(dtype: torch.dtype) -> float:
    """Operations per second of a large matrix product."""
    a, b = (torch.randn(SIDE, SIDE, device=DEVICE).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    return 2 * SIDE**3 / best_s(lambda: torch.mm(a, b, out=out))


def products() -> dict[str, float | None]:
    """Operations per second by precision; `None` if the GPU does not have the precision."""
    new = torch.cuda.get_device_capability() >= (8, 0)
    rates: dict[str, float | None] = {
        "bf16": product_flops_per_s(torch.bfloat16) if new else None,
        "fp16": product_flops_per_s(torch.float16),
        "fp32": product_flops_per_s(torch.float32),
    }
    torch.set_float32_matmul_precision("high")
    rates["tf32"] = product_flops_per_s(torch.float32) if new else None
    torch.set_float32_matmul_precision("highest")
    return rates


def copied_bytes_per_s() -> float:
    """Bytes read and written per second by a copy on the device."""
    source = torch.ones(COPIED, device=DEVICE)
    target = torch.empty_like(source)
    return 2 * COPIED * source.element_size() / best_s(lambda: target.copy_(source))


# --- known work ----------------------------------------------------------------------------------


def transfer_s() -> float:
    """The time to transfer the known workload's batch, seconds."""
    pinned = truth_gpu.collate([])[0]
    return best_s(lambda: pinned.to(DEVICE, non_blocking=True))


def slow_batch_s() -> float:
    """The time for a batch of the slow loader, seconds, by the host's clock."""
    data = training_data(truth_gpu.slow(), Case(workload="truth_gpu.py:slow"))
    loader = iter(DataLoader(data, batch_size=4, collate_fn=truth_gpu.collate))
    next(loader)
    times = []
    for _ in range(20):
        began = time.perf_counter()
        next(loader)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


# --- a training loop -----------------------------------------------------------------------------


class Lesson:
    """The lesson's loop by hand.

    Args:
        model: The model.
        autocast: The data type of `torch.autocast` for forward; `None` disables it.
    """

    def __init__(self, model: nn.Module, autocast: torch.dtype | None = None) -> None:
        self._model = model.to(DEVICE).train()
        self._autocast = autocast
        self._optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
        self._loss = nn.CrossEntropyLoss()

    def run(self, batches: Iterable[Batch], mark: Mark = lambda: None) -> None:
        """Trains, and calls `mark` at the beginning and after each phase but loading."""
        mark()
        for images, labels in batches:
            x, y = images.to(DEVICE), labels.to(DEVICE)
            mark()
            with torch.autocast(DEVICE, self._autocast, enabled=self._autocast is not None):
                loss = self._loss(self._model(x), y)
            mark()
            loss.backward()
            mark()
            self._optimizer.step()
            self._optimizer.zero_grad()
            mark()

    def samples_per_s(self, batches: Iterator[Batch], steps: int, size: int) -> float:
        """Samples per second; a batch has `size` samples."""
        self.run(islice(batches, steps))
        return size / statistics.median(self._step_s(batches, steps) for _ in range(ROUNDS))

    def peak_bytes(self, batches: Iterator[Batch]) -> int:
        """The peak of allocated memory during a few steps."""
        torch.cuda.reset_peak_memory_stats()
        self.run(islice(batches, 5))
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated()

    def kernel_s(self, batches: Iterator[Batch], steps: int = 10) -> dict[str, float]:
        """A step's kernels and copies by phase, by torch's profiler, seconds."""
        self.run(islice(batches, 10))
        torch.cuda.synchronize()
        marks = ProfileMarks()
        with torch.profiler.profile() as profiler:
            self.run(islice(batches, steps), marks)
            marks.end()
        return {phase: s / steps for phase, s in seconds_by_phase(profiler.events()).items()}

    def _step_s(self, batches: Iterator[Batch], steps: int) -> float:
        torch.cuda.synchronize()
        began = time.perf_counter()
        self.run(islice(batches, steps))
        torch.cuda.synchronize()
        return (time.perf_counter() - began) / steps


class ProfileMarks:
    """Marks phases in a profile, each from one call to the next, with its work finished."""

    def __init__(self) -> None:
        self._names = cycle(LAPS)
        self._open: record_function | None = None

    def __call__(self) -> None:
        """Ends the phase that is open, and begins the next one."""
        self.end()
        self._open = record_function(MARK + next(self._names))
        self._open.__enter__()  # type: ignore[no-untyped-call]  # torch leaves it untyped

    def end(self) -> None:
        """Ends the phase that is open."""
        torch.cuda.synchronize()
        if self._open is not None:
            self._open.__exit__(None, None, None)
        self._open = None


def seconds_by_phase(events: Iterable[Any]) -> dict[str, float]:
    """Sums the device's work by the phase that was open when the work began, seconds."""
    events = list(events)
    spans = [e for e in events if e.name.startswith(MARK) and e.device_type.name == "CPU"]
    found = dict.fromkeys(LAPS, 0.0)
    for work in events:
        marked = work.name.startswith((MARK, "Optimizer")) or getattr(
            work, "is_user_annotation", False
        )
        if marked or work.device_type.name == "CPU":
            continue
        for span in spans:
            if span.time_range.start <= work.time_range.start < span.time_range.end:
                found[span.name.removeprefix(MARK)] += work.time_range.elapsed_us() / 1e6
    return found


# --- models and data -----------------------------------------------------------------------------


def images(count: int) -> Iterator[Batch]:
    """The same batch in CIFAR-10's shape, without end."""
    return repeat((torch.randn(count, 3, 32, 32), torch.randint(10, (count,))))


def convnet() -> dict[str, float]:
    """The lesson's network with its data and its loader, in fp32."""
    workload = load("convnet", DataChoice("own"))
    data = training_data(workload, Case(workload="convnet"))
    loader = DataLoader(data, CONVNET_BATCH, shuffle=True, drop_last=True)
    batches = chain.from_iterable(repeat(loader))
    lesson = Lesson(workload.model())
    return {"samples_per_s": lesson.samples_per_s(batches, CONVNET_STEPS, CONVNET_BATCH)}


def resnet18_bf16() -> dict[str, float]:
    """A larger network on one batch, under autocast."""
    lesson = Lesson(resnet18(num_classes=10), torch.bfloat16)
    batches = images(RESNET_BATCH)
    return {
        "samples_per_s": lesson.samples_per_s(batches, RESNET_STEPS, RESNET_BATCH),
        "peak": lesson.peak_bytes(batches),
    }


def kernels() -> dict[str, float]:
    """The kernels of the lesson's network, in fp32."""
    return Lesson(load("convnet", DataChoice("own")).model()).kernel_s(images(CONVNET_BATCH))


PARTS: dict[str, Callable[[], Any]] = {
    "device": torch.cuda.get_device_name,
    "torch": lambda: str(torch.__version__),
    "sleeps": lambda: {p: best_s(partial(truth_gpu.sleep, p)) for p in truth_gpu.CYCLES},
    "h2d": transfer_s,
    "slow_batch": slow_batch_s,
    "gemm": products,
    "copy": copied_bytes_per_s,
    "convnet": convnet,
    "resnet18_bf16": resnet18_bf16,
    "kernels": kernels,
}
"""The parts of the reference, by their names in the file."""


def measure(file: Path) -> None:
    """Measures every part, and writes the file after each."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    content: dict[str, Any] = {"errors": {}}
    for name, part in PARTS.items():
        try:
            content[name] = part()
        except Exception as error:  # noqa: BLE001  # whatever a part lacks, the others count
            content["errors"][name] = repr(error)
        file.write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    measure(Path(sys.argv[1]))

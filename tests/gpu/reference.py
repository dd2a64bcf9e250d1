"""Measures the reference for stepbench's figures, with torch and the clock alone.

Usage: python reference.py FILE. Writes a JSON object; takes half a minute on a GPU.
"""

import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from stepbench import DataChoice
from stepbench.workload.loading import load

Batch: TypeAlias = tuple[Tensor, Tensor]
LAPS = ("transfer", "forward", "backward", "optimizer")
truth_gpu = importlib.import_module("truth_gpu")
"""The workload with known work, in the same directory."""


def convnet() -> nn.Module:
    """The lesson's network."""
    return load("convnet", DataChoice("own")).model()


def event() -> torch.cuda.Event:
    """An event that records the device's time."""
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch leaves it untyped


def best_s(call: Callable[[], object], min_s: float = 0.01, tries: int = 12) -> float:
    """The time of a call on the device, seconds: the mean of the fastest series of calls.

    Args:
        call: The call to measure.
        min_s: The minimum length of a series after the first one, seconds.
        tries: The number of series.
    """
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    begin, end = event(), event()
    count, best = 1, 1e9
    for _ in range(tries):
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
    a, b = (torch.randn(8192, 8192, device="cuda").to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    return 2 * 8192**3 / best_s(lambda: torch.mm(a, b, out=out))


def machine_peaks() -> dict[str, Any]:
    """The GPU's peak throughput: matrix products by precision, and bytes copied per second."""
    products = {
        "bf16": product_flops_per_s(torch.bfloat16),
        "fp16": product_flops_per_s(torch.float16),
        "fp32": product_flops_per_s(torch.float32),
    }
    torch.set_float32_matmul_precision("high")
    products["tf32"] = product_flops_per_s(torch.float32)
    torch.set_float32_matmul_precision("highest")
    source = torch.ones(64 * 2**20, device="cuda")
    target = torch.empty_like(source)
    copied_bytes = 2 * source.numel() * source.element_size()
    return {"gemm": products, "copy": copied_bytes / best_s(lambda: target.copy_(source))}


def known_work() -> dict[str, float]:
    """The known workload's sleeps by phase, and its transfer, seconds."""
    sleeps = {
        f"sleep_{phase}": best_s(partial(truth_gpu.sleep, phase), tries=30)
        for phase in truth_gpu.CYCLES
    }
    pinned = truth_gpu.collate([])[0]
    return {**sleeps, "h2d": best_s(lambda: pinned.to("cuda", non_blocking=True), tries=30)}


class Lesson:
    """The lesson's loop by hand, on one batch.

    Args:
        model: The model.
        batch: Images and labels, on the CPU.
        autocast: The data type of `torch.autocast` for forward; `None` disables it.
    """

    def __init__(self, model: nn.Module, batch: Batch, autocast: torch.dtype | None = None) -> None:
        self._model = model.cuda().train()
        self._batch = batch
        self._autocast = autocast
        self._optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
        self._loss = nn.CrossEntropyLoss()

    def run(self, steps: int, mark: Callable[[], None] = lambda: None) -> None:
        """Trains, and calls `mark` at the beginning and the end of each phase."""
        mark()
        for _ in range(steps):
            x, y = self._batch[0].to("cuda"), self._batch[1].to("cuda")
            mark()
            with torch.autocast("cuda", self._autocast, enabled=self._autocast is not None):
                loss = self._loss(self._model(x), y)
            mark()
            loss.backward()
            mark()
            self._optimizer.step()
            self._optimizer.zero_grad()
            mark()

    def measure(self, steps: int) -> dict[str, float]:
        """Seconds of a step by the host's clock and of phases by the device's; peak bytes."""
        self.run(20)
        torch.cuda.synchronize()
        walls = [self._wall_s(steps) for _ in range(5)]
        marks: list[torch.cuda.Event] = []

        def mark() -> None:
            marks.append(event())
            marks[-1].record()

        self.run(steps, mark)
        torch.cuda.synchronize()
        laps = [a.elapsed_time(b) / 1e3 for a, b in pairwise(marks)]
        torch.cuda.reset_peak_memory_stats()
        self.run(5)
        torch.cuda.synchronize()
        return {
            "wall": statistics.median(walls),
            **{name: statistics.median(laps[n :: len(LAPS)]) for n, name in enumerate(LAPS)},
            "peak": torch.cuda.max_memory_allocated(),
        }

    def _wall_s(self, steps: int) -> float:
        began = time.perf_counter()
        self.run(steps)
        torch.cuda.synchronize()
        return (time.perf_counter() - began) / steps


def images(count: int) -> Batch:
    """A batch in CIFAR-10's shape."""
    return torch.randn(count, 3, 32, 32), torch.randint(10, (count,))


def kernel_s(lesson: Lesson, steps: int = 3) -> float:
    """A step's kernels and copies on the device by torch's profiler, seconds."""
    lesson.run(10)
    torch.cuda.synchronize()
    with torch.profiler.profile() as profiler:
        lesson.run(steps)
        torch.cuda.synchronize()
    events: Any = profiler.events()
    kernels = [
        event.device_time_total
        for event in events
        if event.device_type.name == "CUDA"
        and not getattr(event, "is_user_annotation", False)
        and not event.name.startswith("Optimizer")
    ]
    return float(sum(kernels)) / steps / 1e6


def measure() -> dict[str, Any]:
    """Measures the reference; `resnet18_bf16` is under autocast, everything else in fp32."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    return {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        **machine_peaks(),
        **known_work(),
        "convnet": Lesson(convnet(), images(32)).measure(200),
        "resnet18_bf16": Lesson(resnet18(num_classes=10), images(512), torch.bfloat16).measure(30),
        "convnet_kernel_s": kernel_s(Lesson(convnet(), images(32))),
    }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(measure()))

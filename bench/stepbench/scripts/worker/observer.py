"""Keeps facts of a script's objects: loaders, model, optimizers, device, losses, batch size."""

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stepbench.devices.clock import DeviceClock, HostClock
from stepbench.devices.kind import Gauge
from stepbench.devices.kinds import kind_of
from stepbench.errors import UsageError
from stepbench.scripts.marks import Mark, MarkKind
from stepbench.scripts.requests import ScriptRequest
from stepbench.scripts.worker.boundaries import Observer
from stepbench.scripts.worker.discovery import (
    CallMarker,
    autocast_precision,
    first_tensor,
    roots_of,
)
from stepbench.scripts.worker.recorder import Recorder
from stepbench.scripts.worker.replacing import Replacer

OBSERVED_CALLS = 16
"""The number of calls of the model whose inputs are looked at for a batch size."""


@dataclass(frozen=True)
class SeenLoader:
    """A loader whose iterator has fetched.

    Attributes:
        dataset: The class of the data set.
        length: The number of items in it; `None` for a stream.
        batch_size: The loader's batch size; `None` if it has none of its own.
        workers: The number of worker processes.
        prefetch: The number of batches that each worker prefetches.
        pinned: True if batches are pinned.
        persistent: True if workers live on between epochs.
    """

    dataset: str
    length: int | None
    batch_size: int | None
    workers: int
    prefetch: int
    pinned: bool
    persistent: bool


class ScriptObserver(Observer):
    """Observes a script's objects in its process.

    Args:
        request: The script.
        recorder: Receives marks of the model's calls.
        replacer: Replaces settings.

    Attributes:
        loaders: The loaders, by the number of their iterator.
        optimizers: The optimizers, by number.
        marker: Marks calls of the model; `None` before the first step has ended.
        began_s: The time of the first boundary, by `time.perf_counter`, seconds.
        losses: The loss of each of the first backward passes.
        inputs: A checksum of the model's input in each of them.
        batch_sizes: The first dimension of the model's inputs.
        precisions: The precisions of autocast in the model's calls; `None` without autocast.
    """

    def __init__(self, request: ScriptRequest, recorder: Recorder, replacer: Replacer) -> None:
        self._request = request
        self._recorder = recorder
        self._replacer = replacer
        self.loaders: dict[int, SeenLoader] = {}
        self.optimizers: dict[int, Any] = {}
        self.marker: CallMarker | None = None
        self.began_s: float | None = None
        self._losses: list[Tensor | None] = []
        recorder.keeps_losses = True
        self._inputs: list[Tensor] = []
        self._calls = 0
        self.batch_sizes: list[int] = []
        self.precisions: set[str | None] = set()
        self.clock: DeviceClock = HostClock()

    # --- boundaries ------------------------------------------------------------------------------

    def iterator(self, number: int, iterator: Any) -> None:  # noqa: ANN401
        """Notes a loader; see `Observer`."""
        self._note_begin()
        dataset = getattr(iterator, "_dataset", None)
        sampler = getattr(iterator, "_index_sampler", None)
        size = getattr(sampler, "batch_size", None)
        self.loaders[number] = SeenLoader(
            dataset=type(dataset).__name__,
            length=_length(dataset),
            batch_size=size if isinstance(size, int) else None,
            workers=int(getattr(iterator, "_num_workers", 0)),
            prefetch=int(getattr(iterator, "_prefetch_factor", 0) or 0),
            pinned=bool(getattr(iterator, "_pin_memory", False)),
            persistent=bool(getattr(iterator, "_persistent_workers", False)),
        )

    def loss(self, tensors: Any) -> None:  # noqa: ANN401
        """Keeps the loss of the first backward passes."""
        self._note_begin()
        if len(self._losses) >= self._request.compared_steps:
            self._recorder.keeps_losses = False
            return
        single = tensors[0] if isinstance(tensors, (list, tuple)) and len(tensors) == 1 else tensors
        scalar = isinstance(single, Tensor) and single.numel() == 1
        self._losses.append(single.detach().clone() if scalar else None)

    def update(self, number: int, optimizer: Any) -> None:  # noqa: ANN401
        """Notes an optimizer; its implementation is replaced before its first step."""
        self._note_begin()
        self.optimizers[number] = optimizer
        self._replacer.prepare_optimizer(optimizer)

    def _note_begin(self) -> None:
        if self.began_s is None:
            self.began_s = time.perf_counter()

    def _on_input(self, args: tuple[Any, ...], options: dict[str, Any]) -> bool:
        if len(self.batch_sizes) < OBSERVED_CALLS:
            tensor = first_tensor((args, options))
            if tensor is not None:
                self.batch_sizes.append(int(tensor.shape[0]))
            self.precisions.add(autocast_precision(self.device))
        if len(self._inputs) < self._request.compared_steps:
            tensor = first_tensor((args, options))
            if tensor is not None:
                self._inputs.append(tensor.detach().double().sum())
        wanted = max(OBSERVED_CALLS, self._request.compared_steps)
        self._calls += 1
        return self._calls < wanted

    @property
    def losses(self) -> tuple[float, ...]:
        """The losses of the first backward passes; NaN for what is no single number."""
        return tuple(float("nan") if each is None else float(each) for each in self._losses)

    @property
    def inputs(self) -> tuple[float, ...]:
        """A checksum of each of the model's first inputs."""
        return tuple(float(each) for each in self._inputs)

    # --- the model, once an optimizer has taken a step -------------------------------------------

    def after_first_step(self) -> None:
        """Finds the model, and marks its calls from now on."""
        if self.device != "cpu":
            self.clock = kind_of(self.device).clock(self.device)
        context = self._replacer.context(self.device)
        self.marker = CallMarker(self._recorder, self._on_input, context)
        for root in roots_of(self.optimizers.values()):
            self._replacer.prepare_model(root)
            self.marker.watch(root)

    def look_again(self, marks: list[Mark]) -> None:
        """Looks for the calls of the model's parts, if none of the model itself were seen."""
        if self.marker is None or not any(mark.kind is MarkKind.BACKWARD for mark in marks):
            return
        self.marker.descend()
        trained = any(mark.kind is MarkKind.CALL and mark.detail for mark in marks)
        if self.marker.called and not trained:
            self.marker.trains_in_eval_mode = True

    def after_discovery(self) -> None:
        """Refuses settings that were put in force nowhere, and another device than the wanted one.

        Raises:
            UsageError: There is such a setting, or the script trains on another device.
        """
        self._replacer.refuse_unfound()
        wanted = self._request.device
        if wanted is not None and wanted != self.device:
            raise UsageError(
                f"--device {wanted}: the script trains on {self.device}, and --device checks it "
                f"but does not move it; give the script its own option for the device"
            )

    # --- the device ------------------------------------------------------------------------------

    @property
    def device(self) -> str:
        """The device of the optimizers' parameters, as an axis names it."""
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    device: torch.device = parameter.device
                    return f"{device.type}:{device.index}" if device.index else device.type
        return "cpu"

    def gauge(self) -> Gauge | None:
        """The gauge of the device, if it has one."""
        return kind_of(self.device).gauge(self.device)

    def synchronize(self) -> None:
        """Waits until the device is idle."""
        self.clock.synchronize()

    def record_events(self, recorder: Recorder) -> None:
        """Has marks record events, on an asynchronous device."""
        if self.clock.asynchronous:
            recorder.record_events(self.clock)

    def event_times(self, events: list[object]) -> list[float]:
        """The seconds from the first event to each; the device has passed them."""
        times = [self.clock.elapsed_s(events[0], event) for event in events]
        self.clock.release(events)
        return times

    # --- the loader ------------------------------------------------------------------------------

    def training_loader(self, numbers: frozenset[int]) -> SeenLoader | None:
        """The latest loader of some iterators; `None` without any."""
        seen = [self.loaders[number] for number in sorted(numbers) if number in self.loaders]
        return seen[-1] if seen else None

    def prefetched_steps(self) -> int:
        """The most batches that workers keep ready; a step takes at least one."""
        return max((each.workers * each.prefetch for each in self.loaders.values()), default=0)


def _length(dataset: Any) -> int | None:  # noqa: ANN401
    try:
        return len(dataset)
    except Exception:  # noqa: BLE001  # a user's data set may raise anything
        return None

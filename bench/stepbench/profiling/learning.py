"""A short training for the curves, and what the trained model says of test data."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from stepbench.training import loop
from stepbench.training.accuracy import accuracy, some_of
from stepbench.training.batch import each_tensor
from stepbench.training.build import Built
from stepbench.training.device_transfer import to_device
from stepbench.training.training import call_model
from stepbench_reports.schema.profile import Curves

STEPS = 2000
"""How many steps the curves have, if there is time for them."""
LIMIT_S = 5.0
"""How long training for them goes on at most, and testing."""
TESTS = 10
"""How often the model is tested meanwhile."""
TEST_SAMPLES = 500
"""On how many samples of the test data."""
SHOWN_SAMPLES = 256
"""How many samples are embedded, and have their scores kept."""


def learn(built: Built, batches: Iterator[Any], report: Callable[[str], None]) -> Curves:
    """Trains for a while, and tests now and then, each for `LIMIT_S` at most but for the first."""
    losses: list[float] = []
    tested = _Tests(built)
    tested.take(0)
    losses.append(_step(built, batches))  # compiles, where the case does
    trained_s = 0.0
    while len(losses) < STEPS and trained_s < LIMIT_S and math.isfinite(losses[-1]):
        if len(losses) % (STEPS // TESTS) == 1:
            report(f"training for its curves, step {len(losses)} of {STEPS}")
        began = time.perf_counter()
        losses.append(_step(built, batches))
        trained_s += time.perf_counter() - began
        if len(losses) % (STEPS // TESTS) == 0:
            tested.take(len(losses))
    return Curves(
        loss=tuple(loss for loss in losses if math.isfinite(loss)), accuracy=tuple(tested.found)
    )


def _step(built: Built, batches: Iterator[Any]) -> float:
    """Takes a step and waits for its loss."""
    training = built.training
    return float(loop.train(training, batches, 1)) * training.accumulate


class _Tests:
    """Tests a model as long as there is time for it."""

    def __init__(self, built: Built) -> None:
        self.found: list[tuple[int, float]] = []
        self._built = built
        self._spent_s = 0.0

    def take(self, steps: int) -> None:
        """Tests it after so many steps."""
        workload = self._built.workload
        if workload.test_dataset is None or workload.metric is None or self._spent_s > LIMIT_S:
            return
        began = time.perf_counter()
        share, _ = accuracy(self._built, TEST_SAMPLES)
        self._built.model.train()
        self._spent_s += time.perf_counter() - began
        if math.isfinite(share):
            self.found.append((steps, share))


@dataclass(frozen=True)
class Shown:
    """The outputs of a model for some test samples, on the CPU.

    Attributes:
        inputs: The samples.
        targets: What they are.
        scores: The model's outputs.
        features: What its last linear layer is given, or else its outputs: (N, features).
    """

    inputs: Any
    targets: Any
    scores: Any
    features: Tensor | None


def show(built: Built) -> Shown | None:
    """Passes some test samples through the model; `None` where there are none."""
    workload, training = built.workload, built.training
    if workload.test_dataset is None:
        return None
    data = some_of(workload.test_dataset(), SHOWN_SAMPLES)
    loader = DataLoader(data, batch_size=SHOWN_SAMPLES, collate_fn=workload.collate)
    inputs, targets = training.split(next(iter(loader)))
    seen: list[Tensor] = []
    linear = [module for module in built.model.modules() if isinstance(module, nn.Linear)]
    hook = (
        linear[-1].register_forward_pre_hook(lambda _, given: seen.extend(given[:1]))
        if linear
        else None
    )
    was_training = built.model.training
    built.model.eval()
    try:
        with torch.no_grad(), training.autocast():
            scores = call_model(built.model, to_device(inputs, training.placement))
    finally:
        built.model.train(was_training)
        if hook is not None:
            hook.remove()
    scores = each_tensor(scores, lambda tensor: tensor.float().cpu())
    features = seen[-1].float().cpu() if seen else scores
    if isinstance(features, Tensor) and features.dim() > 1 and len(features) == len(data):
        return Shown(inputs, targets, scores, features.flatten(1))
    return Shown(inputs, targets, scores, None)

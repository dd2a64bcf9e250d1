"""Short training for the curves, and the trained model's outputs for test data."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stepbench.training import loop
from stepbench.training.accuracy import accuracy, held_out_batches
from stepbench.training.batch import map_tensors
from stepbench.training.build import Built
from stepbench.training.device_transfer import to_device
from stepbench.training.training import call_model
from stepbench_reports.schema.profile import Curves

STEPS = 2000
"""The most steps of the curves; `LIMIT_S` may allow fewer."""
LIMIT_S = 5.0
"""The limit on the time of training for the curves, and on that of testing, seconds."""
TESTS = 10
"""The number of tests during `STEPS` steps."""
TEST_SAMPLES = 500
"""The most samples of the test data in a test."""
SHOWN_SAMPLES = 256
"""The most test samples whose embeddings and scores are shown."""


def train(built: Built, batches: Iterator[Any], report: Callable[[str], None]) -> Curves:
    """Trains for `STEPS` steps at most, with `TESTS` tests in between.

    Training ends after `LIMIT_S` seconds, without the first step, or at a loss that is not finite.
    No test begins once tests have taken `LIMIT_S` seconds.
    """
    losses: list[float] = []
    tests = _Tests(built)
    tests.run(0)
    losses.append(_step(built, batches))  # compiles, if the case does
    trained_s = 0.0
    while len(losses) < STEPS and trained_s < LIMIT_S and math.isfinite(losses[-1]):
        if len(losses) % (STEPS // TESTS) == 1:
            report(f"training for the curves, step {len(losses)} of {STEPS}")
        began = time.perf_counter()
        losses.append(_step(built, batches))
        trained_s += time.perf_counter() - began
        if len(losses) % (STEPS // TESTS) == 0:
            tests.run(len(losses))
    return Curves(
        loss=tuple(loss for loss in losses if math.isfinite(loss)),
        accuracy=tuple(tests.accuracies),
    )


def _step(built: Built, batches: Iterator[Any]) -> float:
    """Runs a step and waits for its loss, which is returned undivided by `accumulate`."""
    training = built.training
    return float(loop.train(training, batches, 1)) * training.accumulate


class _Tests:
    """Tests a model until `LIMIT_S` seconds are spent."""

    def __init__(self, built: Built) -> None:
        self.accuracies: list[tuple[int, float]] = []
        self._built = built
        self._spent_s = 0.0

    def run(self, steps: int) -> None:
        """Tests the model after `steps` steps, if there are test data, a metric and time."""
        workload = self._built.workload
        if not workload.has_test_data or workload.metric is None or self._spent_s > LIMIT_S:
            return
        began = time.perf_counter()
        test_accuracy, _ = accuracy(self._built, TEST_SAMPLES)
        self._built.model.train()
        self._spent_s += time.perf_counter() - began
        if math.isfinite(test_accuracy):
            self.accuracies.append((steps, test_accuracy))


@dataclass(frozen=True)
class SampleOutputs:
    """The outputs of a model for some test samples, on the CPU.

    Attributes:
        inputs: The samples.
        targets: The targets of the samples.
        scores: The model's outputs.
        features: The inputs of the model's last linear layer, or its outputs if it has none:
            (N, features). `None` if these are not one vector a sample.
    """

    inputs: Any
    targets: Any
    scores: Any
    features: Tensor | None


def sample_outputs(built: Built) -> SampleOutputs | None:
    """Passes some test samples through the model; returns `None` if there are no test data."""
    workload, training = built.workload, built.training
    if not workload.has_test_data:
        return None
    shown = held_out_batches(workload, SHOWN_SAMPLES, SHOWN_SAMPLES)
    inputs, targets = training.split(next(shown.batches))
    captured: list[Tensor] = []
    linear_layers = [module for module in built.model.modules() if isinstance(module, nn.Linear)]
    hook = (
        linear_layers[-1].register_forward_pre_hook(
            lambda _, arguments: captured.extend(arguments[:1])
        )
        if linear_layers
        else None
    )
    was_training = built.model.training
    built.model.eval()
    try:
        with torch.no_grad(), training.autocast():
            scores = call_model(built.model, to_device(inputs, training.transfer))
    finally:
        built.model.train(was_training)
        if hook is not None:
            hook.remove()
    scores = map_tensors(scores, lambda tensor: tensor.float().cpu())
    features = captured[-1].float().cpu() if captured else scores
    if isinstance(features, Tensor) and features.dim() > 1 and len(features) == shown.samples:
        return SampleOutputs(inputs, targets, scores, features.flatten(1))
    return SampleOutputs(inputs, targets, scores, None)

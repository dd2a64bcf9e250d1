"""TensorBoard's tabs other than the profiler's, for one case.

The case's directory receives scalars, settings and results, a batch of images, the model's graph,
the projector's embeddings, and precision-recall curves. Tabs for which a workload has no data (no
images, no classes) are left out, and the reason is recorded.
"""

import contextlib
import copy
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams
from torchvision.utils import make_grid

from stepbench.config.requests import Figures
from stepbench.profiling.learning_curve import SampleOutputs
from stepbench.profiling.optional_part import PartMissing, optional_part
from stepbench.training.batch import map_tensors
from stepbench.training.build import Built
from stepbench_reports.schema.profile import Curves

MAX_POINTS = 500
"""The most points written for a curve; TensorBoard keeps 1,000 of each curve."""
IMAGES = 16
"""The number of images shown of a batch."""
SPRITE_PIXELS = 32
"""The side of an image in the projector, pixels; the sprite of all may have a side of 8,192."""
GRAPH_SAMPLES = 2
"""The number of samples for tracing the graph, which is the same for any number."""
NO_TEST_DATA = "the workload has no test data"


@dataclass(frozen=True)
class Content:
    """The content to show of a case.

    Attributes:
        built: The case, trained for its curves.
        batch: A batch of its training data, as its loader gives it.
        curves: The training curves; `None` if the case does not train, or if training failed.
        samples: The model's outputs for test data; `None` if there are no test data, or if the
            model failed on them.
        figures: The measurements of the case.
    """

    built: Built
    batch: Any
    curves: Curves | None
    samples: SampleOutputs | None
    figures: Figures


def write(content: Content, directory: Path) -> dict[str, str]:
    """Writes the event files of all tabs.

    Args:
        content: The content to show.
        directory: The directory to write to.

    Returns:
        The reasons for the tabs that were left out, by tab.
    """
    tabs: dict[str, Callable[[SummaryWriter, Content], None]] = {
        "scalars": _scalars,
        "hparams": _hparams,
        "images": _images,
        "graph": _graph,
        "projector": _projector,
        "pr_curves": _pr_curves,
    }
    left_out: dict[str, str] = {}
    with contextlib.closing(SummaryWriter(str(directory))) as writer, _no_warnings():
        for name, write_tab in tabs.items():
            with optional_part(name, left_out):
                write_tab(writer, content)
    return left_out


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    """Suppresses warnings: those of tracing are of no use in the log."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def subsample(values: Sequence[float]) -> Iterator[tuple[int, float]]:
    """Yields pairs of index and value, evenly spaced and `MAX_POINTS` at most."""
    stride = max(1, math.ceil(len(values) / MAX_POINTS))
    return ((number, values[number]) for number in range(0, len(values), stride))


def _scalars(writer: SummaryWriter, content: Content) -> None:
    figures, curves = content.figures, content.curves
    for phase, laps in figures.laps_s.items():
        for step, lap_s in subsample(laps):
            writer.add_scalar(f"laps_ms/{phase}", lap_s * 1e3, step)
    for block, rate in enumerate(figures.samples_per_s):
        writer.add_scalar("samples_per_s/block", rate, block)
    if curves is None:
        return
    for step, loss in subsample(curves.loss):
        writer.add_scalar("training/loss", loss, step)
    for step, accuracy in curves.accuracy:
        writer.add_scalar("training/test_accuracy", accuracy, step)


def _hparams(writer: SummaryWriter, content: Content) -> None:
    """Writes the case as a row of the table of all cases: its settings and its results.

    `SummaryWriter.add_hparams` would write the row as a separate run.
    """
    figures = content.figures
    results = {f"result/{name}": value for name, value in figures.results.items()}
    experiment, start, end = hparams(  # type: ignore[no-untyped-call]  # torch leaves it untyped
        dict(figures.settings),
        results,
        {name: list(values) for name, values in figures.choices.items()},
    )
    events: Any = writer.file_writer
    for summary in (experiment, start, end):
        events.add_summary(summary)
    for name, value in results.items():
        writer.add_scalar(name, value, 0)


def _images(writer: SummaryWriter, content: Content) -> None:
    images = _as_images(_inputs(content))
    if images is None:
        raise PartMissing("the inputs are not images of shape (N, 1 or 3, H, W)")
    writer.add_image("batch", make_grid(images[:IMAGES], nrow=math.isqrt(IMAGES)), 0)


def _graph(writer: SummaryWriter, content: Content) -> None:
    """Writes the graph of the uncompiled model, traced in a copy because tracing runs the model."""
    inputs = _inputs(content)
    if isinstance(inputs, Mapping):
        raise PartMissing("the model takes keyword arguments; tracing needs positional ones")
    model = copy.deepcopy(content.built.model).to("cpu")
    inputs = map_tensors(inputs, lambda tensor: tensor[:GRAPH_SAMPLES].cpu())
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # the fast path cannot be traced
    try:
        writer.add_graph(model, inputs, use_strict_trace=False)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


def _projector(writer: SummaryWriter, content: Content) -> None:
    samples = content.samples
    if samples is None:
        raise PartMissing(NO_TEST_DATA)
    if samples.features is None:
        raise PartMissing("the outputs are not one vector for each sample")
    images = _as_images(samples.inputs)
    sprites = None if images is None else functional.interpolate(images, (SPRITE_PIXELS,) * 2)
    labels = _class_names(content.built, samples.targets)
    writer.add_embedding(samples.features, labels, sprites, 0, "test_samples")


def _pr_curves(writer: SummaryWriter, content: Content) -> None:
    samples = content.samples
    if samples is None:
        raise PartMissing(NO_TEST_DATA)
    scores, targets = samples.scores, samples.targets
    is_classification = (
        isinstance(scores, Tensor) and isinstance(targets, Tensor) and scores.dim() == 2
        and targets.dim() == 1 and not targets.is_floating_point()
    )  # fmt: skip
    if not is_classification:
        raise PartMissing("the outputs are not class scores of shape (N, classes)")
    probabilities = scores.softmax(1)
    for number in range(scores.shape[1]):
        names = _class_names(content.built, torch.tensor([number]))
        label = str(number) if names is None else names[0]
        writer.add_pr_curve(f"class/{label}", targets == number, probabilities[:, number], 0)


def _inputs(content: Content) -> Any:  # noqa: ANN401  # whatever the model takes
    inputs, _ = content.built.training.split(content.batch)
    return inputs


def _as_images(batch: Any) -> Tensor | None:  # noqa: ANN401  # a batch is anything
    """Scales a batch of images to values from 0 to 1; returns `None` if it holds no images."""
    if not isinstance(batch, Tensor) or batch.dim() != 4 or batch.shape[1] not in {1, 3}:
        return None
    images = batch.detach().float().cpu()
    low, high = images.amin(), images.amax()
    return (images - low) / (high - low).clamp_min(1e-12)


def _class_names(built: Built, targets: Any) -> list[str] | None:  # noqa: ANN401  # targets are anything
    if not isinstance(targets, Tensor) or targets.dim() != 1 or targets.is_floating_point():
        return None
    classes = () if built.workload.data is None else built.workload.data.classes
    return [
        classes[number] if 0 <= number < len(classes) else str(number)
        for number in targets.tolist()
    ]

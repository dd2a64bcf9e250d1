"""Finds the tiny batch on which a step's fixed cost shows: Python, dispatch and kernel launches.

`stepbench_reports.analysis.launches` extrapolates from it to a batch of no samples.
"""

from dataclasses import dataclass, replace
from typing import Any

from stepbench.config.case import Case
from stepbench.measurement.timed_loop import RepeatedBatch, TimedLoop
from stepbench.training.batch import cut

BATCH_SIZE_ERRORS = (RuntimeError, ValueError, IndexError, AssertionError)
"""The errors that a model may raise for a cut batch."""
CUT_SIZES = (1, 2, 4)
"""The sizes to which a batch is cut; the first one that the model accepts is used."""


class NoTinyBatchError(Exception):
    """A case has no tiny batch; the text is the reason."""


@dataclass(frozen=True)
class TinyLoop:
    """A case's loop on a tiny batch.

    Attributes:
        size: The number of samples in the batch.
        timed_loop: The loop. It trains the case's model further.
    """

    size: int
    timed_loop: TimedLoop


def tiny_loop(timed_loop: TimedLoop, batch: Any, case: Case) -> TinyLoop:  # noqa: ANN401  # a batch is anything
    """Cuts a batch until the model accepts it, and takes a step on it.

    Args:
        timed_loop: The case's loop.
        batch: A batch, as the loader yields it.
        case: The case.

    Raises:
        NoTinyBatchError: A smaller batch would recompile the model, or the model accepts none.
    """
    if case.compile != "off":
        raise NoTinyBatchError("a smaller batch would recompile the model")
    if case.batch_size == 1:
        raise NoTinyBatchError("the batch size is already 1")
    reason = "no tensor of the batch has the samples in its first dimension"
    for size in CUT_SIZES:
        small = cut(batch, case.batch_size, size)
        if size >= case.batch_size or small is None:
            break
        cut_loop = replace(timed_loop, source=RepeatedBatch(small))
        try:
            cut_loop.run(1)
        except BATCH_SIZE_ERRORS as error:
            # Batch norm, for one, refuses to train on a single value per channel.
            reason = f"the model does not accept a batch of {size}: {error}"
            continue
        return TinyLoop(size, cut_loop)
    raise NoTinyBatchError(" ".join(reason.split()))

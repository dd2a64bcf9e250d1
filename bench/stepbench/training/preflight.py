"""Checks, in one child process, all that can be checked before anything is measured.

The parent imports neither torch nor the user's code. This module imports both, so that a mistake is
reported within seconds and not after an hour.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch.utils.data import Dataset

from stepbench.config.axes import EVERY_DEVICE
from stepbench.config.case import Case
from stepbench.config.requests import Request
from stepbench.devices import kinds
from stepbench.errors import UsageError
from stepbench.training import dataloader
from stepbench.training.batch_function import BatchFunction
from stepbench.workload.loading import failure_message, load_requested
from stepbench.workload.workload import Workload


def preflight(report: Callable[[str], None], requests: tuple[Request, ...]) -> dict[str, str]:
    """Loads each workload and its data, and refuses what cannot be measured.

    Returns:
        The model names of this machine's devices, by kind. Only built-in types, so that the parent
        need not import this module, and torch with it.

    Raises:
        UsageError: Something that a request asks for does not exist, or does not fit together.
    """
    report("looking for devices")
    for device in dict.fromkeys(request.case.device for request in requests):
        if device != EVERY_DEVICE:
            kinds.check(device)
    loaded: dict[tuple[str, str], _Loaded] = {}
    for request in requests:
        case = request.case
        key = (case.workload, case.dataset)
        if key not in loaded:
            report(f"loading {case.workload} and its data")
            loaded[key] = _load(report, request)
        _check_loader(case, loaded[key])
    return kinds.present()


class _Loaded(NamedTuple):
    """A workload, its data, and the number of items; `None` for a stream."""

    workload: Workload
    dataset: Dataset[Any]
    length: int | None


def _check_loader(case: Case, loaded: _Loaded) -> None:
    """Refuses a workload whose data a case's loader cannot take."""
    dataloader.check_loader_options(case, loaded.workload, loaded.length)
    try:
        dataloader.check_loader_arguments(loaded.workload, loaded.dataset, case)
    except UsageError:
        raise
    except BaseException as error:
        message = failure_message(case.workload, "has a data set or a loader that raised", error)
        raise UsageError(message) from error


def _load(report: Callable[[str], None], request: Request) -> _Loaded:
    """Loads a workload and its data."""
    case = request.case
    spec = case.workload
    workload = load_requested(request)
    if workload.data is not None:
        workload.data.prepare(report)
    culprit = "a dataset" if workload.batches is None else "batches"
    try:
        # Without loader workers: a case that has them may be unsupported, and the others are not.
        dataset = dataloader.training_data(workload, case.changed(num_workers=0))
        if isinstance(dataset, BatchFunction):
            dataset.check(spec)
        return _Loaded(workload, dataset, dataloader.length_of(dataset, spec))
    except UsageError:
        raise
    except BaseException as error:
        raise UsageError(failure_message(spec, f"has {culprit} that raised", error)) from error

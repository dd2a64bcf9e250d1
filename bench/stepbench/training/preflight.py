"""Checks, in one child process, all that can be checked before anything is measured.

The parent imports neither torch nor the user's code. This module imports both, so that a mistake is
reported within seconds and not after an hour.
"""

from collections.abc import Callable

from stepbench.config.axes import EVERY_DEVICE
from stepbench.config.requests import Request
from stepbench.devices import kinds
from stepbench.errors import UsageError
from stepbench.training import dataloader
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
    loaded: dict[tuple[str, str], tuple[Workload, int | None]] = {}
    for request in requests:
        case = request.case
        key = (case.workload, case.dataset)
        if key not in loaded:
            report(f"loading {case.workload} and its data")
            loaded[key] = _load(report, request)
        dataloader.check_loader_options(case, *loaded[key])
    return kinds.present()


def _load(report: Callable[[str], None], request: Request) -> tuple[Workload, int | None]:
    """Loads a workload; returns it, and the number of items in its data set."""
    spec = request.case.workload
    workload = load_requested(request)
    if workload.data is not None:
        workload.data.prepare(report)
    try:
        return workload, dataloader.length_of(workload.dataset(), spec)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(failure_message(spec, "has a dataset that raised", error)) from error

"""Checks, in one child, of all that can be known before anything is measured.

The parent imports neither torch nor the user's code; this does both, so that a mistake is told
within seconds and not after an hour.
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
        The devices that there are, with their names: nothing for which the parent would have to
        import this module, and torch with it.

    Raises:
        UsageError: Something that was asked for is not there.
    """
    report("looking for devices")
    for device in dict.fromkeys(request.case.device for request in requests):
        if device != EVERY_DEVICE:
            kinds.check(device)
    found: dict[tuple[str, str], tuple[Workload, int | None]] = {}
    for request in requests:
        case = request.case
        key = (case.workload, case.dataset)
        if key not in found:
            report(f"loading {case.workload} and its data")
            found[key] = _loaded(report, request)
        dataloader.refuse_unfit(case, *found[key])
    return kinds.present()


def _loaded(report: Callable[[str], None], request: Request) -> tuple[Workload, int | None]:
    """A workload, and how many items its data set has."""
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

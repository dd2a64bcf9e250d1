"""What can be known before anything is measured, found out in one child.

The parent imports neither torch nor the user's code; this does both, so that a mistake is told
within seconds and not after an hour.
"""

from collections.abc import Callable
from dataclasses import dataclass

from bench import batches, devices
from bench.case import EVERY_DEVICE
from bench.errors import UsageError
from bench.request import Request
from bench.workload import Workload, load, told


@dataclass(frozen=True)
class Preflight:
    """What was found out.

    Attributes:
        devices: Those that there are, with their names.
    """

    devices: dict[str, str]


def preflight(report: Callable[[str], None], requests: tuple[Request, ...]) -> Preflight:
    """Loads each workload and its data, and refuses what cannot be measured.

    Raises:
        UsageError: Something that was asked for is not there.
    """
    report("looking for devices")
    for device in dict.fromkeys(request.case.device for request in requests):
        if device != EVERY_DEVICE:
            devices.check(device)
    found: dict[tuple[str, str], tuple[Workload, int | None]] = {}
    for request in requests:
        case = request.case
        key = (case.workload, case.dataset)
        if key not in found:
            report(f"loading {case.workload} and its data")
            found[key] = _loaded(report, request)
        batches.refuse_unfit(case, *found[key])
    return Preflight(devices.present())


def _loaded(report: Callable[[str], None], request: Request) -> tuple[Workload, int | None]:
    """A workload, and how many items its data set has."""
    spec = request.case.workload
    workload = load(spec, request.data, request.shipped)
    if workload.data is not None:
        workload.data.prepare(report)
    try:
        return workload, batches.length_of(workload.dataset(), spec)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(told(spec, "has a dataset that raised", error)) from error

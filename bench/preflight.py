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
from bench.workload import load, told


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
    lengths: dict[tuple[str, str], int] = {}
    for request in requests:
        case = request.case
        key = (case.workload, case.dataset)
        if key not in lengths:
            report(f"loading {case.workload} and its data")
            lengths[key] = _length(report, request)
        batches.refuse_large_batch(case, lengths[key])
    return Preflight(devices.present())


def _length(report: Callable[[str], None], request: Request) -> int:
    spec = request.case.workload
    workload = load(spec, request.data, request.shipped)
    if workload.data is not None:
        workload.data.prepare(report)
    try:
        return batches.length_of(workload.dataset(), spec)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(told(spec, "has a dataset that raised", error)) from error

"""Makes a case ready to run: builds the case and starts its loader. The caller runs the steps."""

from collections.abc import Callable
from dataclasses import dataclass

from stepbench.config.requests import Request
from stepbench.devices.kinds import kind_of
from stepbench.measurement.loader import LoaderSource
from stepbench.measurement.timed_loop import TimedLoop
from stepbench.training import dataloader
from stepbench.training.build import Built, build
from stepbench.training.loop import LOOPS


@dataclass(frozen=True)
class ActiveCase:
    """A case that is ready to run steps.

    Attributes:
        built: The case, built.
        source: The case's loader, started.
        timed_loop: The case's loop on the batches of that loader.
        loader_start_s: Time from the loader's start to its first batch, seconds.
    """

    built: Built
    source: LoaderSource
    timed_loop: TimedLoop
    loader_start_s: float


def start_case(request: Request, report: Callable[[str], None] | None = None) -> ActiveCase:
    """Builds a case in this process and starts its loader.

    Args:
        request: The case to build, with its settings.
        report: Called with a short progress message.

    Raises:
        UsageError: The case names something that does not exist.
        UnsupportedError: This machine cannot run the case.
    """
    case = request.case
    if report is not None:
        report("building")
    built = build(request)
    source = LoaderSource(
        dataloader.make_loader(built.workload, built.dataset, case, request.settings.seed)
    )
    clock = kind_of(case.device).clock(case.device)
    if report is not None:
        report("starting the loader" if case.num_workers else "loading")
    loader_start_s = source.start()
    timed_loop = TimedLoop(LOOPS[case.loop], built.training, source, clock)
    return ActiveCase(built, source, timed_loop, loader_start_s)

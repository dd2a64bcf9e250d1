"""A case set to work: built, with its loader started. What comes of it is up to the caller."""

from dataclasses import dataclass

from bench import batches, cycle
from bench.build import Built, build
from bench.clock import device_clock
from bench.loading import Source
from bench.request import Request
from bench.sampling import Subject


@dataclass(frozen=True)
class Working:
    """A case at work.

    Attributes:
        built: The case, built.
        source: Its loader, started.
        subject: Its loop on what comes out of that.
    """

    built: Built
    source: Source
    subject: Subject


def working(request: Request) -> Working:
    """Builds a case in this process and starts its loader.

    Raises:
        UsageError: The case asks for something that is not there.
        UnsupportedError: This machine cannot run it.
    """
    built = build(request)
    loader = batches.make_loader(built.workload, built.dataset, request.case, request.settings.seed)
    source = Source(loader)
    source.start()
    clock = device_clock(built.training.device)
    loop = cycle.LOOPS[request.case.loop]
    return Working(built, source, Subject(loop, built.training, source, clock))

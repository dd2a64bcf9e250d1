"""The comparison of a check: both sides, and the servers and jobs that measure them."""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from stepbench.config.allocator import allocator_environment
from stepbench.config.case import Case
from stepbench.process.extras import Extras
from stepbench.process.job import Job, Outcome
from stepbench.process.server import Server
from stepbench.process.start import start_server
from stepbench.regression.directory import CheckDirectory
from stepbench.regression.options import CheckOptions
from stepbench.regression.side_requests import SideRequest, Survey
from stepbench.regression.sides import Sides
from stepbench.runner.preload import OPTIMIZERS, PRELOAD_COMPILE
from stepbench_reports.schema.check import SideEnd, SideName
from stepbench_reports.schema.run import SamplingOptions

WARM_UP = SamplingOptions(max_time_s=4.0)
"""The sampling options of a side, which limit its warm-up."""
StartServer = Callable[[tuple[str, ...], Extras, Mapping[str, str]], Server]
"""Starts a server from the modules and packages to import, and environment variables."""


@dataclass(frozen=True)
class Comparison:
    """Both sides of a check, its options and its directory.

    Attributes:
        options: The check's options.
        sides: Base and head.
        directory: The check's directory.
        start_base_server: Starts a server in base's environment; `None` if base runs in head's.
        extras: The installed packages that the workloads import. Servers import these packages in
            advance for both sides of a pair.
        serve: Starts servers of another kind than fork servers, such as of scripts; `None` for
            fork servers.
    """

    options: CheckOptions
    sides: Sides
    directory: CheckDirectory
    start_base_server: StartServer | None = None
    extras: Extras = field(default_factory=Extras)
    serve: Callable[[], Server] | None = None

    def side_request(self, name: SideName, case: Case) -> SideRequest:
        """The request from which a side builds a case."""
        request = self.options.run.request(case, self.compile_cache(name, case))
        return SideRequest(self.sides[name].tree, replace(request, sampling=WARM_UP))

    def compile_cache(self, name: SideName, case: Case) -> Path:
        """A side's compile cache, shared by all cases that compile to the same code."""
        return self.directory.scratch("compile-cache", name, case.compile_key.id)

    def server(self, name: SideName, preload: tuple[str, ...], cases: Iterable[Case]) -> Server:
        """Starts a server in a side's environment.

        Args:
            name: `base` or `head`.
            preload: The modules that the server imports, besides those of the workloads.
            cases: The cases to run in the server.
        """
        if self.serve is not None:
            return self.serve()
        compiles = any(case.compile != "off" for case in cases)
        modules = (*OPTIMIZERS, *preload, *(PRELOAD_COMPILE if compiles else ()))
        environment = allocator_environment(self.options.run.settings)
        if name == "base" and self.start_base_server is not None:
            return self.start_base_server(modules, self.extras, environment)
        return start_server(modules, sys.path, Path.cwd(), self.extras, environment)

    def add_extras(self, sides: Mapping[SideName, Survey | SideEnd]) -> None:
        """Adds the packages that both sides imported, for the next servers to import."""
        self.extras.add({*sides["base"].packages} & {*sides["head"].packages})

    def run(
        self, server: Server, job: Job, on_progress: Callable[[str], None], extra_s: float = 0.0
    ) -> Outcome:
        """Runs a job in a server's child within a case's limits; `extra_s` extends the deadline."""
        limits = self.options.run
        return server.run(
            replace(job, memory_limit_bytes=limits.memory_limit_bytes),
            deadline_s=limits.deadline_s + extra_s,
            on_progress=on_progress,
        )

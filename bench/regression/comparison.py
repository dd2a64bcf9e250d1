"""What is compared: both sides and their cases, and how a side is asked to do something."""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bench import run
from bench.case import Case
from bench.child import Job, Outcome, Server, start_server
from bench.regression.directory import CheckDirectory
from bench.regression.options import CheckOptions
from bench.regression.pair import Ended, SideRequest, Survey
from bench.regression.sides import Sides
from bench.request import Request


@dataclass(frozen=True)
class Comparison:
    """What is compared, and where what is found is kept.

    Attributes:
        asked: What the check was asked to do.
        sides: Base and head.
        directory: The check's.
        other: Starts a server in base's environment, where that is not this one.
        packages: The installed packages that the workloads import, so that both sides of a pair
            find them in their server.
    """

    asked: CheckOptions
    sides: Sides
    directory: CheckDirectory
    other: Callable[[tuple[str, ...], tuple[str, ...]], Server] | None = None
    packages: tuple[str, ...] = ()

    def side(self, name: str, case: Case) -> SideRequest:
        """What a side is to be for a case."""
        options = self.asked.run
        request = Request(
            case=case,
            sampling=options.sampling,
            compile_cache=self.compile_cache(name, case),
            data_dir=options.data_dir,
            download=options.download,
            settings=options.settings,
        )
        return SideRequest(self.sides[name].tree, request)

    def compile_cache(self, name: str, case: Case) -> Path:
        """Where a side's compiler keeps what it made of a case."""
        return self.directory.scratch("compile-cache", name, case.compiled_as.id)

    def server(self, name: str, preload: tuple[str, ...], cases: Iterable[Case]) -> Server:
        """A fresh server in a side's environment.

        Args:
            name: The side's.
            preload: What it imports, beside what the workloads need.
            cases: What is to be run there.
        """
        compiles = any(case.compile != "off" for case in cases)
        modules = (*preload, *(run.PRELOAD_COMPILE if compiles else ()))
        if name == "base" and self.other is not None:
            return self.other(modules, self.packages)
        return start_server(modules, sys.path, Path.cwd(), self.packages)

    def with_packages(self, sides: Mapping[str, Survey | Ended]) -> "Comparison":
        """The same with what both sides had to import, so that the next servers do it for them."""
        new = {*sides["base"].packages} & {*sides["head"].packages}
        return replace(self, packages=tuple(sorted({*self.packages, *new})))

    def run(
        self, server: Server, job: Job, on_progress: Callable[[str], None], more_s: float = 0.0
    ) -> Outcome:
        """Runs a job in a child of a server, for at most as long as a case may take."""
        options = self.asked.run
        return server.run(
            replace(job, memory_limit_bytes=options.memory_limit_bytes),
            deadline_s=options.deadline_s + more_s,
            on_progress=on_progress,
        )

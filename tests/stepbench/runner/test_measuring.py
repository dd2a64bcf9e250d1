from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stepbench.config.case import Case
from stepbench.process.job import Job, Outcome
from stepbench.runner.measuring import CaseMeasurer
from stepbench_reports.schema.status import Status


@pytest.mark.parametrize(("accumulate", "functions"), [(1, ["compile_cold"]), (2, ["measure"])])
def test_a_case_that_will_be_refused_is_not_compiled_first(
    tmp_path: Path, accumulate: int, functions: list[str]
) -> None:
    ran: list[str] = []

    def run(job: Job) -> Outcome:
        ran.append(job.function.rpartition(":")[2])
        return Outcome(Status.UNSUPPORTED, reason="refused", axis="accumulate")

    jobs: Any = SimpleNamespace(
        request=lambda _: None,
        compile_cache=lambda _: tmp_path / "cache",
        run=run,
        directory=SimpleNamespace(write=lambda _: None),
    )
    case = Case(workload="net", device="cuda", compile="reduce-overhead", accumulate=accumulate)
    assert CaseMeasurer(jobs).measure(case).status is Status.UNSUPPORTED
    assert ran == functions

from pathlib import Path

import pytest

from stepbench.config.case import Case
from stepbench.config.requests import Request
from stepbench.errors import UnsupportedError
from stepbench.measurement.cold_start import compile_cold
from stepbench.training import optimizers
from stepbench_reports.schema.run import SamplingOptions

pytestmark = pytest.mark.usefixtures("nothing_compiled")


def test_what_is_shared_does_not_depend_on_the_case_that_comes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Cases that differ in optimizer and accumulation share a cold compilation."""

    def refuse(optimizer: object, implementation: str) -> object:
        if implementation != "own":
            raise UnsupportedError("optimizer", "no such implementation")
        return optimizer

    monkeypatch.setattr(optimizers, "with_implementation", refuse)
    case = Case(workload="mlp", compile="backend:aot_eager", accumulate=3, optimizer="fused")
    cold = compile_cold(lambda _: None, Request(case, SamplingOptions(), tmp_path))
    assert cold.first_step_s >= cold.compile_s > 0

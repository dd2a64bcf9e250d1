"""The job of a child of `parity.py`: judges a case from several seeds."""

import time
from collections.abc import Callable

from msgspec.structs import replace

from stepbench.config.requests import ParityRequest
from stepbench.parity.judgement import CaseJudge
from stepbench_reports.schema.parity import Judgement


def judge_all(
    report: Callable[[str], None], request: ParityRequest, seeds: tuple[int, ...]
) -> tuple[Judgement, ...]:
    """Judges a case once for each seed."""
    judge = CaseJudge(report, request)
    judgements = []
    for seed in seeds:
        began = time.perf_counter()
        judgement = judge.judge(seed)
        judgements.append(replace(judgement, elapsed_s=time.perf_counter() - began))
    return tuple(judgements)

"""What a child of `parity.py` does: judges a case from one seed after the other."""

import time
from collections.abc import Callable

from msgspec.structs import replace

from stepbench.config.requests import Examination
from stepbench.parity.examination import Examiner
from stepbench_reports.schema.parity import Judgement


def judge_all(
    report: Callable[[str], None], asked: Examination, seeds: tuple[int, ...]
) -> tuple[Judgement, ...]:
    """A judgement for each seed."""
    examiner = Examiner(report, asked)
    found = []
    for seed in seeds:
        began = time.perf_counter()
        judgement = examiner.judge(seed)
        found.append(replace(judgement, elapsed_s=time.perf_counter() - began))
    return tuple(found)

"""What a child of `parity.py` does: judges a case from one seed after the other."""

import time
from collections.abc import Callable
from dataclasses import replace

from bench.judgement import Judgement
from bench.parity import Examiner
from bench.request import Examination


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

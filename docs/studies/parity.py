"""Does parity raise a false alarm, and does it see what it should? Many seeds, real models.

Each workload is judged in each setting from many seeds of weights and batches; none of them trains
another model, so that every failure is a false alarm. Beside it, gradients of one parameter are
scaled by 1 + dose in a backend of the study's own: the share of seeds in which that is seen.

Writes `parity.md` beside itself: `nox -s study -- parity`.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from parity_doses import DOSES

from stepbench.config.case import Case
from stepbench.config.requests import Examination, Request
from stepbench.machine import cpu_name, packages, usable_cores
from stepbench.process import start
from stepbench.process.job import Job
from stepbench.process.server import Server
from stepbench.runner import preload
from stepbench_reports.schema.parity import Judgement, ParityVerdict, TensorError
from stepbench_reports.schema.run import ParityOptions, SamplingOptions
from stepbench_reports.schema.status import Status

SEEDS = 20
PARITY = ParityOptions(budget_s=120)
WORKLOADS = ("convnet", "resnet18", "mobilenet_v3_small", "squeezenet1_1")
"""The lesson's net, and of torchvision's: batch norm and depth, dropout and squeezes, dropout
without batch norm."""
SETTINGS = (("off", "fp32"), ("default", "fp32"), ("off", "bf16"), ("default", "bf16"))
DEADLINE_S = 3600.0


@dataclass(frozen=True)
class Row:
    """What one workload gave in one setting."""

    case: Case
    judgements: tuple[Judgement, ...]

    def count(self, verdict: ParityVerdict) -> int:
        """How many seeds came to a verdict."""
        return sum(each.verdict is verdict for each in self.judgements)

    @property
    def closest(self) -> float:
        """The error closest to its allowance, over all seeds, as a share of it."""
        return max(_ratio(worst) for each in self.judgements for worst in each.worst.values())

    @property
    def steps(self) -> str:
        """Over how many steps it was compared, at least and at most."""
        found = [each.reference.steps for each in self.judgements if each.reference]
        return f"{min(found)} to {max(found)}" if min(found) < max(found) else str(min(found))

    @property
    def confirmed(self) -> int:
        """In how many seeds a first departure was looked at again."""
        return sum(each.starts > 1 for each in self.judgements)


def _ratio(worst: TensorError) -> float:
    if worst.error is None or not worst.allowed:
        return np.inf
    return worst.error / worst.allowed


def judge(server: Server, case: Case, seeds: int, scratch: Path) -> Row:
    """Judges a case from several seeds, all in one process, so that it is compiled once."""
    request = Request(case, SamplingOptions(), scratch / "cache")
    asked = Examination(request, PARITY, scratch / "references")
    outcome = server.run(
        Job("parity_seeds:judge_all", (asked, tuple(range(seeds)))),
        deadline_s=DEADLINE_S,
        on_progress=lambda _: None,
    )
    if outcome.status is not Status.OK:
        raise SystemExit(f"{case.id}: {outcome.status}: {outcome.reason}\n{outcome.detail}")
    found: tuple[Judgement, ...] = outcome.result
    for seed, each in enumerate(found):
        if each.verdict is not ParityVerdict.PASS:
            print(f"{case.id}, seed {seed}: {each.reason}", file=sys.stderr, flush=True)
    return Row(case, found)


def rows(server: Server, seeds: int, workloads: tuple[str, ...]) -> Iterator[Row]:
    """Every workload in every setting."""
    for workload in workloads:
        with tempfile.TemporaryDirectory() as scratch:
            for compile_, precision in SETTINGS:
                case = Case(workload=workload, batch_size=8, compile=compile_, precision=precision)
                print(case.id, file=sys.stderr, flush=True)
                yield judge(server, case, seeds, Path(scratch))


def doses(server: Server, seeds: int) -> Iterator[tuple[float, int, int]]:
    """For each dose: how many seeds saw it, of how many."""
    spec = f"{Path(__file__).with_name('parity_doses.py')}:make"
    with tempfile.TemporaryDirectory() as scratch:
        for dose in DOSES:
            case = Case(workload=spec, batch_size=8, compile=f"backend:dose_{dose:g}")
            row = judge(server, case, seeds, Path(scratch))
            yield dose, row.count(ParityVerdict.FAIL), seeds


def main() -> None:
    """Runs the study and writes its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--workloads", nargs="+", default=list(WORKLOADS))
    asked = parser.parse_args()
    server = start.start_server((*preload.PRELOAD, *preload.PRELOAD_COMPILE), sys.path, Path.cwd())
    try:
        server.wait_until_ready()
        seen = list(doses(server, asked.seeds))
        found = list(rows(server, asked.seeds, tuple(asked.workloads)))
    finally:
        server.close()
    text, met = told(found, seen)
    if asked.seeds == SEEDS and tuple(asked.workloads) == WORKLOADS:
        Path(__file__).with_suffix(".md").write_text(text)
    print(text)
    print("the aims are met" if met else "THE AIMS ARE NOT MET")
    sys.exit(0 if met else 1)


def told(found: list[Row], seen: list[tuple[float, int, int]]) -> tuple[str, bool]:
    """The study's text, and whether its aims were met."""
    alarms = sum(len(row.judgements) - row.count(ParityVerdict.PASS) for row in found)
    trials = sum(len(row.judgements) for row in found)
    bound = 1 - 0.05 ** (1 / trials) if alarms == 0 else float("nan")
    lines = [
        f"| {row.case.workload} | {row.case.compile} | {row.case.precision} "
        f"| {row.count(ParityVerdict.PASS)} of {len(row.judgements)} | {row.steps} "
        f"| {row.closest:.2f} | {row.confirmed} "
        f"| {np.median([each.elapsed_s for each in row.judgements]):.1f} s |"
        for row in found
    ]
    dose_lines = [f"| {dose:.0e} | {hits} of {of} |" for dose, hits, of in seen]
    large = [hits == of for dose, hits, of in seen if dose >= 1e-3]
    upper = "" if np.isnan(bound) else f" (at most {bound:.1%} by their exact 95 % bound)"
    text = f"""# Parity: false alarms, and what is seen

Each workload at batch size 8 over {PARITY.steps} steps, from {len(found[0].judgements)} seeds of
weights and batches. None trains another model, so what does not pass is a false alarm: {alarms} of
{trials}{upper}. "Closest" is the largest error as a share of what is allowed; "looked at again"
counts the seeds in which there was a departure at first, which other starts did not confirm.

| workload | compile | precision | passed | steps | closest | looked at again | time, median |
| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |
{chr(10).join(lines)}

The gradient of one parameter of a small net times 1 + dose, in fp32:

| dose | seen |
| ---: | ---: |
{chr(10).join(dose_lines)}

Aims: no false alarm, and every dose of 0.001 or more seen in every seed.

{cpu_name()}, {usable_cores()} cores; torch {packages()["torch"]}. Repeat it with
`nox -s study -- parity`.
"""
    return text, alarms == 0 and all(large)


if __name__ == "__main__":
    main()

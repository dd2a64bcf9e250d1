"""Counts false alarms of parity and wrong gradients that it detects, over many seeds.

Each workload is judged in each setting from many seeds of weights and batches. All of them train
correctly, so every failure is a false alarm. In addition, compile backends of this study scale the
gradient of one parameter by 1 + dose; the study counts the seeds in which parity detects that.

Writes `parity.md` in the same directory: `nox -s study -- parity`.
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
from stepbench.config.requests import ParityRequest, Request
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
"""The lesson's model, and three of torchvision's: a deep one with batch norm, one with dropout and
squeeze-and-excitation, and one with dropout and without batch norm."""
SETTINGS = (("off", "fp32"), ("default", "fp32"), ("off", "bf16"), ("default", "bf16"))
DEADLINE_S = 3600.0


@dataclass(frozen=True)
class Row:
    """The judgements of one workload in one setting."""

    case: Case
    judgements: tuple[Judgement, ...]

    def count(self, verdict: ParityVerdict) -> int:
        """The number of seeds with a verdict."""
        return sum(judgement.verdict is verdict for judgement in self.judgements)

    @property
    def closest(self) -> float:
        """The largest error as a share of the tolerance, over all seeds."""
        return max(
            _share_of_tolerance(tensor)
            for judgement in self.judgements
            for tensor in judgement.worst.values()
        )

    @property
    def steps(self) -> str:
        """The numbers of compared steps, from the smallest to the largest."""
        counts = [judgement.reference.steps for judgement in self.judgements if judgement.reference]
        smallest, largest = min(counts), max(counts)
        return f"{smallest} to {largest}" if smallest < largest else str(smallest)

    @property
    def checked_again(self) -> int:
        """The number of seeds in which a mismatch was checked again."""
        return sum(judgement.starts > 1 for judgement in self.judgements)


def _share_of_tolerance(tensor: TensorError) -> float:
    if tensor.error is None or not tensor.allowed:
        return np.inf
    return tensor.error / tensor.allowed


def judge(server: Server, case: Case, seeds: int, scratch: Path) -> Row:
    """Judges a case from several seeds, all in one process, so that it is compiled once."""
    case_request = Request(case, SamplingOptions(), scratch / "cache")
    request = ParityRequest(case_request, PARITY, scratch / "references")
    outcome = server.run(
        Job("parity_seeds:judge_all", (request, tuple(range(seeds)))),
        deadline_s=DEADLINE_S,
        on_progress=lambda _: None,
    )
    if outcome.status is not Status.OK:
        raise SystemExit(f"{case.id}: {outcome.status}: {outcome.reason}\n{outcome.detail}")
    judgements: tuple[Judgement, ...] = outcome.result
    for seed, judgement in enumerate(judgements):
        if judgement.verdict is not ParityVerdict.PASS:
            print(f"{case.id}, seed {seed}: {judgement.reason}", file=sys.stderr, flush=True)
    return Row(case, judgements)


def rows(server: Server, seeds: int, workloads: tuple[str, ...]) -> Iterator[Row]:
    """Judges every workload in every setting."""
    for workload in workloads:
        with tempfile.TemporaryDirectory() as scratch:
            for compile_, precision in SETTINGS:
                case = Case(workload=workload, batch_size=8, compile=compile_, precision=precision)
                print(case.id, file=sys.stderr, flush=True)
                yield judge(server, case, seeds, Path(scratch))


def doses(server: Server, seeds: int) -> Iterator[tuple[float, int, int]]:
    """Yields each dose, the number of seeds in which it is detected, and the number of seeds."""
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
    options = parser.parse_args()
    server = start.start_server((*preload.PRELOAD, *preload.PRELOAD_COMPILE), sys.path, Path.cwd())
    try:
        server.wait_until_ready()
        dose_counts = list(doses(server, options.seeds))
        table = list(rows(server, options.seeds, tuple(options.workloads)))
    finally:
        server.close()
    text, met = page(table, dose_counts)
    if options.seeds == SEEDS and tuple(options.workloads) == WORKLOADS:
        Path(__file__).with_suffix(".md").write_text(text)
    print(text)
    print("the aims are met" if met else "THE AIMS ARE NOT MET")
    sys.exit(0 if met else 1)


def page(table: list[Row], dose_counts: list[tuple[float, int, int]]) -> tuple[str, bool]:
    """The study's page, and True if the aims are met."""
    alarms = sum(len(row.judgements) - row.count(ParityVerdict.PASS) for row in table)
    trials = sum(len(row.judgements) for row in table)
    upper_bound = 1 - 0.05 ** (1 / trials) if alarms == 0 else float("nan")
    lines = [
        f"| {row.case.workload} | {row.case.compile} | {row.case.precision} "
        f"| {row.count(ParityVerdict.PASS)} of {len(row.judgements)} | {row.steps} "
        f"| {row.closest:.2f} | {row.checked_again} "
        f"| {np.median([judgement.elapsed_s for judgement in row.judgements]):.1f} s |"
        for row in table
    ]
    dose_lines = [f"| {dose:.0e} | {hits} of {count} |" for dose, hits, count in dose_counts]
    large_doses_detected = all(hits == count for dose, hits, count in dose_counts if dose >= 1e-3)
    upper = "" if np.isnan(upper_bound) else f" (at most {upper_bound:.1%} with 95 % confidence)"
    text = f"""# Parity: false alarms, and detected errors

Each workload at batch size 8 over {PARITY.steps} steps, from {len(table[0].judgements)} seeds of
weights and batches. All train correctly, so a case that does not pass is a false alarm: {alarms} of
{trials}{upper}. "Closest" is the largest error as a share of the tolerance. "Checked again" counts
the seeds with a mismatch from the first start that other starts did not confirm.

| workload | compile | precision | passed | steps | closest | checked again | time, median |
| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |
{chr(10).join(lines)}

The gradient of one parameter of a small model times 1 + dose, in fp32:

| dose | detected |
| ---: | ---: |
{chr(10).join(dose_lines)}

Aims: no false alarm, and every dose of 0.001 or more detected in every seed.

{cpu_name()}, {usable_cores()} cores; torch {packages()["torch"]}. Repeat with
`nox -s study -- parity`.
"""
    return text, alarms == 0 and large_doses_detected


if __name__ == "__main__":
    main()

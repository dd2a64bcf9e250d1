"""Measures what the submitting process of `--on` costs, with jobs that measure nothing.

`nox -s study -- cluster` writes `cluster.md`. Everything of `stepbench run --on` runs as usual,
with pytest and the reports, but for the engine: its jobs end at the next look, and write what a job
writes. What they take is not counted.
"""

import io
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

from msgspec.structs import replace

from stepbench import machine
from stepbench.benchmarks import session
from stepbench.cluster import dispatch
from stepbench.cluster.engine import JobPhase, JobSpec, JobState, Node
from stepbench.cluster.job_files import JobFiles
from stepbench.config.case import Case
from stepbench_reports.schema.cluster import JobEnding, JobStart
from stepbench_reports.schema.files import CASES, RUN, write_record
from stepbench_reports.schema.results import MeasurementRecord
from stepbench_reports.schema.status import Status

PAGE = Path(__file__).with_suffix(".md")
SIZES = ((1, 1), (100, 10), (10_000, 1000))
"""The number of cases and of nodes of each measured run."""
HEAD = """\
# Study: what the submitting process costs

<!-- Written by docs/studies/cluster.py. -->

`stepbench run --on` with an engine whose jobs measure nothing and end at once: the plan, the files
of jobs, the looks at them, the merging of a file for each case, pytest's tests, and the reports.
What the jobs themselves write is not counted. Seconds of one core, and the peak memory of the
process. A run's cases differ in `--batch-size` and `--accumulate`.

| cases | nodes | jobs | CPU, s | jobs' own, s | memory, MiB |
| ---: | ---: | ---: | ---: | ---: | ---: |
"""


class EmptyEngine:
    """Ends all jobs at the next look, with a file for each case that says it was not measured.

    Args:
        run: The run's directory.
        nodes: The number of nodes.

    Attributes:
        cpu_s: The processor's time for what the jobs write, seconds.
    """

    name = "empty"

    def __init__(self, run: Path, nodes: int) -> None:
        self._files, self._nodes = JobFiles(run), nodes
        self._jobs: list[int] = []
        self.cpu_s = 0.0

    def nodes(self) -> tuple[Node, ...]:
        """The nodes."""
        return tuple(Node(f"node{number:04}") for number in range(self._nodes))

    def submit(self, jobs: Sequence[JobSpec]) -> None:
        """Takes jobs."""
        self._jobs += [job.number for job in jobs]

    def states(self) -> Mapping[int, JobState]:
        """Performs as many jobs as there are nodes; all that are performed have ended."""
        began_s = time.process_time()
        ended = [number for number in self._jobs if number in self._files.ended()]
        for index, number in enumerate([n for n in self._jobs if n not in ended][: self._nodes]):
            self._perform(number, f"node{index:04}")
            ended.append(number)
        self.cpu_s += time.process_time() - began_s
        return dict.fromkeys(ended, JobState(JobPhase.ENDED))

    def _perform(self, number: int, node: str) -> None:
        request, folder = self._files.read_request(number), self._files.folder(number)
        self._files.write_start(
            number, JobStart(node=node, host=node, began=datetime.now(UTC))
        )  # fmt: skip
        facts = replace(request.run, machine=machine.machine_facts({}))
        write_record(folder / RUN, facts)
        points = [{name: of[0] for name, of in facts.axes.items()}, *facts.include]
        for case in (Case(**point) for point in points):  # type: ignore[arg-type]  # by name
            record = MeasurementRecord(
                id=case.id, case=case, status=Status.UNSUPPORTED, reason="empty", axis="device"
            )
            write_record(folder / CASES / f"{case.id}.json", record)
        self._files.write_outcome(number, JobEnding.DONE)

    def cancel(self) -> None:
        """Does nothing: all jobs have ended."""

    def close(self) -> None:
        """Does nothing."""


def measure(cases: int, nodes: int) -> str:
    """Runs some cases on some nodes, and returns the row of the table."""
    side = math.isqrt(cases)
    values = [str(number) for number in range(1, side + 1)]
    with tempfile.TemporaryDirectory() as directory:
        run = Path(directory, "run")
        engine = EmptyEngine(run, nodes)
        began_s = time.process_time()
        with (
            redirect_stdout(io.StringIO()),
            mock.patch("stepbench.runner.cluster_run.make_engine", return_value=engine),
        ):
            session.main(
                ["--on", "local", "--device", "cpu", "--batch-size", *values, "--accumulate",
                 *values, "--num-workers", "0", "--compile", "off", "--steps", "1", "--no-parity",
                 "--output", str(run), "-q", "-p", "no:cacheprovider"]
            )  # fmt: skip
        cpu_s = time.process_time() - began_s - engine.cpu_s
        jobs = len(JobFiles(run).requested())
        measured = len(list((run / CASES).glob("*.json")))
    if measured != cases:
        raise RuntimeError(f"{measured} of {cases} cases have a file")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"| {cases:,} | {nodes:,} | {jobs:,} | {cpu_s:.1f} | {engine.cpu_s:.1f} | {peak:,.0f} |"


def main() -> None:
    """Measures each size in a process of its own, and writes the page."""
    if len(sys.argv) == 3:
        dispatch.MIN_POLL_S = dispatch.MAX_POLL_S = 0.0
        print(measure(int(sys.argv[1]), int(sys.argv[2])), file=sys.stderr)
        return
    rows = []
    for cases, nodes in SIZES:
        done = subprocess.run(
            [sys.executable, __file__, str(cases), str(nodes)], stderr=subprocess.PIPE, text=True,
            check=True, env={**os.environ, "PYTHONWARNINGS": "ignore"}, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        rows.append(done.stderr.strip().splitlines()[-1])
        print(rows[-1])
    PAGE.write_text(HEAD + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()

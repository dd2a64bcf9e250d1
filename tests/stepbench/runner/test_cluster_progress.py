import io

from rich.console import Console

from stepbench.cluster.dispatch import Board, JobEnd
from stepbench.runner.cluster_progress import ClusterProgress, sentence


def test_the_line_counts_jobs_and_says_where_they_run() -> None:
    assert sentence(Board(3, {4: "n1", 5: "n2"}, 2, 1)) == (
        "3 queued, 2 running on n1 and n2, 2 done, 1 failed"
    )
    assert sentence(Board(0, {4: ""}, 0, 0)) == "1 running, 0 done"
    many = {number: f"n{number}" for number in range(1000)}
    assert sentence(Board(9000, many, 0, 0)) == "9,000 queued, 1,000 running on 1,000 nodes, 0 done"


def test_a_line_for_each_job_and_a_note_for_each_new_reason_to_wait() -> None:
    stream = io.StringIO()
    progress = ClusterProgress(Console(file=stream, width=200), 2, "slurm")
    with progress.shown():
        for waiting in ("PartitionDown", "PartitionDown", None):
            progress.show(Board(2, {}, 0, 0, waiting))
        line = progress.end_line(JobEnd(1, "n1"), 4)
        progress.end_line(JobEnd(2, None, "was cancelled", lost=True), 1)
    assert line == "[1/2] job 1 on n1: done, 4 cases measured (after about 1 s)"
    assert stream.getvalue().splitlines() == [
        "2 jobs submitted to slurm",
        "note: jobs wait: PartitionDown",
        line,
        "[2/2] job 2: failed, 1 case measured (after about 1 s)",
    ]

"""A profile of a user's own workload, in a real run."""

import gzip
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

Bench = Callable[..., subprocess.CompletedProcess[str]]
Tiny = Callable[..., Path]

QUICK = (
    "--batch-size", "4", "--num-workers", "0", "--compile", "off", "--steps", "4", "--no-parity",
    "--threads", "1", "--profile",
)  # fmt: skip


def test_views_that_a_workload_does_not_support_are_left_out_with_a_note(
    bench: Bench, tiny: Tiny, tmp_path: Path
) -> None:
    tiny()
    done = bench(
        "--workload", "tiny.py:make", "--loop", "train", "eval", *QUICK, "--accumulate", "2",
        "--profile-steps", "2", "--profile-workers", "--profile-stack", "--output", "out", "-v",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 passed" in done.stdout  # each phase, each step, and two profiles
    run = tmp_path / "out"
    names = ("tiny-cpu-b4-acc2-w0-off-fp32", "tiny-eval-cpu-b4-w0-off-fp32")
    trained, tested = (
        json.loads((run / "profiles" / f"{name}.json").read_text())["profile"] for name in names
    )
    assert set(trained["board"]["left_out"]) == {"images", "projector", "pr_curves"}
    assert 1 < len(trained["curves"]["loss"]) <= 2000  # the number depends on the time limit
    assert trained["curves"]["accuracy"] == []
    assert tested["curves"] is None
    assert trained["breakdown"]["steps"] == tested["breakdown"]["steps"] == 2
    assert set(tested["breakdown"]["phase_s"]) == {"dataload", "forward"}
    assert trained["workers"][0]["seconds"].keys() == {"read", "collate", "hand over"}
    original = json.loads(
        gzip.decompress((run / "traces" / f"{names[0]}.pt.trace.json.gz").read_bytes())
    )
    marks = [e["name"] for e in original["traceEvents"] if e.get("cat") == "user_annotation"]
    assert marks.count("backward") == 2 * 2  # two micro-batches to a step
    assert marks.count("optimizer") == 2
    assert any(e.get("cat") == "python_function" for e in original["traceEvents"])
    assert not (run / "scratch").exists()
    report = (run / "report.md").read_text()
    assert "no images: the inputs are not images" in report
    assert (run / "operators.csv").exists()

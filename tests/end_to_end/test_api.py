"""A script, or a notebook, measures a case in three lines."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from support.warm import WarmCommands

SCRIPT = """
from stepbench import Case, measure
run = measure(Case(workload="tiny.py:make", batch_size=8, device="cpu"), max_time_s=0.3)
print(run.cases.loc[0, "status"], len(run.samples) > 0, run.cases.loc[0, "parity"])
"""
MATRIX = """
from stepbench import Matrix, measure
run = measure(
    Matrix({"workload": ("tiny.py:make",), "device": ("cpu",), "batch_size": (4, 8)}),
    max_time_s=1, parity=False,
)
ratio = run.ratio("tiny-cpu-b8-w0-off-fp32", "tiny-cpu-b4-w0-off-fp32")
print(0 < ratio.low < ratio.value < ratio.high)
"""


def test_a_case_is_measured_in_three_lines(tiny: Callable[..., Path], tmp_path: Path) -> None:
    tiny()
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=600,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "ok True pass"


def test_the_cases_of_a_matrix_are_compared_in_turns(
    commands: WarmCommands, tiny: Callable[..., Path], tmp_path: Path
) -> None:
    tiny()
    done = commands.run([sys.executable, "-c", MATRIX], cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "True"


def test_a_missing_workload_file_is_an_error(tmp_path: Path) -> None:
    code = "from stepbench import Case, measure; measure(Case(workload='nothing.py:make'))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=600,
        check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "UsageError: --workload" in done.stderr


def test_importing_stepbench_imports_no_large_library() -> None:
    code = "import sys, stepbench; print({'torch', 'numpy', 'pandas', 'rich'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

from pathlib import Path

import pytest

from stepbench_reports.read.run import Run
from stepbench_reports.read.run_directory import load
from support import synthetic


@pytest.fixture
def believable(tmp_path: Path) -> Run:
    """Eight cases on a CPU, one of which has crashed."""
    return load(synthetic.write_run(tmp_path / "run", synthetic.eight_cases()))

from pathlib import Path

import numpy as np

from stepbench_reports.read.run_directory import load
from support import synthetic
from support.reading import titled


def test_a_section_counts_the_lines_that_it_leaves_out(tmp_path: Path) -> None:
    axes = {**synthetic.AXES, "batch_size": list(range(1, 101))}
    host = synthetic.laps(0, 12, dataload=1.0, forward=2.0)
    files = [synthetic.case_file(case, host) for case in synthetic.product(axes)]
    section = titled(load(synthetic.write_run(tmp_path / "run", files, axes)), "Bottlenecks")
    assert len(section.lines) + section.left_out == 400
    assert np.sum([len(line.encode()) + 1 for line in section.lines]) <= 6000
    assert section.lines

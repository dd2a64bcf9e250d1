from pathlib import Path

from stepbench_reports.read.run_directory import load
from support import synthetic_profile
from support.reading import rows, titled


def test_where_a_workers_time_goes(tmp_path: Path) -> None:
    worker = {
        "worker": 1, "batches": 10, "samples": 100, "elapsed_s": 1.0,
        "seconds": {"read": 0.5, "ToTensor": 0.25, "collate": 0.05, "hand over": 0.2},
    }  # fmt: skip
    run = load(synthetic_profile.write_run(tmp_path / "run", workers=[worker]))
    assert rows(titled(run, "Loader workers"))[0] == {
        "compile": "off", "worker": "1", "samples": "100", "µs/sample": "10,000",
        "read": "5,000 (50 %)", "ToTensor": "2,500 (25 %)", "collate": "500 (5 %)",
        "hand over": "2,000 (20 %)",
    }  # fmt: skip

import json
from pathlib import Path
from typing import Any

from stepbench_reports.read.run_directory import load
from stepbench_reports.wording.time_spent import sentence
from support import synthetic


def test_the_time_of_a_run_is_told_by_kind_of_work(tmp_path: Path) -> None:
    def turns(file: dict[str, Any]) -> None:
        file["elapsed_s"], file["turns"] = 5.0, file["turns"][:1]
        file["turns"][0]["elapsed_s"] = 1.5

    files = synthetic.two_cases(turns)
    path = synthetic.write_run(tmp_path / "run", files, peaks_s=2.0)
    (path / "parity").mkdir()
    for file in files:  # both were judged at once
        judged = synthetic.parity_file(file["case"], "pass")
        record = {**judged, "elapsed_s": 4.0}
        (path / "parity" / f"{judged['id']}.json").write_text(
            json.dumps({**record, "judged_case": files[0]["id"]})
        )
    assert sentence(load(path)) == (
        "importing 9.50 s, peak throughput 2.00 s, first steps with an empty compile cache "
        "8.20 s, starts, warm-up, untimed steps and passes 7.00 s, sampling 3.00 s, parity 4.00 s"
    )


def test_what_is_unknown_is_left_out(tmp_path: Path) -> None:
    run = load(synthetic.write_run(tmp_path / "run", synthetic.two_cases()[:1]))
    assert "peak throughput" not in sentence(run)
    assert "parity" not in sentence(run)

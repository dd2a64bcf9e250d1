from pathlib import Path
from typing import Any

from support.reading import rows, titled, two_cases


def test_operations_as_a_share_of_the_roof(tmp_path: Path) -> None:
    section = titled(two_cases(tmp_path), "Operations and")
    # 0.12419 GFLOP in 10 ms; 31.46 MB; a ridge at 180 / 19, above which the roof is 180 GFLOP/s.
    assert rows(section)[0] == {
        "compile": "off", "GFLOP/step": "0.124", "GFLOP/s": "12.4", "of roof": "17 %",
        "FLOP/B": "3.9", "ridge, FLOP/B": "9.5", "operators": "84", "saved, MiB": "2.3",
    }  # fmt: skip
    assert section.lead.endswith(
        "Peak throughput of cpu with 2 threads: 180 GFLOP/s in fp32 matrix products, 410 GFLOP/s "
        "in bf16 matrix products, 19.0 GB/s of memory read and written, 1,450 JPEG files/s "
        "decoded by one core."
    )


def test_operations_that_could_not_be_counted_have_a_reason(tmp_path: Path) -> None:
    def uncounted(file: dict[str, Any]) -> None:
        nothing = dict.fromkeys(["flops", "bytes", "operators"])
        file["work"] = {**nothing, "reason": "no formula for *this*"}
        file["memory"]["saved_bytes"] = None

    section = titled(two_cases(tmp_path, uncounted, machine_peaks={}), "Operations and")
    assert section.grid is None
    assert section.lines == (r"- not counted in off, default: no formula for \*this\*",)
    assert section.lead.endswith("peak throughput was not measured, so shares of it are unknown.")

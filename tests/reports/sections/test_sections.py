from pathlib import Path
from typing import Any

from stepbench_reports import sections
from support.reading import rows, titled, two_cases


def test_sections_without_figures_are_left_out(tmp_path: Path) -> None:
    run = two_cases(tmp_path, lambda file: file.update(compile=None))
    titles = [section.title for section in sections.collect(run)]
    assert titles == [
        "Bottlenecks",
        "Controls",
        "Quantiles of every phase, ms",
        "The loader alone",
        "Operations and roofline",
        "One-time costs and peak memory",
    ]


def test_the_peak_of_a_case_with_cuda_graphs_is_reserved_memory(tmp_path: Path) -> None:
    def on_cuda(file: dict[str, Any]) -> None:
        peak = {
            "device_peak_allocated_bytes": 10 * 2**20,
            "device_peak_reserved_bytes": 30 * 2**20,
        }
        file["memory"] |= {**peak, "warmup": peak}
        if file["compile"] is not None:
            file["compile"]["cuda_graph_skips"] = 0

    section = titled(two_cases(tmp_path, on_cuda), "One-time costs")
    for name in ("device peak, MiB", "warm-up peak, MiB"):
        assert [row[name] for row in rows(section)] == ["10", "30"]
    assert "CUDA graphs" in section.lead
    eager = titled(two_cases(tmp_path / "eager"), "One-time costs")
    assert "CUDA graphs" not in eager.lead

from pathlib import Path

from stepbench_reports import sections
from support.reading import two_cases


def test_sections_without_figures_are_left_out(tmp_path: Path) -> None:
    run = two_cases(tmp_path, lambda file: file.update(compile=None))
    titles = [section.title for section in sections.collect(run)]
    assert titles == [
        "Bottlenecks",
        "Quantiles of every phase, ms",
        "The loader alone",
        "Operations and roofline",
        "One-time costs and peak memory",
    ]

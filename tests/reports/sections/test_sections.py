from pathlib import Path

from stepbench_reports import sections
from support.reading import two_cases


def test_a_part_without_figures_is_not_there(tmp_path: Path) -> None:
    run = two_cases(tmp_path, lambda file: file.update(compile=None))
    titles = [section.title for section in sections.collect(run)]
    assert titles == [
        "What bounds each case",
        "Every phase: quantiles in ms",
        "The loader by itself",
        "Work and the roofline",
        "What happens once: start, first step, warm-up; peak memory",
    ]

from pathlib import Path

from support.reading import on_a_device, rows, titled


def test_both_clocks_side_by_side(tmp_path: Path) -> None:
    run = on_a_device(tmp_path)
    (row,) = rows(titled(run, "Host and device"))
    figures = {"dataload": "4.000 / 1.000", "transfer": "– / 1.000", "forward": "1.000 / 3.000"}
    assert row == {"case": run.measurements[0].id, **figures, "step": "5.000 / 5.000"}
    (loader,) = rows(titled(run, "The loader"))
    assert (loader["wait, ms/step"], loader["starved, ms/step"]) == ("4.0", "1.0")
    assert "starvation" in titled(run, "Bottlenecks").lead

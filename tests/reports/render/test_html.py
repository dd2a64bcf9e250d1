"""`report.html` agrees with the other reports, and works in a real browser."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from stepbench_reports.figures import pictures
from stepbench_reports.read.run import Run
from stepbench_reports.read.run_directory import load
from stepbench_reports.render import html, writing
from stepbench_reports.render.terminal import show
from support import synthetic
from support.browsing import BROWSER, keep, needs_browser


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return load(synthetic.write_run(tmp_path / "run", synthetic.eight_cases()))


def test_the_table_agrees_with_markdown_csv_and_terminal(run: Run) -> None:
    writing.write(run)
    page = (run.path / "report.html").read_text()
    (table, *_) = pd.read_html(io.StringIO(page))
    lines = (run.path / "report.md").read_text().splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("| ---") or ":---" in line)
    heads = [cell.strip() for cell in lines[begin - 1].strip("|").split("|")]
    assert [str(head) for head in table.columns] == heads
    measured = [m for m in run.measurements if m.ok]
    html_rates = [str(value).replace("\xa0", " ") for value in table["samples/s"]]
    csv = pd.read_csv(run.path / "phases.csv")
    terminal = Console(file=io.StringIO(), width=200)
    show(run, terminal)
    printed = terminal.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    for number, m in enumerate(run.measurements):
        cells = [cell.strip() for cell in lines[begin + 1 + number].strip("|").split("|")]
        shown = cells[heads.index("samples/s")].replace("**", "")
        assert shown.replace(",", "") in {
            html_rates[number].replace(",", ""),
            html_rates[number] + ".0",
        }
        if m.ok:
            row = csv[(csv["case"] == m.id) & (csv["phase"] == "step")].iloc[0]
            assert float(shown.replace(",", "")) == pytest.approx(row["samples_per_s"], rel=0.06)
            assert shown in printed
    assert len(table) == len(run.measurements)
    assert len(measured) == 7


def test_every_step_is_in_the_parquet(run: Run) -> None:
    writing.write(run)
    samples = pd.read_parquet(run.path / "samples.parquet")
    pd.testing.assert_frame_equal(samples, run.samples)


def test_each_figure_is_a_file_and_in_the_page(run: Run) -> None:
    writing.write(run)
    names = [picture.name for picture in pictures(run)]
    assert names == [
        "phases", "batch-size", "workers", "compiled", "memory", "roofline", "distribution",
    ]  # fmt: skip
    assert {file.stem for file in (run.path / "figures").iterdir()} == set(names)
    page = (run.path / "report.html").read_text()
    for picture in pictures(run):
        assert (run.path / "figures" / f"{picture.name}.svg").read_text() == picture.svg
        if picture.name != "phases":  # the page has bars of its own
            assert html.data_url(picture) in page
        assert "prefers-color-scheme: dark" in picture.svg


def test_a_run_without_figures_has_a_page_too(tmp_path: Path) -> None:
    axes = {name: values[0] for name, values in synthetic.AXES.items()}
    file = synthetic.failed_file(axes, "error", "ValueError: <script>alert(1)</script>")
    page = html.render(load(synthetic.write_run(tmp_path / "run", [file])))
    assert "<script>alert" not in page
    assert "ValueError" in page
    assert "<img" not in page


def test_the_page_needs_no_network(run: Run) -> None:
    page = html.render(run)
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)[^"']+""", page)
    assert "@import" not in page
    assert len(page) < 3_000_000


@pytest.fixture
def page(run: Run) -> Iterator[Any]:
    from playwright import sync_api

    writing.write(run)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console",
            lambda message: errors.append(message.text) if message.type == "error" else None,
        )
        page.goto((run.path / "report.html").resolve().as_uri())
        yield page
        browser.close()
        assert not errors


def column(page: Any, head: str) -> list[str]:
    heads = page.locator("#cases th").all_inner_texts()
    number = [text.strip() for text in heads].index(head) + 1
    cells = page.locator(f"#cases tbody tr:visible td:nth-child({number})").all_inner_texts()
    return [str(text).strip() for text in cells]


def rates(page: Any) -> list[float]:
    """The samples/s of the cases that have any, in the order in which they are shown."""
    cells = column(page, "samples/s")
    return [float(text.replace(",", "")) for text in cells if text[:1].isdigit()]


@needs_browser
def test_rows_can_be_sorted_and_filtered(page: Any) -> None:
    head = page.get_by_role("button", name="samples/s")
    head.click()
    assert rates(page) == sorted(rates(page))
    assert page.locator("#cases th[aria-sort=ascending]").count() == 1
    head.press("Enter")  # the keyboard works, too
    assert rates(page) == sorted(rates(page), reverse=True)
    page.get_by_label("Show only rows with").fill("32 default")
    assert column(page, "case") == ["b32 w0 default", "b32 w2 default"]
    assert page.locator("#shown").inner_text() == "2 of 8 cases"


@needs_browser
def test_the_first_table_and_every_bar_fit_the_page(page: Any) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    assert column(page, "samples/s")
    table = page.locator("#cases table").bounding_box()
    assert table["x"] + table["width"] <= 1280
    segments = page.locator(".segment").all()
    assert segments[0].get_attribute("title") == "dataload: 0.51 ms, 24 %"
    assert all(box["x"] + box["width"] <= 1280 for box in (s.bounding_box() for s in segments))


@needs_browser
@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 1200), ("light", 390)])
def test_it_can_be_read_by_everyone(page: Any, scheme: str, width: int, tmp_path: Path) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    for details in page.locator("details").all():
        details.evaluate("(element) => { element.open = true; }")
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    cards = page.locator("#cases td").first.evaluate(
        "(element) => getComputedStyle(element).display"
    )
    assert cards == ("flex" if width == 390 else "table-cell")
    overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert overflow <= 0  # wide tables scroll in their own box
    for image in page.locator("img").all():
        assert image.evaluate("(element) => element.complete && element.naturalWidth > 100")
    keep(page, f"report-{scheme}-{width}", tmp_path, full_page=True)

"""The pages of TensorBoard in a real browser.

The profiler's page loads two scripts from public hosts. Here `charts.js` and `web_components.js`
replace them, so that no network is needed.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support import browsing
from support.board import Board
from support.browsing import needs_browser

HERE = Path(__file__).parent
pytestmark = needs_browser
NAME = "convnet/cpu-b4-w0-off-fp32"
WAIT_MS = 300_000
PHASES = ("dataload", "forward", "backward", "optimizer")

SLICES = """
const model = document.querySelector("#trace-viewer")?.model;
const threads = Object.values(model?.processes ?? {}).flatMap((p) => Object.values(p.threads));
const titles = threads.flatMap((thread) => thread.sliceGroup.slices.map((slice) => slice.title));
"""
DRAWN = """() => {
  const canvases = [];
  const walk = (node) => {
    for (const child of [...(node.shadowRoot?.children ?? []), ...node.children]) {
      if (child.localName === "canvas" && child.width && child.height > 50) canvases.push(child);
      walk(child);
    }
  };
  walk(document.body);
  const colours = new Set();
  for (const canvas of canvases) {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < data.length; i += 4) colours.add(data.slice(i, i + 4).join());
  }
  return colours.size > 8;  // more than a background
}"""


def fulfill(script: str, route: Any) -> None:
    """Answers a request for a script."""
    route.fulfill(body=script, content_type="text/javascript")


@pytest.fixture
def page() -> Iterator[Any]:
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=browsing.BROWSER, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1600, "height": 900})
        page.set_default_timeout(WAIT_MS)
        page.route(re.compile(r"^https?://(?!127\.0\.0\.1)"), lambda route: route.abort())
        for pattern, name in (
            (r"gstatic\.com/charts/loader\.js", "charts.js"),
            (r"webcomponents\.min\.js", "web_components.js"),
        ):
            page.route(re.compile(pattern), partial(fulfill, (HERE / name).read_text()))
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
        browser.close()
        assert not errors


@pytest.fixture
def keep(page: Any, tmp_path: Path) -> Any:
    """Saves a screenshot of the page."""
    return lambda name: browsing.keep(page, name, tmp_path)


def test_the_scalars_show_laps_and_curves(board: Board, page: Any, keep: Any) -> None:
    page.goto(f"{board.url}/#timeseries")
    for group in ("laps_ms", "training", "samples_per_s"):
        page.get_by_text(group).first.wait_for()
    page.get_by_text("/forward").first.wait_for()
    page.get_by_text(NAME).first.wait_for()
    page.locator("line-chart svg").first.wait_for()
    keep("time-series")


def test_the_table_of_settings_can_be_sorted(board: Board, page: Any, keep: Any) -> None:
    page.goto(f"{board.url}/#hparams")
    rows = page.locator("tf-hparams-table-view vaadin-grid-cell-content")
    rows.filter(has_text="result/samples_per_s").first.wait_for()
    for text in ("fp32", "bf16", "precision", "num_workers", "compile", "result/step_ms"):
        cells = rows.filter(has_text=re.compile(f"^\\s*{text}\\s*$"))
        cells.first.wait_for(state="attached")  # rows appear after the head
        assert cells.count() >= 1
    keep("hparams")


def profiler(board: Board, page: Any, view: str) -> Any:
    """Opens the profiler's tab, and selects a case and a view."""
    page.goto(f"{board.url}/#pytorch_profiler")
    frame = page.frame_locator("iframe").first
    frame.get_by_text("Step Time Breakdown").wait_for()
    for selected, option in (("convnet/", f"{NAME}/profile"), ("Overview", view)):
        frame.get_by_role("button").filter(has_text=selected).first.click()
        frame.get_by_role("option", name=option, exact=True).click()
    return frame


def test_the_profilers_overview_shows_the_dataloader(board: Board, page: Any, keep: Any) -> None:
    frame = profiler(board, page, "Overview")
    frame.get_by_text("Average Step Time").wait_for()
    cells = frame.locator("tr").filter(has_text="DataLoader").first.locator("td")
    cells.nth(1).wait_for()
    assert float(cells.nth(1).inner_text()) > 0
    keep("profiler-overview")


def test_the_profilers_operators_have_the_phases(board: Board, page: Any, keep: Any) -> None:
    frame = profiler(board, page, "Operator")
    table = frame.locator("table tr")
    for phase in ("forward", "backward"):
        table.filter(has_text=re.compile(f"^{phase}")).first.wait_for()
    keep("profiler-operators")


def test_the_profilers_trace_is_drawn(board: Board, page: Any, keep: Any) -> None:
    profiler(board, page, "Trace")
    page.frame_locator("iframe").first.frame_locator("iframe").get_by_text(
        re.compile(r"^python \(pid \d+\)")
    ).first.wait_for()
    (frame,) = [frame for frame in page.frames if "trace_embedding" in frame.url]
    counted = frame.evaluate(
        f"(names) => {{ {SLICES} return names.map((n) => titles.filter((t) => t === n).length); }}",
        list(PHASES),
    )
    assert counted == [3, 3, 3, 3]
    frame.wait_for_function(DRAWN)
    keep("profiler-trace")

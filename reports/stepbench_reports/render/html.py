"""`report.html`: a run as one self-contained page, which any browser shows without a network.

The page has the text of `report.md`, the full table of cases (up to `CASES_BYTES`), the figures,
and tables that can be sorted and filtered.
"""

import base64
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jinja2
from markdown_it import MarkdownIt
from markupsafe import Markup

from stepbench_reports import figures
from stepbench_reports.figures import Picture
from stepbench_reports.read.run import Run
from stepbench_reports.render import phase_bars
from stepbench_reports.render.markdown import TEMPLATES, content
from stepbench_reports.render.term_links import linked
from stepbench_reports.sections import tables
from stepbench_reports.wording import summary
from stepbench_reports.wording.glossary import GLOSSARY

CASES_BYTES = 2_000_000
"""The maximum size of the rows of the table of cases, bytes: more than a thousand rows."""
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
_HEAD = re.compile("<th[^>]*>(.*?)</th>")


def render(
    run: Run,
    variables: Mapping[str, Any] | None = None,
    pictures: Iterable[Picture] | None = None,
) -> str:
    """Renders a run as an HTML page.

    Args:
        run: The run.
        variables: The run's `render.markdown.content`; computed if `None`.
        pictures: The run's figures; drawn if `None`.
    """
    variables = content(run) if variables is None else variables
    all_cases = None if variables["cases"] is None else tables.cases(run, CASES_BYTES)
    all_phases = None if variables["phases"] is None else tables.phases(run, CASES_BYTES)
    drawn = figures.pictures(run) if pictures is None else pictures
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "block": block, "inline": inline, "table": table, "data_url": data_url, "linked": linked,
    }  # fmt: skip
    return environment.get_template("report.html.j2").render(
        {**variables, "cases": all_cases, "phases": all_phases},
        plain_title=summary.title(run),
        glossary=GLOSSARY,
        bars=phase_bars.bars(run),
        colours=phase_bars.colours(run),
        # The page's own bars show the phases, with a value for each on hover.
        pictures=[picture for picture in drawn if picture.name != "phases"],
    )


def block(markdown: str) -> Markup:
    """Converts paragraphs, lists and tables from Markdown to HTML; raw HTML is escaped."""
    return Markup(_MARKDOWN.render(markdown))  # noqa: S704  # markdown-it escapes raw HTML


def inline(markdown: str) -> Markup:
    """Converts a line of Markdown to HTML; raw HTML is escaped."""
    return Markup(_MARKDOWN.renderInline(markdown))  # noqa: S704  # markdown-it escapes raw HTML


def table(lines: Sequence[str], css_class: str) -> Markup:
    """Converts a Markdown table to HTML, with classes instead of inline styles.

    Each cell has its column's head in `data-head`, which a narrow page shows beside the cell.
    """
    html = _MARKDOWN.render("\n".join(lines))
    html = html.replace('<th style="text-align:right">', '<th class="right" scope="col">')
    html = html.replace('<th style="text-align:left">', '<th scope="col">')
    html = html.replace('<td style="text-align:right">', '<td class="right">')
    html = html.replace('<td style="text-align:left">', "<td>")
    heads = itertools.cycle(_HEAD.findall(html))
    html = re.sub("<td", lambda _: f'<td data-head="{next(heads)}"', html)
    return Markup(html.replace("<table>", f'<table class="{css_class}">', 1))  # noqa: S704  # see `block`


def data_url(picture: Picture) -> str:
    """A picture as a `data:` URL."""
    return "data:image/svg+xml;base64," + base64.b64encode(picture.svg.encode()).decode()

"""`report.html`: a run as one file that needs no network, to be read in any browser.

It says what `report.md` says, by the same words, with the whole table of cases; to this it adds the
figures, and tables that can be sorted and filtered.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jinja2
from markdown_it import MarkdownIt
from markupsafe import Markup

from stepbench_reports import figures
from stepbench_reports.figures import Picture
from stepbench_reports.read.run import Run
from stepbench_reports.render.markdown import TEMPLATES, content
from stepbench_reports.sections import tables
from stepbench_reports.wording import summary

CASES_BYTES = 2_000_000
"""What the table of cases may take: more than a thousand rows."""
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def render(
    run: Run,
    told: Mapping[str, Any] | None = None,
    pictures: Iterable[Picture] | None = None,
) -> str:
    """A run as a page of HTML.

    Args:
        run: The run.
        told: Its `render.markdown.content`, where that has been worked out already.
        pictures: Its figures, where they have been drawn already.
    """
    told = content(run) if told is None else told
    whole = None if told["cases"] is None else tables.cases(run, CASES_BYTES)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"block": block, "inline": inline, "table": table, "data": data}
    return environment.get_template("report.html.j2").render(
        {**told, "cases": whole},
        plain_title=summary.title(run),
        pictures=list(figures.pictures(run) if pictures is None else pictures),
    )


def block(markdown: str) -> Markup:
    """Paragraphs, lists and tables of Markdown as HTML; raw HTML in it stays text."""
    return Markup(_MARKDOWN.render(markdown))  # noqa: S704  # markdown-it escapes what it is given


def inline(markdown: str) -> Markup:
    """A line of Markdown as HTML."""
    return Markup(_MARKDOWN.renderInline(markdown))  # noqa: S704  # likewise


def table(lines: Sequence[str], kind: str) -> Markup:
    """A Markdown table as HTML, with classes in the place of styles."""
    made = _MARKDOWN.render("\n".join(lines))
    made = made.replace('<th style="text-align:right">', '<th class="right" scope="col">')
    made = made.replace('<th style="text-align:left">', '<th scope="col">')
    made = made.replace('<td style="text-align:right">', '<td class="right">')
    made = made.replace('<td style="text-align:left">', "<td>")
    return Markup(made.replace("<table>", f'<table class="{kind}">', 1))  # noqa: S704  # likewise


def data(picture: Picture) -> str:
    """A picture's file as an address."""
    return "data:image/svg+xml;base64," + base64.b64encode(picture.svg.encode()).decode()

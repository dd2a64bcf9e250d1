"""Links between the repository's pages lead somewhere; `nox -s docs` checks those within a page."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("examples/**/*.md")]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def links(text: str) -> list[str]:
    """The relative links of a page, but for those shown as code."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    return [link for link in LINK.findall(prose) if "://" not in link]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_link_leads_to_a_file(page: Path) -> None:
    targets = [(page.parent / link).resolve() for link in links(page.read_text())]
    assert [target for target in targets if not target.exists()] == []
    if DOCS in page.parents:  # the site has the files of docs/ alone
        assert [target for target in targets if DOCS not in target.parents] == []


def test_links_are_found() -> None:
    assert links("[a](b.md#c) ![d](e.png) `[f](g)` [h](https://i.j)") == ["b.md", "e.png"]
    assert any(links(page.read_text()) for page in PAGES)

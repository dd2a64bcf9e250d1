"""Links from the words of a report's page to the page's glossary."""

import re
from collections.abc import Iterator

from markupsafe import Markup

from stepbench_reports.wording.glossary import GLOSSARY

_UNLINKED = re.compile(r"(<(a|code|th)\b.*?</\2>|<[^>]*>)", re.DOTALL)
"""Parts of a page that get no links: tags, and what is a link, code or a button already."""


def _words() -> Iterator[tuple[str, str]]:
    """Yields each word of the glossary with the anchor of its entry."""
    for terms in GLOSSARY.values():
        for term in terms:
            for word in term.name.split(", "):
                yield word.lower(), term.anchor


_ANCHORS = dict(_words())
_LONGEST_FIRST = "|".join(map(re.escape, sorted(_ANCHORS, key=len, reverse=True)))
_WORD = re.compile(rf"(?<![\w/-])({_LONGEST_FIRST})(?:s)?(?![\w/-])", re.IGNORECASE)


def linked(html: Markup) -> Markup:
    """Links the first use of each word of the glossary in a piece of HTML.

    Args:
        html: Escaped HTML; its links and code stay as they are.
    """
    seen: set[str] = set()

    def link(match: re.Match[str]) -> str:
        anchor = _ANCHORS[match[1].lower()]
        if anchor in seen:
            return match[0]
        seen.add(anchor)
        return f'<a href="#{anchor}">{match[0]}</a>'

    parts, end = [], 0
    for tag in _UNLINKED.finditer(html):
        parts += [_WORD.sub(link, html[end : tag.start()]), tag[0]]
        end = tag.end()
    parts.append(_WORD.sub(link, html[end:]))
    return Markup("".join(parts))  # noqa: S704  # the input is escaped, anchors are our own

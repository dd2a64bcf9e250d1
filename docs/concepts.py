"""Writes `concepts.md` from the terms of `stepbench_reports.wording.glossary`.

`python docs/concepts.py` writes it; a test keeps it current.
"""

import sys
from pathlib import Path

from stepbench_reports.wording.glossary import GLOSSARY, Term

PAGE = Path(__file__).parent / "concepts.md"
HEAD = """\
# Glossary

<!-- Written by docs/concepts.py from stepbench_reports.wording.glossary. -->

The words of options, reports and files. A report's page has the same entries at its end.
"""


def document() -> str:
    """The page's text."""
    parts = [HEAD]
    for heading, terms in GLOSSARY.items():
        parts += [f"## {heading}\n", *map(_entry, terms), ""]
    return "\n".join(parts)


def _entry(term: Term) -> str:
    more = f" [More]({term.more})" if term.more else ""
    return f"- **{term.name}**: {term.text}{more}"


if __name__ == "__main__":
    PAGE.write_text(document())
    sys.stdout.write(f"wrote {PAGE}\n")

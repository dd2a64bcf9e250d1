import runpy
from pathlib import Path

from stepbench_reports.wording.glossary import GLOSSARY

ROOT = Path(__file__).resolve().parents[3]
TERMS = [term for terms in GLOSSARY.values() for term in terms]


def test_the_page_of_the_glossary_has_these_terms() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "concepts.py"))
    written = (ROOT / "docs" / "concepts.md").read_text()
    assert written == script["document"](), "run: python docs/concepts.py"
    assert all(term.name in written for term in TERMS)


def test_each_term_has_an_anchor_of_its_own() -> None:
    anchors = [term.anchor for term in TERMS]
    assert len(set(anchors)) == len(anchors)
    assert {"term-bottleneck", "term-warm-up-steady-state"} <= set(anchors)


def test_an_explanation_is_short() -> None:
    long = {term.name for term in TERMS if len(term.text) > 260}
    assert long == set()

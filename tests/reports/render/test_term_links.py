import re
from pathlib import Path

from markupsafe import Markup

from stepbench_reports.read.run_directory import load
from stepbench_reports.render import html
from stepbench_reports.render.term_links import linked
from support import synthetic


def test_the_first_use_of_a_word_is_linked_and_code_is_not() -> None:
    page = linked(Markup("<p>Laps of a step; a lap. <code>parity</code> <a>case</a> steps/s</p>"))
    assert page == (
        '<p><a href="#term-lap">Laps</a> of a <a href="#term-step">step</a>; a lap. '
        "<code>parity</code> <a>case</a> steps/s</p>"
    )


def test_no_tag_is_changed() -> None:
    page = linked(Markup('<p class="case step">nothing</p>'))
    assert page == '<p class="case step">nothing</p>'


def test_each_link_of_the_page_leads_to_its_glossary(tmp_path: Path) -> None:
    page = html.render(load(synthetic.write_run(tmp_path / "run", synthetic.two_cases())))
    links = set(re.findall(r'href="#(term-[^"]+)"', page))
    assert {"term-bottleneck", "term-speed-up", "term-samples-s"} <= links
    assert links <= set(re.findall(r'id="(term-[^"]+)"', page))

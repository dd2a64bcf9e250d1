import runpy
from pathlib import Path

from stepbench.config.option_definitions import FLAGS

ROOT = Path(__file__).resolve().parents[3]


def test_the_options_page_is_up_to_date() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "options.py"))
    page = (ROOT / "docs" / "options.md").read_text()
    assert page == script["document"](), "run: python docs/options.py"
    assert all(f"`{flag.name}" in page for flag in FLAGS)

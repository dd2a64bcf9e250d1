import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_page_on_the_format_is_current() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "run_directory.py"))
    written = (ROOT / "docs" / "run-directory.md").read_text()
    assert written == script["document"](), "run: python docs/run_directory.py"

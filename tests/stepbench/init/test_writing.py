"""Whatever a script holds: it is refused in a sentence, or its workload file is Python."""

import ast
from pathlib import Path

import pytest

from stepbench.errors import UsageError
from stepbench.init.script import parse
from stepbench.init.writing import draft_of_script, write

ROOT = Path(__file__).resolve().parents[3]
FOLDERS = ("models", "examples", "docs", "tests/support", "tests/end_to_end", "tests/gpu")


@pytest.mark.parametrize("folder", FOLDERS)
def test_any_script_is_refused_or_written_for(folder: str) -> None:
    written = 0
    for path in sorted((ROOT / folder).rglob("*.py")):
        try:
            text = write(draft_of_script(parse(path), None, path.stem), f"bench_{path.name}:make")
        except UsageError:
            continue
        ast.parse(text)
        written += 1
    assert written or folder == "tests/end_to_end"

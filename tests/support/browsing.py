"""The browser that shows pages in tests, if one is installed."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next((path for name in NAMES if (path := shutil.which(name))), None)
SCREENSHOTS = os.environ.get("STEPBENCH_SCREENSHOTS")
"""The directory for screenshots; if unset, they are deleted with the test's directory."""
needs_browser = pytest.mark.skipif(
    BROWSER is None, reason=f"there is no browser: none of {', '.join(NAMES)} is installed"
)


def keep(page: Any, name: str, default: Path, **options: Any) -> None:
    """Saves a screenshot of a page, in `SCREENSHOTS` or else in a default directory."""
    directory = Path(SCREENSHOTS) if SCREENSHOTS else default
    directory.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=directory / f"{name}.png", **options)

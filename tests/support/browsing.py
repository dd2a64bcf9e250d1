"""The browser that pages are looked at in, where there is one."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next((path for name in NAMES if (path := shutil.which(name))), None)
SCREENSHOTS = os.environ.get("STEPBENCH_SCREENSHOTS")
"""Where to keep screenshots; without it they are dropped with the test's directory."""
needs_browser = pytest.mark.skipif(
    BROWSER is None, reason=f"there is no browser: none of {', '.join(NAMES)} is installed"
)


def keep(page: Any, name: str, otherwise: Path, **how: Any) -> None:
    """Keeps a picture of a page."""
    place = Path(SCREENSHOTS) if SCREENSHOTS else otherwise
    place.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=place / f"{name}.png", **how)

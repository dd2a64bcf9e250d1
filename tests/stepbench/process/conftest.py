import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stepbench.process.fork_server import ForkServer
from support.jobs import JOBS


@pytest.fixture
def fork_server(tmp_path: Path) -> Iterator[ForkServer]:
    (tmp_path / "jobs.py").write_text(JOBS)
    server = ForkServer(("stepbench.process.child",), sys.path, tmp_path)
    yield server
    server.close()

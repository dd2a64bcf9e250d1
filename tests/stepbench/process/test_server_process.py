import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from stepbench.process.fork_server import ForkServer
from stepbench.process.job import Job
from stepbench.process.server import ServerLostError
from stepbench.process.supervision import ChildEndedError
from support.jobs import JOBS, run, wait_until_gone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fork server is for Linux")


PARENT = """
import sys
from pathlib import Path
from stepbench.process.fork_server import ForkServer
from stepbench.process.job import Job
server = ForkServer(("stepbench.process.child",), sys.path, Path(sys.argv[1]))
server.run(
    Job("jobs:sleep", (None,)), deadline_s=600, on_progress=lambda word: print(word, flush=True)
)
"""


def test_when_the_parent_is_killed_nothing_outlives_it(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(JOBS)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    tree = [child.pid for child in psutil.Process(parent.pid).children(recursive=True)]
    assert set(pids) <= set(tree)
    parent.kill()
    parent.communicate()
    wait_until_gone(tree)


def test_when_the_parent_is_killed_a_stopped_server_ends_with_all_that_it_started(
    tmp_path: Path,
) -> None:
    (tmp_path / "jobs.py").write_text(JOBS)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child, worker = (int(word) for word in parent.stdout.readline().split())
    server = psutil.Process(child).parent()
    assert server is not None
    server.send_signal(signal.SIGSTOP)
    parent.kill()
    parent.communicate()
    wait_until_gone([server.pid, child, worker])


ENDS_DURING_IMPORTS = """
import os, sys
from pathlib import Path
from stepbench.process.fork_server import ForkServer
(directory,) = map(Path, sys.argv[1:])
server = ForkServer(("slow",), [str(directory), *sys.path], directory)
while not (directory / "importing").exists():
    pass
os._exit(0)
"""


def test_a_parent_that_ends_during_the_imports_leaves_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import os, time\nfrom pathlib import Path\nparent = os.getppid()\n"
        "Path('importing').touch()\n"
        "while os.getppid() == parent:\n    time.sleep(0.01)\n"
    )
    ended = subprocess.run(  # both write to the pipe, whose end is the end of both
        [sys.executable, "-c", ENDS_DURING_IMPORTS, str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True, timeout=300,
    )  # fmt: skip
    assert ended.stdout == ""


def test_a_server_that_is_killed_can_be_started_again(fork_server: ForkServer) -> None:
    pids: list[int] = []

    def kill_the_server(word: str) -> None:
        pids.append(int(word))
        if len(pids) == 2:
            child = psutil.Process(pids[0]).parent()
            server = None if child is None else child.parent()
            assert server is not None
            server.kill()

    job = Job("jobs:hang_with_a_session")
    with pytest.raises(ServerLostError, match="--resume"):
        fork_server.run(job, deadline_s=60, on_progress=kill_the_server)
    fork_server.restart()
    wait_until_gone(pids)
    assert run(fork_server, "double", 1).result == 2


def test_a_server_that_is_stopped_is_continued(fork_server: ForkServer) -> None:
    with fork_server.start(Job("jobs:obey")) as child:
        server = psutil.Process(child.pid).parent()
        assert server is not None
        server.send_signal(signal.SIGSTOP)
        child.send("die")
        with pytest.raises(ChildEndedError, match="SIGKILL"):
            child.answer(1, lambda _: None)
        server.send_signal(signal.SIGSTOP)
        assert run(fork_server, "double", 1).result == 2
        server.send_signal(signal.SIGSTOP)


def test_signals_from_a_terminal_leave_the_server_to_its_parent(fork_server: ForkServer) -> None:
    with fork_server.start(Job("jobs:obey")) as child:
        server = psutil.Process(child.pid).parent()
        assert server is not None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            server.send_signal(number)
    assert run(fork_server, "double", 1).result == 2

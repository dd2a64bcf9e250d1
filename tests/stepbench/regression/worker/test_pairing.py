import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from stepbench.config.case import Case
from stepbench.config.requests import Request
from stepbench.process.job import Job, Outcome
from stepbench.process.server import Server, ServerGoneError
from stepbench.process.start import start_server
from stepbench.regression.environments import opened, pair_across_environments
from stepbench.regression.pair import PairRequest, SideRequest, TakenPair, pair_line
from stepbench.regression.servers import pair_result
from stepbench.regression.tree import Tree
from stepbench_reports.schema.check import SIDES, PairLine, SideFailure, SideName, TurnOptions
from stepbench_reports.schema.files import decode, encode
from stepbench_reports.schema.run import SamplingOptions
from stepbench_reports.schema.status import Status
from support import repositories

CASE = Case(workload="train.py:make", batch_size=4, num_workers=1)
QUICK = TurnOptions(seconds=0.005, total_s=0.1)
BROKEN = "raise RuntimeError('broken on purpose')\n"
THROTTLED = """
from stepbench.devices import cpu
from stepbench.devices.kind import GaugeReading


class Hot:
    def begin(self):
        self.begun = True

    def end(self):
        return GaugeReading(1.5e9, "heat") if self.begun else None


cpu.CPU.gauge = lambda self, device: Hot()


def pause():
    pass
"""
KILLED = "import os, signal\n\n\ndef pause():\n    os.kill(os.getpid(), signal.SIGKILL)\n"


@pytest.fixture
def checkouts(tmp_path: Path) -> dict[SideName, Path]:
    return {side: repositories.make(tmp_path / side) for side in SIDES}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pair_server = start_server(
        ("stepbench.regression.worker.pairing",), sys.path, tmp_path_factory.mktemp("somewhere")
    )
    yield pair_server
    pair_server.close()


def request(checkouts: dict[SideName, Path], tmp_path: Path, case: Case = CASE) -> PairRequest:
    sides = {
        side: SideRequest(
            Tree(side, checkouts["head"], checkout, Path()),
            Request(case, SamplingOptions(), tmp_path / "cache" / side),
        )
        for side, checkout in checkouts.items()
    }
    return PairRequest(sides, 1, QUICK)


def take(server: Server, request: PairRequest, deadline_s: float = 120) -> Outcome:
    job = Job("stepbench.regression.worker.pairing:take", (request,))
    return server.run(job, deadline_s=deadline_s, on_progress=lambda _: None)


def test_each_side_runs_its_own_files(
    server: Server, checkouts: dict[SideName, Path], tmp_path: Path
) -> None:
    ran = {side: tmp_path / f"{side} ran" for side in SIDES}
    for side, pace in zip(SIDES, (repositories.FAST, repositories.SLOW), strict=True):
        mark = f"from pathlib import Path\n\nPath({str(ran[side])!r}).touch()\n"
        (checkouts[side] / "pace.py").write_text(mark + pace)
    pair = take(server, request(checkouts, tmp_path)).result
    assert all(file.exists() for file in ran.values())
    assert isinstance(pair, TakenPair)
    for ended in pair.sides.values():
        assert ended.modules == 2
        assert ended.foreign == ()
        assert ended.host_peak_bytes > 2**20
    forward_s = [
        turn.phases_s["forward"] / turn.steps for turn in pair.turns if turn.side == "head"
    ]
    assert min(forward_s) >= 0.02  # it sleeps for so long


def assert_throttled(pair: Any) -> None:
    assert isinstance(pair, TakenPair)
    assert (pair.machine_use.clock_hz, pair.machine_use.throttled) == (1.5e9, "heat")
    line = pair_line(pair, case=CASE.id, number=1, stage="screen")
    assert isinstance(line, PairLine)
    assert line.interference


def test_a_throttled_device_is_interference(
    server: Server, checkouts: dict[SideName, Path], tmp_path: Path
) -> None:
    (checkouts["head"] / "pace.py").write_text(THROTTLED)
    assert_throttled(take(server, request(checkouts, tmp_path)).result)


def test_what_a_pair_says_fits_into_a_line(
    server: Server, checkouts: dict[SideName, Path], tmp_path: Path
) -> None:
    from stepbench_reports.regression import records

    result = take(server, request(checkouts, tmp_path)).result
    line = pair_line(result, case=CASE.id, number=1, stage="screen")
    assert isinstance(line, PairLine)
    assert decode("pairs.jsonl", encode(line), PairLine) == line
    pair = records.pair(line)
    assert set(pair.base) == {"step", "dataload", "forward", "backward", "optimizer"}
    assert len({len(each) for each in line.turns.phases_s.values()}) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [(BROKEN, "broken on purpose"), (KILLED, "ended before it was done")],
    ids=["raises", "killed"],
)
@pytest.mark.parametrize("side", SIDES)
def test_a_side_that_fails_is_named_and_nothing_is_left(
    server: Server,
    checkouts: dict[SideName, Path],
    tmp_path: Path,
    side: SideName,
    content: str,
    message: str,
) -> None:
    (checkouts[side] / "pace.py").write_text(content)
    before = len(psutil.Process().children(recursive=True))
    result = take(server, request(checkouts, tmp_path)).result
    assert isinstance(result, SideFailure)
    assert result.side == side
    assert message in result.reason
    assert len(psutil.Process().children(recursive=True)) == before


def test_a_pair_that_takes_too_long_is_ended_with_both_sides(
    server: Server, checkouts: dict[SideName, Path], tmp_path: Path
) -> None:
    (checkouts["head"] / "pace.py").write_text(
        "import time\n\n\ndef pause():\n    time.sleep(600)\n"
    )
    before = len(psutil.Process().children(recursive=True))
    outcome = take(server, request(checkouts, tmp_path), deadline_s=3)
    assert outcome.status is Status.TIMEOUT
    result = pair_result(outcome)
    assert isinstance(result, SideFailure)
    assert result.side == "base"  # so that it is no regression
    assert len(psutil.Process().children(recursive=True)) == before


def test_the_sides_end_with_the_server_that_is_killed(
    checkouts: dict[SideName, Path], tmp_path: Path
) -> None:
    (checkouts["head"] / "pace.py").write_text(
        "import time\n\n\ndef pause():\n    time.sleep(600)\n"
    )
    server = start_server(("stepbench.regression.worker.pairing",), sys.path, tmp_path)
    server.wait_until_ready()
    (killed,) = [
        child for child in psutil.Process().children()
        if "stepbench.process.fork_loop" in " ".join(child.cmdline())
        and child.cwd() == str(tmp_path)
    ]  # fmt: skip
    family: list[psutil.Process] = []

    def on_progress(word: str) -> None:
        if word == "warming up":
            family.extend(killed.children(recursive=True))
            killed.kill()

    job = Job("stepbench.regression.worker.pairing:take", (request(checkouts, tmp_path),))
    with pytest.raises(ServerGoneError):
        server.run(job, deadline_s=600, on_progress=on_progress)
    server.close()
    assert len(family) >= 3  # the one that takes the pair, and both sides
    _, alive = psutil.wait_procs(family, timeout=120)
    assert not alive


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another environment with the same packages."""
    directory = tmp_path_factory.mktemp("environment")
    real = Path(sys.prefix)
    (directory / "bin").mkdir()
    (directory / "bin" / "python").symlink_to(sys.executable)
    for name in ("lib", "pyvenv.cfg"):
        if (real / name).exists():
            (directory / name).symlink_to(real / name)
    return directory / "bin" / "python"


def test_the_sides_may_have_an_environment_each(
    checkouts: dict[SideName, Path], tmp_path: Path, python: Path
) -> None:
    import torch

    (checkouts["base"] / "pace.py").write_text(repositories.SLOW)
    preload = ("stepbench.regression.worker.side",)
    with opened(python) as environment:
        assert environment.facts["torch"] == torch.__version__
        servers: dict[SideName, Server] = {
            "base": environment.server(preload),
            "head": start_server(preload, sys.path, tmp_path),
        }
        try:
            pair = pair_across_environments(
                request(checkouts, tmp_path), servers, 120, lambda _: None
            )
            (checkouts["head"] / "pace.py").write_text(THROTTLED)
            throttled = pair_across_environments(
                request(checkouts, tmp_path), servers, 120, lambda _: None
            )
            (checkouts["base"] / "pace.py").write_text(KILLED)
            failed = pair_across_environments(
                request(checkouts, tmp_path), servers, 120, lambda _: None
            )
        finally:
            for server in servers.values():
                server.close()
    assert isinstance(pair, TakenPair)
    forward = [turn.phases_s["forward"] / turn.steps for turn in pair.turns if turn.side == "base"]
    assert min(forward) >= 0.02
    assert_throttled(throttled)
    assert isinstance(failed, SideFailure)
    assert failed.side == "base"


def test_an_environment_without_torch_is_refused() -> None:
    from stepbench.errors import UsageError

    bare: Any = Path(sys.base_prefix) / "bin" / Path(sys.executable).name
    if not bare.exists():
        pytest.skip(f"this Python has no interpreter of its own at {bare}")
    with (
        pytest.raises(UsageError, match=r"--base-python .* cannot run stepbench .*torch"),
        opened(bare),
    ):
        pass

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from stepbench import machine
from stepbench.config import options
from stepbench.config.options import Options
from stepbench.errors import UsageError
from stepbench.process.job import Job, Outcome
from stepbench.process.server import Server
from stepbench.process.supervision import Child
from stepbench.results import claim
from stepbench.runner import prepare, resume
from stepbench.runner.jobs import CaseJobs
from stepbench_reports.schema.run import ParityOptions, RunFacts
from stepbench_reports.schema.status import Status


class SilentServer(Server):
    """Stands for a server: ready at once, and every job of it is done."""

    def wait_until_ready(self) -> float | None:
        return 0.0

    def start(self, job: Job) -> Child:
        raise AssertionError(f"{job}: no child is needed")

    def run(self, *_: Any, **__: Any) -> Outcome:
        return Outcome(Status.OK, result={})

    def restart(self) -> None:
        raise AssertionError

    def close(self) -> None: ...


def read(tmp_path: Path, **given: Any) -> Options:
    return options.read({f"stepbench_{word}": value for word, value in given.items()}, tmp_path)


@pytest.fixture
def stored(tmp_path: Path) -> RunFacts:
    """The facts of a run with some options."""
    options_read = read(
        tmp_path, device=["cpu"], batch_size=["8"], num_workers=["0", "2"], compile=["off"],
        max_time="2", threads="1", parity_steps="3",
    )  # fmt: skip
    directory = claim.create(tmp_path / "run")
    directory.close()
    jobs = CaseJobs(options_read, directory, SilentServer(), lambda _: None)
    return prepare.run_facts(jobs, ["--batch-size", "8"], {"cpu": "A processor"})


def test_an_invocation_without_options_takes_those_of_the_run(
    tmp_path: Path, stored: RunFacts
) -> None:
    adopted = resume.adopt(read(tmp_path), stored, tmp_path)
    assert [case.batch_size for case in adopted.matrix.cases] == [8, 8]
    assert adopted.sampling.max_time_s == 2
    assert adopted.settings.threads == 1
    assert adopted.parity == ParityOptions(steps=3)
    assert adopted.profiling is None


def test_options_may_be_repeated(tmp_path: Path, stored: RunFacts) -> None:
    again = read(
        tmp_path, batch_size=["8"], num_workers=["0", "2"], compile=["off"], threads="1",
    )  # fmt: skip
    adopted = resume.adopt(again, stored, tmp_path)
    assert adopted.matrix.axes["batch_size"] == (8,)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batch_size": ["4"]}, "has other cases .*; leave out --batch-size to resume it"),
        ({"max_time": "9"}, "other sampling options .*; leave out --max-time to"),
        ({"sync_phases": True}, "other sampling options .*; leave out --sync-phases to"),
        ({"seed": "3", "threads": "1"}, "other settings .*; leave out --seed, --threads to"),
        ({"no_parity": True}, "other parity options .*; leave out --no-parity to"),
        ({"train_parity": True}, "other parity options .*; leave out --train-parity to"),
        ({"profile": True}, "other profiling options .*; leave out --profile to"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_resumed_run_is_not_changed(
    tmp_path: Path, stored: RunFacts, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=f"--resume {tmp_path}: .*{message}"):
        resume.adopt(read(tmp_path, **given), stored, tmp_path)


def test_two_machines_are_not_mixed(tmp_path: Path, stored: RunFacts) -> None:
    another = structs.replace(
        stored,
        machine=structs.replace(machine.machine_facts(), cpu="Another"),
        packages={**stored.packages, "torch": "0.1"},
    )
    with pytest.raises(UsageError) as raised:
        resume.adopt(read(tmp_path), another, tmp_path)
    assert f"cpu was Another, is {machine.cpu_name()}; torch was 0.1" in str(raised.value)


def test_limits_of_time_and_memory_may_change(tmp_path: Path, stored: RunFacts) -> None:
    again = read(tmp_path, deadline="7", memory_limit="1GiB")
    adopted = resume.adopt(again, stored, tmp_path)
    assert (adopted.deadline_s, adopted.memory_limit_bytes) == (7, 2**30)


def test_an_axis_that_an_older_file_lacks_has_its_default(tmp_path: Path, stored: RunFacts) -> None:
    axes = {name: values for name, values in stored.axes.items() if name != "optimizer"}
    adopted = resume.adopt(read(tmp_path), structs.replace(stored, axes=axes), tmp_path)
    assert adopted.matrix.axes["optimizer"] == ("own",)


@pytest.mark.parametrize(
    "damage",
    [
        {"axes": {}},
        {"axes": {"workload": ("net",), "num_workers": ("many",)}},
        {"axes": {"workload": ("net",), "batch_size": (0,)}},
        {"include": ({"nothing": 1},)},
        {"exclude": ({"nothing": 1},)},
    ],
)
def test_axes_that_make_no_case_are_refused(
    tmp_path: Path, stored: RunFacts, damage: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match=r"the axes in its run\.json cannot be used"):
        resume.adopt(read(tmp_path), structs.replace(stored, **damage), tmp_path)


@pytest.mark.parametrize(
    ("workload", "foreign"),
    [
        ("net.py:make", False),
        ("package.net:make", False),
        ("run/evil.py:make", True),
        ("./run/../run/evil.py:make", True),
        ("results/other/evil.py:make", True),
        ("results.other.evil:make", True),
        ("run.evil:make", True),
        ("../evil.py:make", True),
    ],
)
def test_code_that_only_a_run_s_file_names_is_run_from_where_the_user_works(
    tmp_path: Path,
    stored: RunFacts,
    monkeypatch: pytest.MonkeyPatch,
    *,
    workload: str,
    foreign: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    module = workload.rpartition(":")[0]
    if module.endswith(".py"):
        (tmp_path / module).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / module).touch()
    crafted = structs.replace(stored, axes={**stored.axes, "workload": (workload,)})
    if foreign:
        with pytest.raises(
            UsageError, match=r"--resume .*name it again: repeat --workload with --resume"
        ):
            resume.adopt(read(tmp_path), crafted, tmp_path / "run")
    else:
        resume.adopt(read(tmp_path), crafted, tmp_path / "run")
    named = read(
        tmp_path, workload=[workload], device=["cpu"], batch_size=["8"], num_workers=["0", "2"],
        compile=["off"],
    )  # fmt: skip
    assert resume.adopt(named, crafted, tmp_path / "run").matrix.cases[0].workload == workload

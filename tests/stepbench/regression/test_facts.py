"""What is found out apart from the pairs, of real sides."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stepbench.config.case import Case
from stepbench.regression import directory, facts, options, sides
from stepbench.regression.comparison import Comparison
from stepbench.regression.facts import FactFinder
from support import repositories

pytestmark = pytest.mark.usefixtures("forked_servers")

CASE = Case(workload="train.py:make", batch_size=4, num_workers=0)
COMPILED = Case(workload="train.py:make", batch_size=4, num_workers=0, compile="default")
WRONG = """
import torch


class Wrong(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        # Right in double precision, in which the reference is taken, and wrong otherwise.
        return gradient * (1 if gradient.dtype == torch.float64 else 2)
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = repositories.make(tmp_path / "repository")
    monkeypatch.chdir(made)
    return made


@contextmanager
def open_finder(repository: Path, case: Case = CASE) -> Iterator[FactFinder]:
    check_options = options.read(
        {
            "stepbench_base": "main", "stepbench_workload": ["train.py:make"],
            "stepbench_parity_steps": "2",
        },
        repository,
    )  # fmt: skip
    with (
        directory.created(None) as check_directory,
        sides.opened(check_options, check_directory.path) as both_sides,
        facts.opened(Comparison(check_options, both_sides, check_directory), [case]) as finder,
    ):
        yield finder


def silent(_: str) -> None: ...


def test_parity_that_head_alone_does_not_pass_is_told_with_base_s(repository: Path) -> None:
    code = (repository / "train.py").read_text()
    wrong = code.replace("return super().forward(x)", "return Wrong.apply(super().forward(x))")
    (repository / "train.py").write_text(
        wrong.replace("from pace import pause", WRONG + "\nfrom pace import pause")
    )
    with open_finder(repository) as finder:
        parity = finder.parity([CASE], silent)
    # Eager itself is wrong there, which leaves nothing to judge a case by.
    assert (parity.head, parity.base) == ("undecided", "pass")
    assert parity.reason


def test_parity_that_head_has_kept_asks_base_nothing(repository: Path) -> None:
    with open_finder(repository) as finder:
        assert finder.parity([CASE], silent).head == "pass"


def test_a_side_alone_says_why_it_cannot_work(repository: Path) -> None:
    (repository / "pace.py").write_text("def pause():\n    raise ValueError('odd')\n")
    with open_finder(repository) as finder:
        assert finder.run_alone("base", CASE, silent) is None
        assert "odd" in (finder.run_alone("head", CASE, silent) or "")


def test_operators_come_from_a_trace_of_the_side(repository: Path) -> None:
    with open_finder(repository) as finder:
        traced = finder.operators("base", CASE, silent)
    assert traced is not None
    assert (traced.case, traced.side, traced.breakdown.steps) == (CASE.id, "base", 10)
    phases = {row.phase for row in traced.breakdown.rows}
    assert phases >= {"forward", "backward", "optimizer"}
    assert {"pace.py", "train.py"} <= set(traced.files)
    called = {line.code for line in traced.lines if line.operator == "aten::addmm"}
    assert called == {"return super().forward(x)"}


def test_compiling_is_timed_from_an_empty_cache_on_both_sides(repository: Path) -> None:
    with open_finder(repository, COMPILED) as finder:
        times = finder.compile_times(COMPILED, silent)
    assert times is not None
    assert all(each > 0 for pair in times.seconds for each in pair)

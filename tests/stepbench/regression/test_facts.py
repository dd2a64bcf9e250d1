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
def finder(repository: Path, case: Case = CASE) -> Iterator[FactFinder]:
    asked = options.read(
        {
            "stepbench_base": "main", "stepbench_workload": ["train.py:make"],
            "stepbench_parity_steps": "2",
        },
        repository,
    )  # fmt: skip
    with (
        directory.created(None) as kept,
        sides.opened(asked, kept.path) as both,
        facts.opened(Comparison(asked, both, kept), [case]) as found,
    ):
        yield found


def silent(_: str) -> None: ...


def test_parity_that_head_alone_does_not_pass_is_told_with_base_s(repository: Path) -> None:
    code = (repository / "train.py").read_text()
    wrong = code.replace("return super().forward(x)", "return Wrong.apply(super().forward(x))")
    (repository / "train.py").write_text(
        wrong.replace("from pace import pause", WRONG + "\nfrom pace import pause")
    )
    with finder(repository) as found:
        parity = found.parity([CASE], silent)
    # Eager itself is wrong there, which leaves nothing to judge a case by.
    assert (parity.head, parity.base) == ("undecided", "pass")
    assert parity.reason


def test_parity_that_head_has_kept_asks_base_nothing(repository: Path) -> None:
    with finder(repository) as found:
        assert found.parity([CASE], silent).head == "pass"


def test_a_side_alone_says_why_it_cannot_work(repository: Path) -> None:
    (repository / "pace.py").write_text("def pause():\n    raise ValueError('odd')\n")
    with finder(repository) as found:
        assert found.alone("base", CASE, silent) is None
        assert "odd" in (found.alone("head", CASE, silent) or "")


def test_operators_come_from_a_trace_of_the_side(repository: Path) -> None:
    with finder(repository) as found:
        told = found.operators("base", CASE, silent)
    assert told is not None
    assert told.steps == 10
    assert {row.phase for row in told.rows} >= {"forward", "backward", "optimizer"}


def test_compiling_is_timed_from_an_empty_cache_on_both_sides(repository: Path) -> None:
    with finder(repository, COMPILED) as found:
        times = found.compile_times(COMPILED, silent)
    assert times is not None
    assert all(each > 0 for pair in times.seconds for each in pair)

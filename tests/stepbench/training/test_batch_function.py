from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stepbench.config.case import Case
from stepbench.errors import UnsupportedError, UsageError
from stepbench.training.batch_function import BatchFunction
from stepbench.training.dataloader import make_loader, training_data
from stepbench.workload.workload import Workload

CASE = Case(workload="own", batch_size=3, num_workers=0)


def workload_of(batches: Callable[[int], Any]) -> Workload:
    return Workload(
        model=lambda: nn.Linear(1, 1),
        batches=batches,
        loss=nn.MSELoss(),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    )


def loaded(batches: Callable[[int], Any], count: int) -> list[Any]:
    workload = workload_of(batches)
    stream = iter(make_loader(workload, training_data(workload, CASE), CASE, seed=0))
    return [next(stream) for _ in range(count)]


def two(batch_size: int) -> Iterator[dict[str, Any]]:
    for number in range(2):
        yield {"x": torch.full((batch_size,), number), "names": ["a"] * batch_size}


def test_an_iterator_that_ends_is_made_anew() -> None:
    assert [int(batch["x"][0]) for batch in loaded(two, 5)] == [0, 1, 0, 1, 0]


def test_batches_are_those_of_the_function_itself() -> None:
    made: list[tuple[Tensor, Tensor]] = []

    def get_batch() -> tuple[Tensor, Tensor]:
        made.append((torch.zeros(3), torch.ones(3)))
        return made[-1]

    first, second = loaded(lambda _: get_batch, 2)
    assert first is made[0]
    assert second is made[1]


def test_an_iterator_that_cannot_be_made_anew_is_refused() -> None:
    once = two(3)
    with pytest.raises(UsageError, match=r"or the function batches=, return a new iterator"):
        loaded(lambda _: once, 3)


def test_loader_workers_are_unsupported() -> None:
    with pytest.raises(UnsupportedError, match="use --num-workers 0") as raised:
        training_data(workload_of(two), CASE.changed(num_workers=2))
    assert raised.value.axis == "num_workers"


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        (lambda _: None, r"Workload\(batches=\.\.\.\): returned NoneType; return an iterator"),
        (lambda _: [], r"makes no batch; yield batches without end"),
        (
            lambda _: lambda: (torch.zeros(12, 5), torch.zeros(12)),
            r"batch size 3, and made tensors of shape \(12, 5\), \(12,\); make batches of the size",
        ),
    ],
)
def test_a_wrong_function_is_refused(batches: Callable[[int], Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        BatchFunction(batches, 3).check("own")


@pytest.mark.parametrize(
    "batches",
    [two, lambda size: lambda: torch.zeros(7, size), lambda _: lambda: "no tensors"],
    ids=["first dimension", "another dimension", "no tensors"],
)
def test_a_good_function_passes(batches: Callable[[int], Any]) -> None:
    BatchFunction(batches, 3).check("own")

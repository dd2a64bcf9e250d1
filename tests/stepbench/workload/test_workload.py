from functools import partial

import pytest
import torch
from torch import nn

from stepbench.errors import UsageError
from stepbench.workload.workload import Workload

GOOD = {"model": nn.Identity, "dataset": list, "loss": nn.MSELoss(), "optimizer": torch.optim.SGD}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dataset": None}, r"Workload: dataset= is missing; give a function"),
        ({"batches": iter}, r"Workload\(dataset=\.\.\., batches=\.\.\.\): each is the training"),
        ({"test_dataset": list, "test_batches": iter}, r"each is the test data; give one"),
        ({"schedule": abs, "scheduler": iter}, r"each sets the learning rate; give one"),
        ({"dataset": None, "batches": iter, "loader": {"timeout": 3}}, r"leave loader= out"),
        ({"schedule": 0.1}, r"Workload\(schedule=\.\.\.\): is float, not a function"),
    ],
)
def test_fields_that_do_not_fit_together_are_refused(
    fields: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        Workload(**{**GOOD, **fields})  # type: ignore[arg-type]  # the fields under test


def test_an_argument_named_model_gets_the_model() -> None:
    def adam(model: nn.Module, lr: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), lr=lr)

    net = nn.Linear(2, 2)
    for function in (
        lambda model: torch.optim.SGD(model.parameters()),
        lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        partial(adam, lr=0.1),
        torch.optim.SGD,
    ):
        workload = Workload(**{**GOOD, "optimizer": function})  # type: ignore[arg-type]
        (optimizer,) = workload.make_optimizers(net).values()
        assert optimizer.param_groups[0]["params"] == list(net.parameters())


def test_what_is_no_optimizer_is_refused() -> None:
    workload = Workload(**{**GOOD, "optimizer": lambda _: ([], [])})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"optimizer=\.\.\.\): returned tuple; return a torch"):
        workload.make_optimizers(nn.Linear(2, 2))

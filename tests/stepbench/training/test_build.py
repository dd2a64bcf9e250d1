"""Optimizers and schedules of a workload, beside training as the user's own script does it."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from stepbench.config.case import Case
from stepbench.errors import UsageError
from stepbench.training.accuracy import accuracy
from stepbench.training.build import Built, assemble, updates_of
from stepbench.training.dataloader import length_of, make_loader, training_data
from stepbench.training.loop import train
from stepbench.workload.data_choice import DataChoice
from stepbench.workload.loading import load
from stepbench.workload.workload import Workload
from support.scripts import write_mnist, write_tokens, write_workload

STEPS = 15


@pytest.fixture(autouse=True)
def scripts_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in ("nanogpt", "bench_nanogpt", "mnist", "bench_mnist"):
        sys.modules.pop(name, None)


def trained(path: Path, batch_size: int) -> Built:
    """Trains the workload of a file from seed 0 with the loop that is timed."""
    case = Case(workload=f"{path}:make", batch_size=batch_size, device="cpu", num_workers=0)
    workload = load(case.workload, DataChoice("own"))
    torch.manual_seed(0)
    model, training = assemble(workload, case)
    dataset = training_data(workload, case)
    train(training, iter(make_loader(workload, dataset, case, seed=0)), STEPS)
    return Built(workload, model, training, dataset, length_of(dataset, case.workload))


def test_nanogpt_s_workload_trains_as_its_script_does(tmp_path: Path) -> None:
    workload = write_workload("nanogpt", tmp_path)
    write_tokens(tmp_path / "data")
    built = trained(workload, batch_size=12)
    import nanogpt  # type: ignore[import-not-found]  # the test wrote it

    torch.manual_seed(0)
    model = nanogpt.train(STEPS)
    for parameter, expected in zip(built.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected)
    mean_loss, samples = accuracy(built)
    assert samples == 10_000
    assert 0 < mean_loss < 10


def test_mnist_s_workload_is_trained_and_tested(tmp_path: Path) -> None:
    workload = write_workload("mnist", tmp_path)
    write_mnist(tmp_path / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        built = trained(workload, batch_size=8)
        assert accuracy(built)[1] == 64
    assert built.length == 256


CASE = Case(workload="own", device="cpu", optimizer="foreach")


def workload_with(**fields: object) -> Workload:
    usual: dict[str, Any] = {
        "model": lambda: nn.Linear(2, 2),
        "dataset": list,
        "loss": nn.MSELoss(),
        "optimizer": lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    }
    return Workload(**{**usual, **fields})


def test_an_optimizer_of_the_model_has_its_groups_by_name() -> None:
    def by_name(model: nn.Module) -> torch.optim.Optimizer:
        named = dict(model.named_parameters())
        groups: list[dict[str, Any]] = [
            {"params": [named["weight"]]},
            {"params": [named["bias"]], "lr": 0.5},
        ]
        return torch.optim.SGD(groups, lr=0.1)

    model = nn.Linear(2, 2)
    update = updates_of(workload_with(optimizer=by_name), model, CASE)["optimizer"]
    weights, bias = update.optimizer.param_groups
    assert weights["params"][0] is model.weight
    assert (weights["lr"], bias["lr"]) == (0.1, 0.5)
    assert bias["foreach"] is True


def test_a_schedule_multiplies_the_learning_rate_of_each_step() -> None:
    rates = []
    workload = workload_with(schedule=lambda step: 1 / (step + 1))
    update = updates_of(workload, nn.Linear(2, 2), CASE)["optimizer"]
    for _ in range(3):
        rates.append(update.optimizer.param_groups[0]["lr"])
        update(None)
    assert rates == pytest.approx([0.1, 0.05, 0.1 / 3])


def test_a_schedule_that_returns_no_factor_is_refused() -> None:
    workload = workload_with(schedule=lambda step: {"lr": step})
    with pytest.raises(UsageError, match="returned dict for step 0; return the factor"):
        updates_of(workload, nn.Linear(2, 2), CASE)

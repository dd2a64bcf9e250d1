from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stepbench.errors import UsageError
from stepbench.training.device_transfer import DeviceTransfer
from stepbench.training.loop import evaluate, train
from stepbench.training.training import Training, split_pair
from stepbench.training.update import Update
from stepbench_reports.schema.phases import Phase


def test_training_is_the_lesson_s_loop() -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    copy = nn.Linear(3, 2)
    copy.load_state_dict(model.state_dict())
    data = [(torch.randn(4, 3), torch.randint(2, (4,))) for _ in range(5)]
    loss = nn.CrossEntropyLoss()
    training = Training(
        model=model,
        loss=loss,
        updates={"optimizer": Update(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))},
        transfer=DeviceTransfer(torch.device("cpu")),
        autocast=nullcontext,
    )
    train(training, iter(data), 5)
    optimizer = torch.optim.SGD(copy.parameters(), lr=0.1, momentum=0.9)
    for inputs, labels in data:
        optimizer.zero_grad()
        loss(copy(inputs), labels).backward()
        optimizer.step()
    assert all(map(torch.equal, model.parameters(), copy.parameters()))


def test_gradients_that_accumulate_are_those_of_the_whole_batch() -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    copy = nn.Linear(3, 2)
    copy.load_state_dict(model.state_dict())
    inputs, labels = torch.randn(12, 3), torch.randint(2, (12,))
    training = Training(
        model=model,
        loss=nn.CrossEntropyLoss(),
        updates={"optimizer": Update(torch.optim.SGD(model.parameters(), lr=0.1))},
        transfer=DeviceTransfer(torch.device("cpu")),
        autocast=nullcontext,
    )
    parts = zip(torch.split(inputs, 4), torch.split(labels, 4), strict=True)
    train(replace(training, accumulate=3), parts, 1)
    whole_batch = replace(
        training,
        model=copy,
        updates={"optimizer": Update(torch.optim.SGD(copy.parameters(), lr=0.1))},
    )
    train(whole_batch, iter([(inputs, labels)]), 1)
    for accumulated, expected in zip(model.parameters(), copy.parameters(), strict=True):
        torch.testing.assert_close(accumulated, expected)


def test_evaluation_is_the_lesson_s_test_loop() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2)).eval()
    data = [(torch.randn(4, 3), torch.randint(2, (4,))) for _ in range(5)]
    training = Training(
        model=model,
        loss=nn.CrossEntropyLoss(),
        updates={"optimizer": Update(torch.optim.SGD(model.parameters(), lr=0.1))},
        transfer=DeviceTransfer(torch.device("cpu")),
        autocast=nullcontext,
        metric=lambda scores, right: (scores.argmax(1) == right).sum(),
    )
    laps: list[Phase] = []
    before = [parameter.clone() for parameter in model.parameters()]
    metric_sum = evaluate(training, iter(data), 5, laps.append)
    correct = 0
    with torch.no_grad():
        for inputs, labels in data:
            correct += int((torch.max(model(inputs), 1).indices == labels).sum())
    assert metric_sum == correct
    assert not metric_sum.requires_grad
    assert laps == [Phase.DATALOAD, Phase.FORWARD] * 5
    assert all(map(torch.equal, before, model.parameters()))


class Keywords(nn.Module):
    """Takes its inputs by name and gives its loss, as language models in libraries do."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 1)

    def forward(self, values: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"loss": nn.functional.mse_loss(self.linear(values), labels)}


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 1)

    def forward(self, left: Tensor, right: Tensor) -> Any:
        return self.linear(left + right)


@pytest.mark.parametrize("loop", [train, evaluate])
def test_a_model_may_take_a_mapping_and_give_its_loss(loop: Any) -> None:
    model = Keywords()
    batch = {"values": torch.ones(3, 2), "labels": torch.zeros(3, 1)}
    training = split_training(model, lambda batch: (batch, None), lambda output, _: output["loss"])
    assert loop(training, iter([batch] * 4), 4) > 0


def test_a_tuple_of_inputs_are_positional_arguments() -> None:
    model = TwoInputs()
    batch = (torch.ones(3, 2), torch.ones(3, 2), torch.zeros(3, 1))
    training = split_training(model, lambda batch: ((batch[0], batch[1]), batch[2]), nn.MSELoss())
    assert train(training, iter([batch] * 2), 2) > 0


@pytest.mark.parametrize("batch", [{"a": 1, "b": 2}, torch.ones(2, 3), (1, 2, 3)])
def test_a_batch_that_is_not_a_pair_is_refused(batch: Any) -> None:
    training = split_training(nn.Linear(2, 1), split_pair, nn.MSELoss())
    with pytest.raises(UsageError, match="pass split="):
        train(training, iter([batch]), 1)


def split_training(model: nn.Module, split: Any, loss: Any) -> Training:
    return Training(
        model=model,
        loss=loss,
        updates={"optimizer": Update(torch.optim.SGD(model.parameters(), lr=0.01))},
        transfer=DeviceTransfer(torch.device("cpu")),
        autocast=nullcontext,
        split=split,
    )

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD
from torch.optim.lr_scheduler import StepLR

from stepbench.errors import UsageError
from stepbench.training.device_transfer import DeviceTransfer
from stepbench.training.loop import train
from stepbench.training.step import Step
from stepbench.training.training import Training, call_model
from stepbench.training.update import Update
from stepbench_reports.schema.phases import Phase


def training(model: nn.Module, **changes: Any) -> Training:
    parts: dict[str, Any] = {
        "model": model,
        "loss": nn.MSELoss(),
        "updates": {"optimizer": Update(SGD(model.parameters(), lr=0.1))},
        "transfer": DeviceTransfer(torch.device("cpu")),
        "autocast": nullcontext,
        **changes,
    }
    return Training(**parts)


def batches() -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    while True:
        yield torch.randn(4, 3, generator=generator), torch.randn(4, 2, generator=generator)


def usual(at: Step) -> Tensor:
    """The usual step, written out."""
    inputs, target = at.batch()
    with at.forward():
        loss = at.loss(call_model(at.model, inputs), target)
    at.backward(loss)
    at.update()
    return loss


def weights(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.mark.parametrize("scaled", [False, True])
def test_the_usual_step_written_out_trains_as_the_usual_one(scaled: bool) -> None:
    results = []
    for step in (None, usual):
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        scaler = GradScaler("cpu", init_scale=4.0) if scaled else None
        laps: list[Phase] = []
        ended: list[int] = []

        def end_step(ended: list[int] = ended) -> None:
            ended.append(1)

        ready = training(model, step=step, scaler=scaler)
        loss = train(ready, batches(), 3, laps.append, end_step)
        results.append((float(loss), [w.tolist() for w in weights(model)], len(ended)))
        order = [Phase.DATALOAD, Phase.FORWARD, Phase.BACKWARD, Phase.OPTIMIZER]
        # Work after the last update of a custom step counts in the optimizer's phase, too.
        assert laps == [*order, *([Phase.OPTIMIZER] if step else [])] * 3
    assert results[0] == results[1]
    assert results[0][2] == 3


def test_each_of_several_optimizers_steps_when_it_is_named() -> None:
    model = nn.ModuleList([nn.Linear(3, 2), nn.Linear(3, 2)])
    before = weights(model)

    def step(at: Step) -> Tensor:
        inputs, target = at.batch()
        with at.forward():
            loss = sum(at.loss(layer(inputs), target) for layer in model)
        assert isinstance(loss, Tensor)
        at.backward(loss)
        at.update("second")
        return loss

    updates = {
        name: Update(SGD(layer.parameters(), lr=0.1))
        for name, layer in zip(("first", "second"), model, strict=True)
    }
    train(training(model, step=step, updates=updates), batches(), 1)
    same = [torch.equal(old, new) for old, new in zip(before, weights(model), strict=True)]
    assert same == [True, True, False, False]
    assert [p.grad is None for p in model.parameters()] == [False, False, True, True]


@pytest.mark.parametrize("name", [None, "thrid"])
def test_a_missing_or_wrong_optimizer_name_is_refused(name: str | None) -> None:
    model = nn.Linear(3, 2)
    updates = {word: Update(SGD(model.parameters(), lr=0.1)) for word in ("first", "second")}

    def step(at: Step) -> Tensor:
        at.update(name)
        return torch.zeros(())

    with pytest.raises(UsageError, match="must name one of the optimizers: 'first', 'second'"):
        train(training(model, step=step, updates=updates), batches(), 1)


@pytest.mark.parametrize("scaled", [False, True])
def test_gradients_are_clipped_without_precisions_scale(scaled: bool) -> None:
    model = nn.Linear(3, 2)
    norms: list[float] = []

    def clip(parameters: list[nn.Parameter]) -> None:
        norms.append(float(clip_grad_norm_(parameters, 1e-3)))

    before = weights(model)
    loss = nn.MSELoss()(model(next(batches())[0]), next(batches())[1])
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    norm = float(torch.cat([gradient.flatten() for gradient in gradients]).norm())
    update = Update(SGD(model.parameters(), lr=1.0), clip)
    scaler = GradScaler("cpu", init_scale=1024.0) if scaled else None
    train(training(model, updates={"optimizer": update}, scaler=scaler), batches(), 1)
    assert norms == pytest.approx([norm])
    moved = torch.cat(
        [(new - old).flatten() for old, new in zip(before, weights(model), strict=True)]
    )
    assert float(moved.norm()) == pytest.approx(1e-3, rel=1e-3)


def test_a_scheduler_steps_after_its_optimizer() -> None:
    model = nn.Linear(3, 2)
    optimizer = SGD(model.parameters(), lr=1.0)
    update = Update(optimizer, scheduler=StepLR(optimizer, step_size=2, gamma=0.1))
    train(training(model, updates={"optimizer": update}), batches(), 4)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01)


def twice(at: Step) -> Tensor:
    """Two batches and two updates of the same optimizer."""
    usual(at)
    return usual(at)


def by_hand(at: Step) -> Tensor:
    """Neither updates nor clears anything."""
    inputs, target = at.batch()
    with at.forward():
        loss = at.loss(at.model(inputs), target)
    at.backward(loss)
    return loss


@pytest.mark.parametrize("step", [twice, by_hand])
def test_half_precision_allows_any_number_of_updates(step: Any) -> None:
    model = nn.Linear(3, 2)
    optimizer = SGD(model.parameters(), lr=0.1)
    update = Update(optimizer, lambda parameters: clip_grad_norm_(parameters, 1.0))
    scaler = GradScaler("cpu", init_scale=4.0)
    ready = training(model, step=step, updates={"optimizer": update}, scaler=scaler)
    assert train(ready, batches(), 2).isfinite()


def test_a_step_without_a_loss_is_refused() -> None:
    def step(at: Step) -> Any:
        usual(at)

    model = nn.Linear(3, 2)
    with pytest.raises(UsageError, match="the step returned NoneType; return the loss"):
        train(training(model, step=step), batches(), 1)


def test_gradients_are_cleared_without_a_step() -> None:
    def step(at: Step) -> Tensor:
        loss = by_hand(at)
        at.clear()
        return loss

    model = nn.Linear(3, 2)
    before = weights(model)
    train(training(model, step=step), batches(), 1)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(map(torch.equal, before, weights(model)))

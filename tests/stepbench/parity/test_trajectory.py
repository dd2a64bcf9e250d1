from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp import GradScaler

from stepbench.parity.trajectory import TensorPlace, named_tensors, run_trajectory
from stepbench.training.device_transfer import DeviceTransfer
from stepbench.training.step import Step
from stepbench.training.training import Training
from stepbench.training.update import Update
from stepbench_reports.schema.parity import TensorKind


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.norm = nn.BatchNorm1d(2)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.norm(self.linear(x))
        return scores


def training(model: nn.Module, **changes: Any) -> Training:
    fields: dict[str, Any] = {
        "model": model,
        "loss": nn.CrossEntropyLoss(),
        "updates": {"optimizer": Update(torch.optim.SGD(model.parameters(), lr=0.1))},
        "transfer": DeviceTransfer(torch.device("cpu")),
        "autocast": nullcontext,
        **changes,
    }
    return Training(**fields)


def batches(count: int) -> list[tuple[Tensor, Tensor]]:
    torch.manual_seed(1)
    return [(torch.randn(4, 3), torch.tensor([0, 1, 0, 1])) for _ in range(count)]


def trajectory(
    model: nn.Module, ready: Training, count: int, loop: str = "train"
) -> dict[Any, Any]:
    seen: dict[TensorPlace, Tensor] = {}

    def visit(place: TensorPlace, tensor: Tensor) -> None:
        seen[place] = tensor.clone()

    run_trajectory(model, ready, loop, batches(count), seed=0, visit=visit)
    return seen


def test_each_step_shows_output_loss_and_gradients_in_the_order_of_computing() -> None:
    model = Net()
    seen = trajectory(model, training(model), 2)
    first = [(place.kind, place.name) for place in seen if place.step == 1]
    assert first[:6] == [
        (TensorKind.OUTPUT, "output"),
        (TensorKind.LOSS, "loss"),
        (TensorKind.GRADIENT, "norm.bias"),
        (TensorKind.GRADIENT, "norm.weight"),
        (TensorKind.GRADIENT, "linear.bias"),
        (TensorKind.GRADIENT, "linear.weight"),
    ]
    assert {
        (TensorKind.PARAMETER, "linear.weight"),
        (TensorKind.BUFFER, "norm.running_mean"),
    } < set(first[6:])
    assert [(place.kind, place.name) for place in seen if place.step == 2] == first


def test_what_is_shown_is_what_the_same_steps_by_hand_compute() -> None:
    model, by_hand = Net(), Net()
    by_hand.load_state_dict(model.state_dict())
    seen = trajectory(model, training(model), 1)
    inputs, target = batches(1)[0]
    output = by_hand(inputs)
    loss = nn.functional.cross_entropy(output, target)
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    assert torch.equal(seen[TensorPlace(1, TensorKind.OUTPUT, "output")], output)
    assert torch.equal(seen[TensorPlace(1, TensorKind.LOSS, "loss")], loss)
    gradient = by_hand.linear.weight.grad
    assert gradient is not None
    assert torch.equal(seen[TensorPlace(1, TensorKind.GRADIENT, "linear.weight")], gradient)
    after = by_hand.linear.weight - 0.1 * gradient
    assert torch.allclose(seen[TensorPlace(1, TensorKind.PARAMETER, "linear.weight")], after)


def test_micro_batches_are_told_apart() -> None:
    model = Net()
    seen = trajectory(model, training(model, accumulate=2), 2)
    names = {place.name for place in seen if place.kind is TensorKind.OUTPUT}
    assert names == {"output of batch 1", "output of batch 2"}
    assert {place.step for place in seen} == {1}


def test_gradients_are_shown_as_they_are_whatever_a_scaler_did() -> None:
    plain, scaled = Net(), Net()
    scaled.load_state_dict(plain.state_dict())
    expected = trajectory(plain, training(plain), 1)
    scaler = GradScaler("cpu", init_scale=256.0)
    unscaled = trajectory(scaled, training(scaled, scaler=scaler), 1)
    place = TensorPlace(1, TensorKind.GRADIENT, "linear.weight")
    assert torch.allclose(unscaled[place], expected[place], rtol=1e-5)


def test_evaluation_shows_outputs_and_leaves_the_metric_alone() -> None:
    model = Net().eval()
    ready = training(model, metric=lambda scores, target: (scores.argmax(1) == target).sum())
    seen = trajectory(model, ready, 1, loop="eval")
    kinds = [
        place.kind for place in seen if place.kind not in {TensorKind.PARAMETER, TensorKind.BUFFER}
    ]
    assert kinds == [TensorKind.OUTPUT]
    assert TensorKind.LOSS in {
        place.kind for place in trajectory(model, training(model), 1, loop="eval")
    }


def test_random_numbers_start_anew_at_each_step() -> None:
    class RandomInput(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + torch.rand(1))

    model, other = RandomInput(), RandomInput()
    other.load_state_dict(model.state_dict())
    seen = trajectory(model, training(model), 2)
    torch.rand(13)
    again = trajectory(other, training(other), 2)
    assert all(torch.equal(seen[place], again[place]) for place in seen)


def test_every_tensor_of_an_output_has_a_name() -> None:
    @dataclass
    class Output:
        scores: Tensor
        more: tuple[Tensor, ...]

    output = {"logits": torch.ones(1), "hidden": [torch.ones(2), "text"]}
    assert [name for name, _ in named_tensors(output)] == ["['logits']", "['hidden'][0]"]
    assert [name for name, _ in named_tensors(Output(torch.ones(1), (torch.ones(2),)))] == [
        ".scores",
        ".more[0]",
    ]
    assert [name for name, _ in named_tensors(torch.ones(1))] == [""]


def test_a_step_of_one_s_own_shows_each_call_and_each_update() -> None:
    model = Net()

    def step(at: Step) -> Tensor:
        for _ in range(2):
            inputs, target = at.batch()
            with at.forward():
                loss = at.loss(at.model(inputs), target)
            at.backward(loss)
            at.update()
        return loss

    seen = trajectory(model, training(model, step=step), 2)
    names = {kind: [p.name for p in seen if p.kind is kind and p.step == 1] for kind in TensorKind}
    assert names[TensorKind.OUTPUT] == ["output of call 1", "output of call 2"]
    assert names[TensorKind.LOSS] == ["loss of call 1", "loss of call 2", "step's loss"]
    first, second = names[TensorKind.GRADIENT][:4], names[TensorKind.GRADIENT][4:]
    assert second == [f"{name} of update 2" for name in first]
    assert torch.equal(
        seen[TensorPlace(1, TensorKind.LOSS, "step's loss")],
        seen[TensorPlace(1, TensorKind.LOSS, "loss of call 2")],
    )

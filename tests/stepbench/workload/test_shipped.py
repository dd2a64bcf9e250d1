"""The shipped workloads: what each says of itself, computes and keeps."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

from stepbench.measurement import operations
from stepbench.measurement.facts import parameter_count
from stepbench.training.device_transfer import DeviceTransfer
from stepbench.training.loop import train
from stepbench.training.training import Training
from stepbench.training.update import Update
from stepbench.workload.data_choice import DataChoice
from stepbench.workload.loading import load
from stepbench.workload.shipped import CLASSIFIERS, SHIPPED

NAMES = sorted(
    path.stem
    for path in SHIPPED.glob("*.py")
    if not path.stem.startswith("_") and path.stem != CLASSIFIERS
)
OWN = DataChoice("own")


@pytest.mark.parametrize("name", NAMES)
def test_each_is_explained(name: str) -> None:
    source = (SHIPPED / f"{name}.py").read_text()
    head = source.split('"""')[1]
    assert "\n\n" in head  # what it is, and what to look for
    assert "look" in head.lower() or "compare" in head.lower()


def step_of(name: str) -> tuple[operations.Work, int, int]:
    """What a step on four images computes and keeps; a workload's parameters, all and trained."""
    workload = load(name, OWN)
    model = workload.model()
    assert workload.loss is not None
    loss, images, targets = workload.loss, torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 3])

    def step(saving: operations.Saving) -> None:
        with saving():
            found = loss(model(images), targets)
        torch.autograd.backward(found)

    own = [*model.parameters(), *model.buffers(), images, targets]
    return operations.count(step, own, backward=True), *parameter_count(model)


def test_frozen_parameters_leave_little_to_go_back_through() -> None:
    frozen, parameters, trained = step_of("finetune")
    whole, *_ = step_of("resnet18")
    assert trained < 0.001 * parameters
    assert frozen.flops < 0.5 * whole.flops
    assert frozen.saved_bytes is not None
    assert whole.saved_bytes is not None
    assert frozen.saved_bytes < 0.05 * whole.saved_bytes


def test_shared_weights_are_one_parameter_with_the_sum_of_gradients() -> None:
    model: Any = load("shared_weights", OWN).model()
    apart: Any = load("models.shared_weights:apart", OWN).model()
    assert [len(network.middle) for network in (model, apart)] == [1, 6]
    state = model.state_dict()
    for name in apart.state_dict():
        if name.startswith("middle."):
            state[name] = model.state_dict()["middle.0." + name.rpartition(".")[2]]
    apart.load_state_dict(state)
    for network in (model, apart):
        network(torch.ones(2, 3, 32, 32)).sum().backward()
    of_each = torch.stack([layer.weight.grad for layer in apart.middle])
    torch.testing.assert_close(model.middle[0].weight.grad, of_each.sum(0))


@pytest.mark.parametrize("name", ["gpt", "lstm"])
def test_language_models_see_no_token_before_its_time(name: str) -> None:
    model = load(name, OWN).model().eval()
    tokens = torch.randint(0, 256, (1, 16))
    changed = tokens.clone()
    changed[0, 10] = (tokens[0, 10] + 1) % 256
    with torch.no_grad():
        before, after = model(tokens), model(changed)
    assert torch.allclose(before[..., :10], after[..., :10], atol=1e-5)
    assert not torch.allclose(before[..., 10], after[..., 10], atol=1e-3)


def test_a_language_model_takes_no_images() -> None:
    from stepbench.errors import UsageError

    with pytest.raises(UsageError, match="--dataset jpeg: this workload trains on tokens"):
        load("gpt", DataChoice("jpeg"))


def test_the_gan_trains_as_one_that_is_written_by_hand() -> None:
    workload = load("gan", OWN)
    images = [torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(n)) for n in (1, 2)]

    def start() -> tuple[Any, dict[str, torch.optim.Optimizer]]:
        torch.manual_seed(0)
        model = workload.model()
        made = workload.made_optimizers(model)
        torch.manual_seed(3)  # of the noise
        return model, made

    ours, optimizers = start()
    updates = {name: Update(optimizer) for name, optimizer in optimizers.items()}
    training = Training(
        model=ours, loss=nn.MSELoss(), updates=updates,
        placement=DeviceTransfer(torch.device("cpu")), autocast=nullcontext, step=workload.step,
    )  # fmt: skip
    train(training, ((image, None) for image in images), 2)

    theirs, optimizers = start()
    generate, tell = theirs.generator, theirs.discriminator
    for real in images:
        fake = generate(torch.randn(4, 64, 1, 1))
        optimizers["discriminator"].zero_grad()
        told = softplus(-tell(real)).mean() + softplus(tell(fake.detach())).mean()
        torch.autograd.backward(told)
        optimizers["discriminator"].step()
        optimizers["generator"].zero_grad()
        torch.autograd.backward(softplus(-tell(fake)).mean())
        optimizers["generator"].step()
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)

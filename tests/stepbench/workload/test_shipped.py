"""The shipped workloads: their docstrings, operations and saved activations."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

from stepbench.config.axes import AXIS
from stepbench.measurement import dispatch_counter
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


def test_the_help_lists_each_shipped_workload() -> None:
    listed = AXIS["workload"].help.partition("a shipped workload (")[2].partition(";")[0]
    assert sorted(listed.split(", ")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_docstring_explains_what_to_look_at(name: str) -> None:
    source = (SHIPPED / f"{name}.py").read_text()
    docstring = source.split('"""')[1]
    assert "\n\n" in docstring  # a summary, then an explanation
    assert "look" in docstring.lower() or "compare" in docstring.lower()


def step_of(name: str) -> tuple[dispatch_counter.Work, int, int]:
    """The work of a step on four images; the numbers of all and of trained parameters."""
    workload = load(name, OWN)
    model = workload.model()
    assert workload.loss is not None
    loss, images, targets = workload.loss, torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 3])

    def step(forward_context: dispatch_counter.ForwardContext) -> None:
        with forward_context():
            value = loss(model(images), targets)
        torch.autograd.backward(value)

    tensors = [*model.parameters(), *model.buffers(), images, targets]
    return dispatch_counter.count(step, tensors, backward=True), *parameter_count(model)


def test_frozen_parameters_save_operations_and_memory() -> None:
    frozen, parameters, trained = step_of("finetune")
    full, *_ = step_of("resnet18")
    assert trained < 0.001 * parameters
    assert frozen.flops < 0.5 * full.flops
    assert frozen.saved_bytes is not None
    assert full.saved_bytes is not None
    assert frozen.saved_bytes < 0.05 * full.saved_bytes


def test_a_shared_weight_has_the_sum_of_the_gradients() -> None:
    model: Any = load("shared_weights", OWN).model()
    separate: Any = load("models.shared_weights:separate", OWN).model()
    assert [len(network.middle) for network in (model, separate)] == [1, 6]
    state = model.state_dict()
    for name in separate.state_dict():
        if name.startswith("middle."):
            state[name] = model.state_dict()["middle.0." + name.rpartition(".")[2]]
    separate.load_state_dict(state)
    for network in (model, separate):
        network(torch.ones(2, 3, 32, 32)).sum().backward()
    gradients = torch.stack([layer.weight.grad for layer in separate.middle])
    torch.testing.assert_close(model.middle[0].weight.grad, gradients.sum(0))


@pytest.mark.parametrize("name", ["gpt", "lstm"])
def test_language_models_are_causal(name: str) -> None:
    model = load(name, OWN).model().eval()
    tokens = torch.randint(0, 256, (1, 16))
    changed = tokens.clone()
    changed[0, 10] = (tokens[0, 10] + 1) % 256
    with torch.no_grad():
        before, after = model(tokens), model(changed)
    assert torch.allclose(before[..., :10], after[..., :10], atol=1e-5)
    assert not torch.allclose(before[..., 10], after[..., 10], atol=1e-3)


def test_a_language_model_refuses_images() -> None:
    from stepbench.errors import UsageError

    with pytest.raises(UsageError, match="--dataset jpeg: this workload trains on tokens"):
        load("gpt", DataChoice("jpeg"))


def test_the_gan_trains_like_a_plain_loop() -> None:
    workload = load("gan", OWN)
    images = [torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(n)) for n in (1, 2)]

    def start() -> tuple[Any, dict[str, torch.optim.Optimizer]]:
        torch.manual_seed(0)
        model = workload.model()
        optimizers = workload.make_optimizers(model)
        torch.manual_seed(3)  # for the noise
        return model, optimizers

    gan, optimizers = start()
    updates = {name: Update(optimizer) for name, optimizer in optimizers.items()}
    training = Training(
        model=gan, loss=nn.MSELoss(), updates=updates,
        transfer=DeviceTransfer(torch.device("cpu")), autocast=nullcontext, step=workload.step,
    )  # fmt: skip
    train(training, ((image, None) for image in images), 2)

    plain_model, optimizers = start()
    generate, discriminate = plain_model.generator, plain_model.discriminator
    for real in images:
        fake = generate(torch.randn(4, 64, 1, 1))
        optimizers["discriminator"].zero_grad()
        loss = softplus(-discriminate(real)).mean() + softplus(discriminate(fake.detach())).mean()
        torch.autograd.backward(loss)
        optimizers["discriminator"].step()
        optimizers["generator"].zero_grad()
        torch.autograd.backward(softplus(-discriminate(fake)).mean())
        optimizers["generator"].step()
    for name, value in plain_model.state_dict().items():
        torch.testing.assert_close(gan.state_dict()[name], value)

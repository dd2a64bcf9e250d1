"""The shipped workloads, each as a user runs it."""

import json
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

from bench import work
from bench.cycle import Training, parameter_count, train
from bench.placement import Placement
from bench.update import Update
from bench.workload import CLASSIFIERS, SHIPPED, DataChoice, load

Bench = Callable[..., subprocess.CompletedProcess[str]]
NAMES = sorted(
    path.stem
    for path in SHIPPED.glob("*.py")
    if not path.stem.startswith("_") and path.stem != CLASSIFIERS
)
OWN = DataChoice("own")


def verdicts(bench: Bench, out: Path, *arguments: str) -> dict[str, tuple[str, str | None]]:
    """Whether cases compute what they should, and why not, by their ids."""
    done = bench(
        *arguments, "--num-workers", "0", "--device", "cpu", "--parity-steps", "2",
        "--output", str(out), "-k", "parity", timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    told = [json.loads(path.read_text()) for path in (out / "parity").glob("*.json")]
    return {
        each["id"]: (each["judgement"]["verdict"], each["judgement"]["reason"]) for each in told
    }


def test_each_computes_what_it_should(bench: Bench, tmp_path: Path) -> None:
    words = ("--workload", *NAMES, "--batch-size", "4", "--compile", "off")
    found = verdicts(bench, tmp_path / "out", *words)
    assert len(found) == len(NAMES)
    assert set(found.values()) == {("pass", None)}


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", [*NAMES, "resnet18", "mobilenet_v3_small"])
def test_each_computes_the_same_compiled(name: str, bench: Bench, tmp_path: Path) -> None:
    words = ("--workload", name, "--batch-size", "8", "--compile", "off", "default")
    found = verdicts(bench, tmp_path / "out", *words)
    assert len(found) == 2
    assert set(found.values()) == {("pass", None)}


@pytest.mark.parametrize("name", NAMES)
def test_each_is_explained(name: str) -> None:
    import importlib.util

    spec = importlib.util.find_spec(f"models.{name}")
    assert spec is not None
    assert spec.loader is not None
    source: Any = spec.loader.get_source(spec.name)  # type: ignore[attr-defined]
    head = source.split('"""')[1]
    assert "\n\n" in head  # what it is, and what to look for
    assert "look" in head.lower() or "compare" in head.lower()


def facts(out: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(next((out / "cases").glob(f"{name}-*.json")).read_text())
    return found


def test_control_flow_breaks_graphs_and_is_compiled_again(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = bench(
        "--workload", "control_flow", "--batch-size", "4", "--num-workers", "0", "--device", "cpu",
        "--compile", "backend:eager", "--steps", "20", "--no-parity", "--output", str(out),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    compiled = facts(out, "control_flow")["compile"]
    assert compiled["graph_breaks"] >= 1
    assert "control_flow.py" in compiled["breaks"][0]["where"]
    assert compiled["recompiles"] >= 1


def step_of(name: str) -> tuple[work.Work, int, int]:
    """What a step on four images computes and keeps; a workload's parameters, all and trained."""
    workload = load(name, OWN)
    model = workload.model()
    assert workload.loss is not None
    loss, images, targets = workload.loss, torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 3])

    def step(saving: work.Saving) -> None:
        with saving():
            found = loss(model(images), targets)
        torch.autograd.backward(found)

    own = [*model.parameters(), *model.buffers(), images, targets]
    return work.count(step, own, backward=True), *parameter_count(model)


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
    from bench.errors import UsageError

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
        model=ours, loss=nn.MSELoss(), updates=updates, placement=Placement(torch.device("cpu")),
        autocast=nullcontext, step=workload.step,
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

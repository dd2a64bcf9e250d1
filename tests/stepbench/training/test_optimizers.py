import pytest
import torch

from stepbench.errors import UnsupportedError
from stepbench.training.optimizers import with_implementation


def parameters() -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(2))]


def test_own_is_left_alone() -> None:
    optimizer = torch.optim.SGD(parameters(), lr=0.1)
    assert with_implementation(optimizer, "own") is optimizer


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
@pytest.mark.parametrize("implementation", ["plain", "foreach", "fused"])
def test_settings_and_groups_stay(kind: type[torch.optim.Optimizer], implementation: str) -> None:
    first, second = parameters()
    groups = [{"params": [first], "lr": 0.5}, {"params": [second], "weight_decay": 0.25}]
    optimizer = with_implementation(kind(groups, lr=0.1), implementation)  # type: ignore[call-arg]
    assert type(optimizer) is kind
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.1]
    assert optimizer.param_groups[1]["weight_decay"] == 0.25
    assert all(
        bool(group["foreach"]) is (implementation == "foreach") for group in optimizer.param_groups
    )
    assert all(
        bool(group["fused"]) is (implementation == "fused") for group in optimizer.param_groups
    )
    for parameter in (first, second):
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert all(bool((parameter != 1).all()) for parameter in (first, second))


def test_what_a_class_lacks_is_unsupported() -> None:
    optimizer = torch.optim.RMSprop(parameters(), lr=0.1)
    with pytest.raises(UnsupportedError, match="RMSprop has no fused implementation"):
        with_implementation(optimizer, "fused")
    assert with_implementation(optimizer, "foreach").param_groups[0]["foreach"] is True

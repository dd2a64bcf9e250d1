import torch
from torch import nn

from stepbench.measurement.facts import optimizer_bytes, parameter_bytes, parameter_count


def test_frozen_parameters_are_counted_apart() -> None:
    model = nn.Linear(3, 2)
    model.bias.requires_grad = False
    assert parameter_count(model) == (8, 6)
    assert parameter_bytes(model.bfloat16()) == (16, 12)


def test_the_state_of_an_optimizer_has_a_size_after_its_first_step() -> None:
    model = nn.Linear(3, 2)
    adam = torch.optim.Adam(model.parameters())
    assert optimizer_bytes([adam]) == 0
    model(torch.ones(1, 3)).sum().backward()
    adam.step()
    # Two moments of 8 elements, and a count of steps for each of two parameters.
    assert optimizer_bytes([adam]) == 4 * (2 * 8 + 2)

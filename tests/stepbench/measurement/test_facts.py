from torch import nn

from stepbench.measurement.facts import parameter_count


def test_frozen_parameters_are_counted_apart() -> None:
    model = nn.Linear(3, 2)
    model.bias.requires_grad = False
    assert parameter_count(model) == (8, 6)

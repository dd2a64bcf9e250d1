"""Selects an optimizer's implementation: the same update, computed in different ways."""

import inspect
from typing import Any

from torch.optim import Optimizer

from stepbench.errors import UnsupportedError

IMPLEMENTATIONS: dict[str, dict[str, bool]] = {
    "plain": {"foreach": False, "fused": False},
    "foreach": {"foreach": True, "fused": False},
    "fused": {"foreach": False, "fused": True},
}
"""The arguments of torch's optimizers, by the value of the axis `optimizer`."""


def with_implementation(optimizer: Optimizer, implementation: str) -> Optimizer:
    """Returns the optimizer, or a new one of its class and settings with another implementation.

    Args:
        optimizer: An optimizer that has not stepped yet.
        implementation: `own`, which returns `optimizer`, or `plain` (one parameter after the
            other), `foreach` (all at once, operator by operator) or `fused` (all at once, in one
            kernel).

    Raises:
        UnsupportedError: The class has no such implementation, or not for these parameters.
    """
    if implementation == "own":
        return optimizer
    optimizer_class: Any = type(optimizer)  # the arguments differ by class
    accepted = inspect.signature(optimizer_class.__init__).parameters
    arguments = IMPLEMENTATIONS[implementation]
    missing = [name for name, on in arguments.items() if on and name not in accepted]
    if missing:
        raise UnsupportedError(
            "optimizer",
            f"{optimizer_class.__name__} has no {missing[0]} implementation; use --optimizer own",
        )
    switches = {name: on for name, on in arguments.items() if name in accepted}
    defaults = {name: value for name, value in optimizer.defaults.items() if name in accepted}
    groups = [{**group, **switches} for group in optimizer.param_groups]
    try:
        result: Optimizer = optimizer_class(groups, **{**defaults, **switches})
    except (RuntimeError, ValueError, TypeError) as error:
        raise UnsupportedError(
            "optimizer",
            f"{optimizer_class.__name__} cannot use the {implementation} implementation here "
            f"({error}); use --optimizer own",
        ) from error
    return result

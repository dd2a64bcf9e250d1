"""Selects an optimizer's implementation: the same update, computed in different ways."""

import inspect
from typing import Any

from torch.optim import Optimizer

from stepbench.errors import UnsupportedError

SWITCHES: dict[str, dict[str, bool]] = {
    "plain": {"foreach": False, "fused": False},
    "foreach": {"foreach": True, "fused": False},
    "fused": {"foreach": False, "fused": True},
}
"""The arguments of torch's optimizers, by the value of the axis `optimizer`."""


def implemented(optimizer: Optimizer, how: str) -> Optimizer:
    """Returns the optimizer, or a new one of its class and settings with another implementation.

    Args:
        optimizer: An optimizer that has not stepped yet.
        how: `own`, which returns `optimizer`, or `plain` (one parameter after the other), `foreach`
            (all at once, operator by operator) or `fused` (all at once, in one kernel).

    Raises:
        UnsupportedError: The class has no such implementation, or not for these parameters.
    """
    if how == "own":
        return optimizer
    kind = type(optimizer)
    taken = inspect.signature(kind.__init__).parameters
    needed = [name for name, on in SWITCHES[how].items() if on and name not in taken]
    if needed:
        raise UnsupportedError(
            "optimizer",
            f"{kind.__name__} has no {needed[0]} implementation; use --optimizer own",
        )
    switches = {name: on for name, on in SWITCHES[how].items() if name in taken}
    defaults = {name: value for name, value in optimizer.defaults.items() if name in taken}
    groups = [{**group, **switches} for group in optimizer.param_groups]
    make: Any = kind  # the arguments differ by class
    try:
        made: Optimizer = make(groups, **{**defaults, **switches})
    except (RuntimeError, ValueError, TypeError) as error:
        raise UnsupportedError(
            "optimizer",
            f"{kind.__name__} cannot be {how} here ({error}); use --optimizer own",
        ) from error
    return made

"""A small model, and compile backends that scale one of its gradients, for `parity.py`."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, fx
from torch._dynamo import register_backend
from torch._dynamo.backends.common import aot_autograd

from stepbench import DataChoice, Workload
from stepbench.workload.loading import load

DOSES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)


def _boxed(graph: fx.GraphModule, _: list[Tensor], *, factor: float) -> Callable[..., Any]:
    def run(arguments: list[Any]) -> Any:
        results = graph(*arguments)
        if factor == 1:
            return results
        results = list(results)
        index = next(i for i, result in enumerate(results) if isinstance(result, Tensor))
        results[index] = results[index] * factor
        return results

    run._boxed_call = True  # type: ignore[attr-defined]  # AOTAutograd requires it
    return run


for dose in DOSES:
    register_backend(
        compiler_fn=aot_autograd(
            fw_compiler=partial(_boxed, factor=1),
            bw_compiler=partial(_boxed, factor=1 + dose),
        ),
        name=f"dose_{dose:g}",
    )


def make(choice: DataChoice) -> Workload:
    """Makes the lesson's model."""
    return load("convnet", choice)

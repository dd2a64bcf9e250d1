"""The random operators of a model: finds them and makes them draw the same numbers.

Every trajectory sets the same seed at the same step. On the CPU, dropout's masks are then the same
in every precision. Uniform and normal numbers differ between double and single precision, so the
reference draws these in single precision, too.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

_aten = torch.ops.aten

_MASK_OPERATORS = {"bernoulli", "bernoulli_", "native_dropout", "dropout", "feature_dropout"}
"""The names of the operators that draw the same numbers in every precision."""
_DROPOUT_ARGUMENTS = {"dropout_p", "dropout"}
"""The names of the argument with the dropout probability: of attention, of recurrent layers."""


def _is_random(
    func: Any,  # noqa: ANN401  # operators come in several classes
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> bool:
    """True if a call draws random numbers; attention is tagged as random, but needs dropout."""
    if torch.Tag.nondeterministic_seeded not in func.tags:
        return False
    for index, argument in enumerate(func._schema.arguments):
        if argument.name in _DROPOUT_ARGUMENTS:
            keyword = kwargs.get(argument.name, argument.default_value)
            return bool(args[index] if index < len(args) else keyword)
    return True


class RandomOperators(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Records the operators that draw random numbers.

    Attributes:
        seen: The names of these operators.
        reference_differs: The operators in `seen` that draw other numbers in a reference, which
            runs in double precision on the CPU.
        layout_differs: The operators in `seen` that draw in another order if the memory format is
            channels last.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.seen: set[str] = set()
        self.reference_differs: set[str] = set()
        self.layout_differs: set[str] = set()

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401  # operators come in several classes
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401  # whatever the operator returns
        """Calls an operator and records it if it draws random numbers."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if _is_random(func, args, kwargs):
            name = str(func.overloadpacket.__name__)
            self.seen.add(name)
            tensors = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
            on_cpu = all(tensor.device.type == "cpu" for tensor in tensors)
            single = all(
                tensor.dtype is torch.float32 or not tensor.is_floating_point()
                for tensor in tensors
            )
            if not on_cpu or not (single or name in _MASK_OPERATORS):
                self.reference_differs.add(name)
            if name not in _MASK_OPERATORS and any(tensor.dim() == 4 for tensor in tensors):
                self.layout_differs.add(name)
        return result


class DoublePrecisionMode(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Keeps a reference in double precision, also where its model casts to single precision.

    Only uniform and normal numbers are drawn in single precision; they are then cast to double.
    """

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401  # operators come in several classes
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401  # whatever the operator returns
        """Calls an operator: casts to single become casts to double; draws are in single."""
        kwargs = kwargs or {}
        if func is _aten._to_copy.default and kwargs.get("dtype") is torch.float32:
            return func(*args, **{**kwargs, "dtype": torch.float64})
        if not _is_random(func, args, kwargs) or func.overloadpacket.__name__ in _MASK_OPERATORS:
            return func(*args, **kwargs)
        if func.overloadpacket.__name__.endswith("_"):
            return _draw_in_place(func, args, kwargs)
        if not _is_double(args, kwargs):
            return func(*args, **kwargs)
        in_single = {**kwargs, **({"dtype": torch.float32} if kwargs.get("dtype") else {})}
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)
        try:
            result = func(*tree_map(_to_single, args), **tree_map(_to_single, in_single))
        finally:
            torch.set_default_dtype(before)
        return tree_map(_to_double, result)


def _draw_in_place(
    func: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Tensor:
    target: Tensor = args[0]
    if target.dtype is not torch.float64:
        return func(*args, **kwargs)
    numbers = func(_to_single(target), *args[1:], **kwargs)
    return target.copy_(numbers)


def _to_single(value: Any) -> Any:  # noqa: ANN401  # any argument of an operator
    if isinstance(value, Tensor) and value.dtype is torch.float64:
        return value.to(torch.float32)
    return value


def _to_double(value: Any) -> Any:  # noqa: ANN401  # any result of an operator
    if isinstance(value, Tensor) and value.dtype is torch.float32:
        return value.to(torch.float64)
    return value


def _is_double(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    if kwargs.get("dtype") is not None:
        return kwargs["dtype"] is torch.float64
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    if tensors:
        return any(tensor.dtype is torch.float64 for tensor in tensors)
    return torch.get_default_dtype() is torch.float64


def use_eager_random_numbers() -> None:
    """Makes Inductor draw the numbers that eager draws, in all that this process compiles later."""
    import torch._inductor.config as inductor  # noqa: PLC0415  # slow to import

    inductor.fallback_random = True

"""Counts the work of one step (operations, memory traffic, saved tensors) on the eager model.

Counting slows every operator, so it has a separate pass in which nothing is timed.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import (
    FlopCounterMode,
    conv_flop_count,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)

_aten = torch.ops.aten

_NO_WORK = {
    _aten.empty, _aten.empty_like, _aten.empty_permuted, _aten.empty_strided, _aten.new_empty,
    _aten.new_empty_strided,  # allocate, but neither read nor write
    _aten._unsafe_view, _aten.lift_fresh,  # views that are not marked as such
    _aten.is_same_size, _aten._fused_sdp_choice,  # queries that touch no element
}  # fmt: skip


@dataclass(frozen=True)
class Work:
    """The work of one step: operations, memory traffic and saved tensors.

    Attributes:
        flops: Floating-point operations of forward and backward, 2 for a multiply-add, as torch's
            `FlopCounterMode` counts them from shapes: matrix products, convolutions and attention
            (masked attention as if there were no mask). Fused recurrent and encoder layers and
            grouped convolutions have formulas below. All other operators count 0, including fused
            and custom ones.
        bytes: Bytes that operators read and write: the elements of every input and output tensor,
            without views and allocations. This is an upper bound on the traffic of a step: fused
            kernels do not write intermediate results, caches may hold them, and some operators
            (an embedding look-up, an overwriting copy) do not read all of their inputs. Traffic
            inside a fused operator is not counted.
        operators: The number of operators dispatched, without views and allocations.
        saved_bytes: Bytes that autograd keeps from forward for backward, each storage whole and
            once, without the tensors that exist before the step. Copies count, such as autocast's
            copies of parameters: they exist because of this step. Tensors that a custom function
            keeps on its context without `save_for_backward` are not counted. `None` when there
            was no backward.
    """

    flops: int
    bytes: int
    operators: int
    saved_bytes: int | None


ForwardContext = Callable[[], AbstractContextManager[None]]
"""Makes a context for a forward pass that records the tensors autograd saves."""
Step = Callable[[ForwardContext], None]
"""Runs a step: forward passes, each in a `ForwardContext`, and backward passes."""


def count(step: Step, existing: Iterable[Tensor], *, backward: bool) -> Work:
    """Runs one step, and counts its work.

    The step is real except for the optimizer: it updates batch norm's statistics and the states of
    random number generators. The gradients of `existing` are restored afterwards.

    Args:
        step: Runs the step.
        existing: Parameters, buffers and the batch's tensors, which exist before the step.
        backward: True if the step has a backward pass; a step without one runs under `no_grad`.

    Raises:
        RuntimeError: A part of the model must be compiled, such as flex attention; torch refuses
            to compile under a dispatch mode.
    """
    existing = list(existing)
    traffic = _Traffic()
    flops = FlopCounterMode(display=False, custom_mapping=_FORMULAS)
    # `traffic` is the outer mode, so it sees the operators into which `flops` decomposes others.
    if not backward:
        with torch.no_grad(), traffic, flops:
            step(nullcontext)
        return Work(flops.get_total_flops(), traffic.bytes, traffic.operators, None)
    saved = _SavedTensors(existing)
    with _gradients_preserved(existing), traffic, flops:
        step(saved.recording)
    return Work(flops.get_total_flops(), traffic.bytes, traffic.operators, saved.max_bytes)


def saved_bytes(step: Step, existing: Iterable[Tensor]) -> int:
    """Counts the bytes that autograd keeps of forward passes, eager or compiled.

    `Work.saved_bytes` says what counts.

    Args:
        step: Runs the step; needs no backward pass.
        existing: Parameters, buffers and the batch's tensors, which exist before the step.
    """
    existing = list(existing)
    saved = _SavedTensors(existing)
    with _gradients_preserved(existing):
        step(saved.recording)
    return saved.max_bytes


class _Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Counts the operators in its context, and the bytes that they read and write."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.bytes = 0
        self.operators = 0

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401  # operators come in several classes
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401  # whatever the operator returns
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if _accesses_elements(func):
            leaves = tree_leaves((args, kwargs, result))
            tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
            self.operators += bool(tensors)  # without tensors, it is a profiler mark
            self.bytes += sum(_element_bytes(tensor) for tensor in tensors)
        return result


def _accesses_elements(func: Any) -> bool:  # noqa: ANN401
    """True if an operator reads or writes elements, and does not only make a view."""
    is_view = func.is_view or torch.Tag.inplace_view in func.tags
    return not is_view and func.overloadpacket not in _NO_WORK


def _element_bytes(tensor: Tensor) -> int:
    """The bytes of a tensor's elements; elements that `expand` repeats count once."""
    if tensor.layout is torch.sparse_coo:
        return _element_bytes(tensor._indices()) + _element_bytes(tensor._values())
    dimensions = zip(tensor.shape, tensor.stride(), strict=True)
    return math.prod(size for size, stride in dimensions if stride or not size) * tensor.itemsize


@dataclass(frozen=True, eq=False)
class _SavedTensor:
    """The object that autograd holds in place of a saved tensor."""

    tensor: Tensor


class _SavedTensors:
    """The tensors that autograd still holds; tensors of a freed graph do not count.

    Attributes:
        max_bytes: The most bytes held at the end of a forward pass; each storage counts once.

    Args:
        existing: Tensors that exist before the step, and do not count.
    """

    def __init__(self, existing: Iterable[Tensor]) -> None:
        self._existing = list(existing)
        self._alive: WeakSet[_SavedTensor] = WeakSet()
        self.max_bytes = 0

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Records a forward pass. Backward is left out: checkpoints recompute tensors there."""
        with saved_tensors_hooks(self.pack, self.unpack):
            yield
        self.max_bytes = max(self.max_bytes, self._bytes())

    def pack(self, tensor: Tensor) -> _SavedTensor:
        saved = _SavedTensor(tensor)
        self._alive.add(saved)
        return saved

    @staticmethod
    def unpack(saved: _SavedTensor) -> Tensor:
        return saved.tensor

    def _bytes(self) -> int:
        alive = {storage for saved in self._alive for storage in _storages(saved.tensor)}
        existing = {storage for tensor in self._existing for storage in _storages(tensor)}
        return sum(size for _, size in alive - existing)


def _storages(tensor: Tensor) -> set[tuple[int, int]]:
    """The addresses and sizes, bytes, of a tensor's storages."""
    if tensor.layout is torch.sparse_coo:
        return _storages(tensor._indices()) | _storages(tensor._values())
    storage = tensor.untyped_storage()
    return {(storage.data_ptr(), storage.nbytes())}


@contextmanager
def _gradients_preserved(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Clears the gradients of tensors, like `zero_grad`, and restores them on exit."""
    gradients = [(tensor, tensor.grad) for tensor in tensors if tensor.is_leaf]
    for tensor, _ in gradients:
        tensor.grad = None
    try:
        yield
    finally:
        for tensor, gradient in gradients:
            tensor.grad = gradient


# --- formulas that torch lacks, or has wrong -----------------------------------------------------
#
# Each formula takes an operator's arguments, with shapes in place of tensors. Pointwise operations
# are not counted, as in torch's formulas.


def _products(inputs: torch.Size, weights: Iterable[torch.Size]) -> int:
    """Counts a product of each input row with each matrix among the weights."""
    matrices = sum(weight.numel() for weight in weights if len(weight) == 2)
    return 2 * math.prod(inputs[:-1]) * matrices


def _attention(inputs: torch.Size) -> int:
    """Counts the scores of all pairs of positions in a sample, and the weighted sums."""
    samples, positions, width = inputs
    return 2 * 2 * samples * positions * positions * width


def _rnn(*args: Any, **_: Any) -> int:  # noqa: ANN401
    return _products(args[0], args[1])


def _rnn_backward(*args: Any, **_: Any) -> int:  # noqa: ANN401
    # Each product of forward needs two: for the gradients of its input and of its matrix.
    return 2 * _rnn(*args)


def _mkldnn_rnn(*args: Any, **_: Any) -> int:  # noqa: ANN401
    return _products(args[0], args[1:3])


def _mkldnn_rnn_backward(*args: Any, **_: Any) -> int:  # noqa: ANN401
    return 2 * _mkldnn_rnn(*args)


def _encoder_layer(*args: Any, **_: Any) -> int:  # noqa: ANN401
    return _products(args[0], (args[index] for index in (3, 5, 14, 16))) + _attention(args[0])


def _self_attention(*args: Any, **_: Any) -> int:  # noqa: ANN401
    return _products(args[0], (args[index] for index in (5, 7))) + _attention(args[0])


def _cpu_attention(*args: Any, **_: Any) -> int:  # noqa: ANN401
    flops: int = sdpa_flop_count(*args[:3])  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return flops


def _cpu_attention_backward(*args: Any, **_: Any) -> int:  # noqa: ANN401
    flops: int = sdpa_backward_flop_count(*args[:4])  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return flops


def _convolution_backward(*args: Any, **_: Any) -> int:  # noqa: ANN401
    """Counts the operations of forward once for each gradient that is requested.

    torch's formula ignores the groups in the weight's gradient. For a depthwise convolution its
    result is too large by a factor of the number of channels
    (https://github.com/pytorch/pytorch/pull/183405).
    """
    output, inputs, weight, transposed, output_mask = (args[index] for index in (0, 1, 2, 7, 10))
    input_gradient, weight_gradient, _bias_gradient = output_mask
    forward: int = conv_flop_count(inputs, weight, output, transposed=transposed)
    return forward * (bool(input_gradient) + bool(weight_gradient))


_FORMULAS: dict[Any, Callable[..., int]] = {
    _aten.mkldnn_rnn_layer: _mkldnn_rnn,
    _aten.mkldnn_rnn_layer_backward: _mkldnn_rnn_backward,
    _aten._cudnn_rnn: _rnn,
    _aten._cudnn_rnn_backward: _rnn_backward,
    _aten.miopen_rnn: _rnn,
    _aten.miopen_rnn_backward: _rnn_backward,
    _aten._transformer_encoder_layer_fwd: _encoder_layer,
    _aten._native_multi_head_attention: _self_attention,
    # Torch 2.11 and older have formulas of other devices' attention only.
    _aten._scaled_dot_product_flash_attention_for_cpu: _cpu_attention,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: _cpu_attention_backward,
    _aten.convolution_backward: _convolution_backward,
}
"""The formulas by operator. All but the last are of operators that some devices, or evaluation,
use in place of several."""

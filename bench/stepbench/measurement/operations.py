"""The work of one step (computed, moved, kept), counted in a pass of its own on the eager model.

Counting slows every operator, so nothing is timed meanwhile.
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
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

_aten = torch.ops.aten

_NO_WORK = {
    _aten.empty, _aten.empty_like, _aten.empty_permuted, _aten.empty_strided, _aten.new_empty,
    _aten.new_empty_strided,  # these allocate, and neither read nor write
    _aten._unsafe_view, _aten.lift_fresh,  # views that do not say so
    _aten.is_same_size, _aten._fused_sdp_choice,  # these ask, and touch no element
}  # fmt: skip


@dataclass(frozen=True)
class Work:
    """The work of one step: computed, moved and kept.

    Attributes:
        flops: Floating-point operations of forward and backward, 2 for a multiply-add, as torch's
            `FlopCounterMode` counts them from shapes: matrix products, convolutions and attention
            (a masked one as if it were whole), and by the formulas below fused recurrent and
            encoder layers and grouped convolutions. Any other operator counts 0, also a fused or a
            custom one for which there is no formula.
        bytes: What operators read and write: the elements of every tensor that goes in or comes
            out, views and allocations left out. It is an upper bound on what a step must move:
            a fused kernel keeps what lies between two of eager's operators, a cache may hold it,
            and some operators (a look-up in an embedding, an overwriting copy) do not read all of
            what they are given. What a fused operator moves within itself is not seen.
        operators: Operators dispatched, views and allocations left out.
        saved_bytes: What autograd keeps from forward for backward, each storage whole and once,
            without those that are there anyway. Copies count, also those that autocast makes of
            parameters: they live because of this step. What a custom function keeps on its context
            without `save_for_backward` is not seen. `None` when there was no backward.
    """

    flops: int
    bytes: int
    operators: int
    saved_bytes: int | None


Saving = Callable[[], AbstractContextManager[None]]
"""Makes the context of a forward pass in which it is watched what autograd keeps."""
Step = Callable[[Saving], None]
"""Runs forward passes, each in such a context, and backward passes."""


def count(step: Step, own: Iterable[Tensor], *, backward: bool) -> Work:
    """Runs one step, and counts.

    It is a real step but for the optimizer: batch norm's statistics and the random numbers move on.
    The gradients of `own` are afterwards what they were before.

    Args:
        step: Runs the step.
        own: Parameters, buffers and the batch's tensors, which are there anyway.
        backward: Whether the step has a backward pass; one without runs under `no_grad`.

    Raises:
        RuntimeError: A part insists on being compiled, as flex attention does, which torch refuses
            while operators are watched.
    """
    there = list(own)
    traffic = _Traffic()
    flops = FlopCounterMode(display=False, custom_mapping=_FORMULAS)
    # The traffic's mode is the outer one, so that it sees what the other takes operators apart to.
    if not backward:
        with torch.no_grad(), traffic, flops:
            step(nullcontext)
        return Work(flops.get_total_flops(), traffic.bytes, traffic.operators, None)
    kept = _Kept(there)
    with _gradients_set_aside(there), traffic, flops:
        step(kept.saving)
    return Work(flops.get_total_flops(), traffic.bytes, traffic.operators, kept.most_bytes)


def saved_bytes(step: Step, own: Iterable[Tensor]) -> int:
    """Counts what autograd keeps of forward passes, as `Work.saved_bytes`; of compiled ones too.

    Args:
        step: Runs the step; needs no backward pass.
        own: Parameters, buffers and the batch's tensors, which are there anyway.
    """
    there = list(own)
    kept = _Kept(there)
    with _gradients_set_aside(there):
        step(kept.saving)
    return kept.most_bytes


class _Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Adds up the operators of its context, and what they read and write."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
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
        if _works(func):
            leaves = tree_leaves((args, kwargs, result))
            tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
            self.operators += bool(tensors)  # without any, it is a mark for the profiler
            self.bytes += sum(_element_bytes(tensor) for tensor in tensors)
        return result


def _works(func: Any) -> bool:  # noqa: ANN401
    """Tells if an operator touches elements, and not only the shape laid over them."""
    renames = func.is_view or torch.Tag.inplace_view in func.tags
    return not renames and func.overloadpacket not in _NO_WORK


def _element_bytes(tensor: Tensor) -> int:
    """The bytes of a tensor's elements; those that `expand` shows many times count once."""
    if tensor.layout is torch.sparse_coo:
        return _element_bytes(tensor._indices()) + _element_bytes(tensor._values())
    dimensions = zip(tensor.shape, tensor.stride(), strict=True)
    return math.prod(size for size, stride in dimensions if stride or not size) * tensor.itemsize


@dataclass(frozen=True, eq=False)
class _Saved:
    """The object that autograd holds in the place of a tensor that it saves."""

    tensor: Tensor


class _Kept:
    """The tensors that autograd still holds: a graph that was dropped takes its own with it.

    Attributes:
        most_bytes: What it held at the end of a forward pass, at most; each storage once.

    Args:
        own: What is there anyway, and does not count.
    """

    def __init__(self, own: Iterable[Tensor]) -> None:
        self._own = list(own)
        self._alive: WeakSet[_Saved] = WeakSet()
        self.most_bytes = 0

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Around a forward pass alone: what a checkpoint computes again was not kept from it."""
        with saved_tensors_hooks(self.pack, self.unpack):
            yield
        self.most_bytes = max(self.most_bytes, self._bytes())

    def pack(self, tensor: Tensor) -> _Saved:
        saved = _Saved(tensor)
        self._alive.add(saved)
        return saved

    @staticmethod
    def unpack(saved: _Saved) -> Tensor:
        return saved.tensor

    def _bytes(self) -> int:
        held = {storage for saved in self._alive for storage in _storages(saved.tensor)}
        there = {storage for tensor in self._own for storage in _storages(tensor)}
        return sum(size for _, size in held - there)


def _storages(tensor: Tensor) -> set[tuple[int, int]]:
    """The addresses and sizes in bytes of a living tensor's storages."""
    if tensor.layout is torch.sparse_coo:
        return _storages(tensor._indices()) | _storages(tensor._values())
    storage = tensor.untyped_storage()
    return {(storage.data_ptr(), storage.nbytes())}


@contextmanager
def _gradients_set_aside(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Leaves tensors without gradients meanwhile, as `zero_grad` does before each step."""
    aside = [(tensor, tensor.grad) for tensor in tensors if tensor.is_leaf]
    for tensor, _ in aside:
        tensor.grad = None
    try:
        yield
    finally:
        for tensor, gradient in aside:
            tensor.grad = gradient


# --- formulas that torch lacks, or has wrong -----------------------------------------------------
#
# Each takes an operator's arguments with the shapes of tensors in their place. What is pointwise is
# not counted, as it is not in torch's own.


def _products(inputs: torch.Size, weights: Iterable[torch.Size]) -> int:
    """Each row of the input, once through each matrix among the weights."""
    matrices = sum(weight.numel() for weight in weights if len(weight) == 2)
    return 2 * math.prod(inputs[:-1]) * matrices


def _attention(inputs: torch.Size) -> int:
    """Each position with each other of its sample: the scores, and the sum that they weight."""
    samples, positions, width = inputs
    return 2 * 2 * samples * positions * positions * width


def _rnn(*given: Any, **_: Any) -> int:  # noqa: ANN401
    return _products(given[0], given[1])


def _rnn_backward(*given: Any, **_: Any) -> int:  # noqa: ANN401
    # For each of forward's products one for what went into it, and one for the matrix.
    return 2 * _rnn(*given)


def _mkldnn_rnn(*given: Any, **_: Any) -> int:  # noqa: ANN401
    return _products(given[0], given[1:3])


def _mkldnn_rnn_backward(*given: Any, **_: Any) -> int:  # noqa: ANN401
    return 2 * _mkldnn_rnn(*given)


def _encoder_layer(*given: Any, **_: Any) -> int:  # noqa: ANN401
    return _products(given[0], (given[at] for at in (3, 5, 14, 16))) + _attention(given[0])


def _self_attention(*given: Any, **_: Any) -> int:  # noqa: ANN401
    return _products(given[0], (given[at] for at in (5, 7))) + _attention(given[0])


def _convolution_backward(*given: Any, **_: Any) -> int:  # noqa: ANN401
    """Counts as many operations as forward's for each gradient that is asked for.

    torch's own formula forgets the groups in the weight's gradient: for a depthwise convolution it
    gives as many times too much as there are channels
    (https://github.com/pytorch/pytorch/pull/183405).
    """
    output, inputs, weight, transposed, wanted = (given[at] for at in (0, 1, 2, 7, 10))
    of_input, of_weight, _of_bias = wanted
    forward: int = conv_flop_count(inputs, weight, output, transposed=transposed)
    return forward * (bool(of_input) + bool(of_weight))


_FORMULAS: dict[Any, Callable[..., int]] = {
    _aten.mkldnn_rnn_layer: _mkldnn_rnn,
    _aten.mkldnn_rnn_layer_backward: _mkldnn_rnn_backward,
    _aten._cudnn_rnn: _rnn,
    _aten._cudnn_rnn_backward: _rnn_backward,
    _aten.miopen_rnn: _rnn,
    _aten.miopen_rnn_backward: _rnn_backward,
    _aten._transformer_encoder_layer_fwd: _encoder_layer,
    _aten._native_multi_head_attention: _self_attention,
    _aten.convolution_backward: _convolution_backward,
}
"""By operator. All but the last are what some devices, or evaluation, have in place of several."""

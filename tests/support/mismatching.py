"""Workloads and compile backends whose training is wrong, which parity must detect.

A test copies this file into the directory of its run, as a user's workload file.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._dynamo import register_backend
from torch._dynamo.backends.common import aot_autograd
from torch.utils.data import Dataset

from stepbench import Workload

Call = Callable[..., Any]


class Data(Dataset[Any]):
    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(7)
        self._inputs = torch.randn(256, 8, generator=generator)

    def __len__(self) -> int:
        return len(self._inputs)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._inputs[index], int(self._inputs[index].sum() > 0)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 16)
        self.norm = nn.BatchNorm1d(16)
        self.dropout = nn.Dropout(0.2)
        self.last = nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.dropout(self.norm(self.first(x)).relu())
        scores: Tensor = self.last(hidden)
        return scores


class Branches(Net):
    """Computes something else when it is traced."""

    def forward(self, x: Tensor) -> Tensor:
        scores = super().forward(x)
        return scores.tanh() if torch.compiler.is_compiling() else scores


class Forgetful(Net):
    """Computes with a tensor that is missing from its `state_dict`."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.rand(1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.scale


class Noisy(Net):
    """Draws normal and uniform numbers."""

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.randn_like(x) + torch.rand(x.shape, dtype=x.dtype)
        return super().forward(x + 0.1 * noise)


class Unusual(Net):
    """Correct, and easily taken for wrong.

    Most of its parameters are frozen. It converts to single precision explicitly, has a mask of
    infinities, and returns an output that the loss does not use, so that the parameters of this
    output are never trained.
    """

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first.requires_grad_(False)
        self.norm.requires_grad_(False)
        self.unused = nn.Linear(16, 3)
        self.register_buffer("mask", torch.full((2, 2), -torch.inf).triu(1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]  # it is unusual
        hidden = self.dropout(self.norm(self.first(x.float())).relu())
        scores = self.last(hidden)
        weights = (self.mask + scores[:2, :2]).softmax(1)
        return scores + weights.sum() * 0.01, self.unused(hidden)


class SkipsOne(torch.optim.SGD):
    """SGD whose foreach implementation skips the last parameter."""

    def step(self, closure: Any = None) -> Any:
        if self.param_groups[0]["foreach"]:
            self.param_groups[0]["params"][-1].grad = None
        return super().step(closure)


def right(scores: Tensor, target: Tensor) -> Tensor:
    return (scores.argmax(1) == target).sum()


def _workload(model: Callable[[], nn.Module], optimizer: Call = torch.optim.SGD) -> Workload:
    return Workload(
        model=model,
        dataset=Data,
        test_dataset=Data,
        metric=right,
        loss=nn.CrossEntropyLoss(),
        optimizer=lambda parameters: optimizer(parameters, lr=0.05, momentum=0.9),
    )


def make() -> Workload:
    return _workload(Net)


def branches() -> Workload:
    return _workload(Branches)


def forgetful() -> Workload:
    return _workload(Forgetful)


def noisy() -> Workload:
    return _workload(Noisy)


def unusual() -> Workload:
    cross_entropy = nn.CrossEntropyLoss()
    return replace(
        _workload(Unusual),
        loss=lambda outputs, target: cross_entropy(outputs[0], target),
        metric=lambda outputs, target: right(outputs[0], target),
    )


def skips() -> Workload:
    return _workload(Net, SkipsOne)


# --- backends that generate wrong code -----------------------------------------------------------


def _scaled(graph: fx.GraphModule, _: list[Tensor]) -> Call:
    """A backward pass that gives the first gradient 1.001 times too large."""

    def run(arguments: list[Any]) -> list[Any]:
        gradients = list(graph(*arguments))
        first = next(i for i, value in enumerate(gradients) if isinstance(value, Tensor))
        gradients[first] = gradients[first] * 1.001
        return gradients

    run._boxed_call = True  # type: ignore[attr-defined]  # as AOTAutograd asks for it
    return run


def _unchanged(graph: fx.GraphModule, _: list[Tensor]) -> Call:
    def run(arguments: list[Any]) -> Any:
        return graph(*arguments)

    run._boxed_call = True  # type: ignore[attr-defined]  # as AOTAutograd asks for it
    return run


register_backend(
    compiler_fn=aot_autograd(fw_compiler=_unchanged, bw_compiler=_scaled),
    name="scales_a_gradient",
)


def _edited(graph: fx.GraphModule, name: str, edit: Callable[[fx.GraphModule, Any], None]) -> Call:
    """The graph with its last call of a function edited."""
    calls = [n for n in graph.graph.nodes if getattr(n.target, "__name__", "") == name]
    edit(graph, calls[-1])
    graph.recompile()
    return graph.forward


@register_backend
def drops_a_bias(graph: fx.GraphModule, _: list[Tensor]) -> Call:
    def edit(_: fx.GraphModule, node: Any) -> None:
        node.args = (*node.args[:2], None)

    return _edited(graph, "linear", edit)


@register_backend
def scales_dropout(graph: fx.GraphModule, _: list[Tensor]) -> Call:
    def edit(graph: fx.GraphModule, node: Any) -> None:
        with graph.graph.inserting_after(node):
            scaled = graph.graph.call_function(torch.mul, (node, 0.8))
        node.replace_all_uses_with(scaled)
        scaled.args = (node, 0.8)

    return _edited(graph, "dropout", edit)


@register_backend
def rounds_like_tf32(graph: fx.GraphModule, _: list[Tensor]) -> Call:
    """Rounds each input to ten bits, as TF32 does."""

    def rounded(value: Any) -> Any:
        if not isinstance(value, Tensor) or value.dtype is not torch.float32 or value.dim() < 2:
            return value
        bits = (value.detach().view(torch.int32) + 0x1000) & ~0x1FFF
        return value + (bits.view(torch.float32) - value).detach()

    def run(*arguments: Any) -> Any:
        return graph(*(rounded(argument) for argument in arguments))

    return run


@register_backend
def breaks_at_step_4(graph: fx.GraphModule, _: list[Tensor]) -> Call:
    calls = 0

    def run(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        outputs = graph(*arguments)
        return tuple(output * torch.nan for output in outputs) if calls == 4 else outputs

    return run


@register_backend
def forgets_buffers(graph: fx.GraphModule, _: list[Tensor]) -> Call:
    """Updates copies of the buffers of batch norm instead of the buffers."""

    def run(*arguments: Any) -> Any:
        return graph(
            *(
                value.clone() if isinstance(value, Tensor) and not value.requires_grad else value
                for value in arguments
            )
        )

    return run

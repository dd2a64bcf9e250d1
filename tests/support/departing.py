"""Workloads and compile backends that train another model than they say: what parity must catch.

A test copies this file beside its run, as a user's own.
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
    """Goes another way where it is traced."""

    def forward(self, x: Tensor) -> Tensor:
        scores = super().forward(x)
        return scores.tanh() if torch.compiler.is_compiling() else scores


class Forgetful(Net):
    """Computes with something that its state does not hold."""

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
    """Right in every way, and easily taken for wrong.

    Most of it is frozen; it asks for single precision by name, has a mask of infinities, and gives
    an output that the loss does not use, of parameters that are therefore never trained.
    """

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first.requires_grad_(False)
        self.norm.requires_grad_(False)
        self.aside = nn.Linear(16, 3)
        self.register_buffer("mask", torch.full((2, 2), -torch.inf).triu(1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]  # it is unusual
        hidden = self.dropout(self.norm(self.first(x.float())).relu())
        scores = self.last(hidden)
        weights = (self.mask + scores[:2, :2]).softmax(1)
        return scores + weights.sum() * 0.01, self.aside(hidden)


class SkipsOne(torch.optim.SGD):
    """Its foreach implementation forgets the last parameter."""

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
        at = next(i for i, each in enumerate(gradients) if isinstance(each, Tensor))
        gradients[at] = gradients[at] * 1.001
        return gradients

    run._boxed_call = True  # type: ignore[attr-defined]  # as AOTAutograd asks for it
    return run


def _as_it_is(graph: fx.GraphModule, _: list[Tensor]) -> Call:
    def run(arguments: list[Any]) -> Any:
        return graph(*arguments)

    run._boxed_call = True  # type: ignore[attr-defined]  # likewise
    return run


register_backend(
    compiler_fn=aot_autograd(fw_compiler=_as_it_is, bw_compiler=_scaled),
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
    """Keeps ten bits of each number that goes in, as TF32 does, and calls it fp32."""

    def rounded(value: Any) -> Any:
        if not isinstance(value, Tensor) or value.dtype is not torch.float32 or value.dim() < 2:
            return value
        bits = (value.detach().view(torch.int32) + 0x1000) & ~0x1FFF
        return value + (bits.view(torch.float32) - value).detach()

    def run(*arguments: Any) -> Any:
        return graph(*(rounded(each) for each in arguments))

    return run


@register_backend
def breaks_at_step_4(graph: fx.GraphModule, _: list[Tensor]) -> Call:
    calls = 0

    def run(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        outputs = graph(*arguments)
        return tuple(each * torch.nan for each in outputs) if calls == 4 else outputs

    return run


@register_backend
def forgets_buffers(graph: fx.GraphModule, _: list[Tensor]) -> Call:
    """Updates the statistics of batch norm in copies of them."""

    def run(*arguments: Any) -> Any:
        return graph(
            *(
                each.clone() if isinstance(each, Tensor) and not each.requires_grad else each
                for each in arguments
            )
        )

    return run

"""Every expected figure is computed by hand. A float has 4 bytes."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # the usual name
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from stepbench.measurement import dispatch_counter
from stepbench.measurement.dispatch_counter import ForwardContext, Work


def count(forward: Callable[[], Tensor], existing: Iterable[Tensor], *, backward: bool) -> Work:
    """Counts a step of a forward pass and, in training, a backward pass."""

    def step(forward_context: ForwardContext) -> None:
        with forward_context():
            loss = forward()
        if backward:
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped

    return dispatch_counter.count(step, existing, backward=backward)


def of_model(
    model: nn.Module,
    inputs: Tensor,
    *,
    backward: bool = True,
    context: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Work:
    def forward() -> Tensor:
        with context():
            output = model(inputs)
            loss: Tensor = (output[0] if isinstance(output, tuple) else output).sum()
            return loss

    return count(forward, [*model.parameters(), *model.buffers(), inputs], backward=backward)


def test_a_linear_layer() -> None:
    work = of_model(nn.Linear(8, 4), torch.randn(2, 8))
    forward = 2 * (2 * 8 * 4)  # a multiply-add for each sample, input and output
    assert work.flops == 2 * forward  # backward: the weight's gradient; the input needs none
    # numbers in and out: addmm, the sum, its gradient of 1, the weight's gradient from the expanded
    # 1 (of which there is one in memory) and the input, the bias's gradient
    numbers = (4 + 16 + 32 + 8) + (8 + 1) + (1 + 1) + (1 + 16 + 32) + (1 + 4)
    assert work.bytes == 4 * numbers
    assert work.operators == 5
    assert work.saved_bytes == 0  # only its input and its weight


def test_two_linear_layers_and_a_relu() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    work = of_model(model, torch.randn(2, 8))
    first, second = 2 * (2 * 8 * 16), 2 * (2 * 16 * 4)
    assert work.flops == 2 * first + 3 * second  # the first layer's input needs no gradient
    assert work.saved_bytes == 4 * 2 * 16  # the relu's output, for itself and for the next layer


@pytest.mark.parametrize(
    ("layer", "multiplications"),
    [
        (nn.Conv2d(4, 6, 3, padding=1), (2 * 6 * 8 * 8) * (4 * 3 * 3)),
        (nn.Conv2d(4, 6, 3, padding=1, stride=2), (2 * 6 * 4 * 4) * (4 * 3 * 3)),
        (nn.Conv2d(4, 6, 3, padding=1, groups=2), (2 * 6 * 8 * 8) * (2 * 3 * 3)),
        (nn.Conv2d(4, 4, 3, padding=1, groups=4), (2 * 4 * 8 * 8) * (3 * 3)),
        (nn.ConvTranspose2d(4, 6, 3), (2 * 4 * 8 * 8) * (6 * 3 * 3)),
        (nn.ConvTranspose2d(4, 6, 3, groups=2), (2 * 4 * 8 * 8) * (3 * 3 * 3)),
    ],
    ids=["plain", "strided", "grouped", "depthwise", "transposed", "transposed, grouped"],
)
def test_a_convolution(layer: nn.Module, multiplications: int) -> None:
    batch = torch.randn(2, 4, 8, 8)
    forward = 2 * multiplications
    assert of_model(layer, batch, backward=False).flops == forward
    work = of_model(layer, batch)
    assert work.flops == 2 * forward  # the weight's gradient; the input needs none
    assert work.saved_bytes == 0
    assert of_model(layer, batch.requires_grad_()).flops == 3 * forward


@pytest.mark.parametrize("backward", [True, False])
def test_attention(backward: bool) -> None:
    samples, heads, positions, width = 2, 3, 5, 4
    query, key, value = torch.randn(3, samples, heads, positions, width)
    query.requires_grad_()

    def forward() -> Tensor:
        return F.scaled_dot_product_attention(query, key, value).sum()

    product = 2 * samples * heads * positions * positions * width
    work = count(forward, [query, key, value], backward=backward)
    # forward: scores and their weighted sum; backward: the scores again, and two for each product
    assert work.flops == (2 + 5 * backward) * product
    output, logsumexp = samples * heads * positions * width, samples * heads * positions
    assert work.saved_bytes == (4 * (output + logsumexp) if backward else None)


@pytest.mark.filterwarnings("ignore:TF32 acceleration")  # torch sets all of oneDNN's flags or none
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("fused", [True, False])
def test_an_lstm_counts_the_same_as_one_operator_and_as_many(fused: bool, layers: int) -> None:
    model = nn.LSTM(4, 3, num_layers=layers)
    steps, samples = 5, 2
    inputs = torch.randn(steps, samples, 4, requires_grad=True)
    with torch.backends.mkldnn.flags(enabled=fused):
        forward = of_model(model, inputs, backward=False)
        both = of_model(model, inputs)
    gates = 4 * 3
    matrices = gates * (4 + 3) + (layers - 1) * gates * (3 + 3)
    expected = 2 * steps * samples * matrices
    assert forward.flops == expected
    # As many operators, it does not carry gradients to the zeros that a sequence begins with.
    spared = 0 if fused else layers * 2 * samples * gates * 3
    assert both.flops == 3 * expected - spared
    assert (forward.operators < 20) == fused


def test_a_gpu_s_recurrent_operator_has_a_formula() -> None:
    with torch.device("meta"):
        weights = list(nn.LSTM(4, 3, num_layers=2).parameters())
        inputs, hidden = torch.empty(5, 2, 4), torch.empty(2, 2, 3)

    def forward() -> Tensor:
        output: Tensor = torch.ops.aten._cudnn_rnn(
            inputs, weights, 4, None, hidden, hidden, 2, 3, 0, 2, False, 0.0, True, False, [], None
        )[0]
        return output

    expected = 2 * 5 * 2 * (12 * (4 + 3) + 12 * (3 + 3))
    assert count(forward, [], backward=False).flops == expected
    assert (
        dispatch_counter._rnn_backward(inputs.shape, [weight.shape for weight in weights])
        == 2 * expected
    )


@pytest.mark.parametrize("fused", [True, False])
def test_an_encoder_layer_in_evaluation_counts_the_same_as_one_operator(fused: bool) -> None:
    samples, positions, width, inner = 2, 5, 8, 16
    model = nn.TransformerEncoderLayer(width, 2, inner, batch_first=True).eval()
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(fused)
    try:
        work = of_model(model, torch.randn(samples, positions, width), backward=False)
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
    dense = 2 * samples * positions * (3 * width * width + width * width + 2 * width * inner)
    assert work.flops == dense + 2 * (2 * samples * positions * positions * width)
    assert (work.operators == 2) == fused  # itself, and the sum


def test_self_attention_in_evaluation_is_counted() -> None:
    model = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    inputs = torch.randn(2, 5, 8)

    def forward() -> Tensor:
        return model(inputs, inputs, inputs)[0].sum()  # type: ignore[no-any-return]

    work = count(forward, model.parameters(), backward=False)
    assert work.flops == 2 * 2 * 5 * (3 * 8 * 8 + 8 * 8) + 2 * (2 * 2 * 5 * 5 * 8)


def test_batch_norm_keeps_its_statistics_and_computes_no_products() -> None:
    work = of_model(nn.BatchNorm2d(3), torch.randn(2, 3, 4, 4))
    assert work.flops == 0
    assert work.saved_bytes == 4 * (3 + 3)  # mean and deviation; its input is the batch


def test_dropout_keeps_its_mask() -> None:
    layer = nn.Linear(8, 4)

    def forward() -> Tensor:
        return F.dropout(layer(inputs), 0.5).sum()

    inputs = torch.randn(2, 8)
    assert count(forward, [*layer.parameters(), inputs], backward=True).saved_bytes == 4 * 2 * 4


def test_autocast_s_copies_are_kept_for_this_step() -> None:
    def autocast() -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16)

    inputs = torch.randn(2, 8, requires_grad=True)
    work = of_model(nn.Linear(8, 4), inputs, context=autocast)
    assert work.saved_bytes == 2 * (4 * 8 + 2 * 8)  # the weight and the input in bfloat16
    assert work.flops == 3 * (2 * 2 * 8 * 4)


def test_views_allocations_and_marks_are_no_operators() -> None:
    inputs = torch.randn(4, 6)

    def forward() -> Tensor:
        with torch.profiler.record_function("mark"):
            seen = inputs.t().reshape(2, 12)[:, :3].unsqueeze(0).detach()  # reshape copies
            torch.empty_like(seen).squeeze_()
            return seen

    work = count(forward, [inputs], backward=False)
    assert work == Work(flops=0, bytes=4 * (24 + 24), operators=1, saved_bytes=None)


def test_expanded_elements_count_once_and_empty_tensors_do_not_count() -> None:
    row, nothing = torch.randn(1, 3), torch.randn(0, 3)
    work = count(lambda: row.expand(100, 3).exp(), [], backward=False)
    assert work.bytes == 4 * (3 + 300)
    assert count(lambda: nothing.expand(5, 0, 3).exp(), [], backward=False).bytes == 0


def test_an_operator_in_place_reads_and_writes() -> None:
    values = torch.zeros(10)
    work = count(lambda: values.add_(torch.ones(10)), [], backward=False)
    assert work.bytes == 4 * (10 + (10 + 10 + 10))  # the ones, and the sum


def test_a_list_of_tensors_counts() -> None:
    parts = [torch.randn(2, 3), torch.randn(4, 3)]
    assert count(lambda: torch.cat(parts), [], backward=False).bytes == 4 * (18 + 18)


def test_a_sparse_gradient_counts_what_is_there() -> None:
    rows = torch.tensor([3, 7])
    # the table, two places of 8 bytes and two rows out; the sum; its gradient of 1
    forward = (4 * 1000 * 4 + 2 * 8 + 4 * 8) + 4 * (8 + 1) + 4 * (1 + 1)
    dense = of_model(nn.Embedding(1000, 4), rows)
    assert dense.bytes == forward + (4 + 2 * 8 + 4 * 1000 * 4)
    sparse = of_model(nn.Embedding(1000, 4, sparse=True), rows)
    # put together from places and the expanded 1, then copied
    one = 2 * 8 + 4
    assert sparse.bytes == forward + (one + one) + (one + 2 * 8 + 4 * 8)


class Block(nn.Module):
    def __init__(self, checkpointed: bool | None) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh())
        self.first = nn.Linear(8, 8)
        self.reentrant = checkpointed

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.first(inputs)
        if self.reentrant is None:
            return self.layers(hidden)  # type: ignore[no-any-return]
        return checkpoint(self.layers, hidden, use_reentrant=self.reentrant)  # type: ignore[no-any-return]


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpoint_keeps_less_and_computes_more(reentrant: bool) -> None:
    inputs = torch.randn(2, 8)
    plain, checkpointed = of_model(Block(None), inputs), of_model(Block(reentrant), inputs)
    activation = 4 * 2 * 8
    # what enters the first layer of the block, and what comes out of each tanh
    assert plain.saved_bytes == 3 * activation
    assert checkpointed.saved_bytes == activation
    product = 2 * 2 * 8 * 8
    assert plain.flops == (2 + 2 * 3) * product
    # both of the block's products once more: what comes after the second is needed as well
    assert checkpointed.flops == plain.flops + 2 * product


class Cubed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        ctx.save_for_backward(values, values * values, values[:1])
        return values**3

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        values, squares, first = ctx.saved_tensors
        assert first.data_ptr() == values.data_ptr()
        return gradients[0] * (3 * squares)  # type: ignore[no-any-return]


def test_a_custom_function_saves_each_storage_once() -> None:
    values = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    hidden: list[Tensor] = []

    def forward() -> Tensor:
        hidden.append(values * 1)
        return Cubed.apply(hidden[0]).sum()  # type: ignore[no-any-return]

    work = count(forward, [values], backward=True)
    assert work.saved_bytes == 4 * (3 + 3)  # the values, of which the first is a view; the squares


def test_a_slice_keeps_its_whole_storage() -> None:
    weight = torch.ones(2, requires_grad=True)

    def forward() -> Tensor:
        return (weight * torch.randn(100)[:2]).sum()

    work = count(forward, [weight], backward=True)
    assert work.saved_bytes == 4 * 100


def test_tensors_of_a_freed_graph_do_not_count() -> None:
    weight = torch.ones(1000, requires_grad=True)

    def forward() -> Tensor:
        dropped = [float((weight * torch.randn(1000)).sum().detach()) for _ in range(10)]
        return (weight * torch.randn(1000)).sum() + sum(dropped)

    assert count(forward, [weight], backward=True).saved_bytes == 4 * 1000


def gradients(tensors: Iterable[Tensor]) -> list[Tensor | None]:
    return [tensor.grad for tensor in tensors]


def test_gradients_are_restored_and_do_not_affect_the_count() -> None:
    model, inputs = nn.Linear(8, 4), torch.randn(2, 8)
    fresh = of_model(model, inputs)
    assert gradients(model.parameters()) == [None, None]
    model.weight.grad = torch.full((4, 8), 7.0)
    gradient = model.weight.grad
    assert of_model(model, inputs) == fresh
    assert model.weight.grad is gradient
    assert (gradient == 7).all()
    assert model.bias.grad is None


def test_a_forward_that_fails_leaves_the_gradients_too() -> None:
    weight = torch.ones(2, requires_grad=True)
    weight.grad = torch.ones(2)

    def forward() -> Tensor:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        count(forward, [weight], backward=True)
    assert weight.grad is not None


def test_the_backward_pass_is_the_real_one() -> None:
    model, inputs = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1)), torch.randn(3, 8)
    seen: list[Tensor] = []
    weight = model[0].weight
    assert isinstance(weight, Tensor)
    weight.register_hook(seen.append)  # type: ignore[no-untyped-call]
    of_model(model, inputs)
    model(inputs).sum().backward()
    counted, plain = seen
    assert torch.equal(counted, plain)


def test_without_backward_there_is_no_graph() -> None:
    modes: list[bool] = []
    layer, inputs = nn.Linear(8, 4), torch.randn(2, 8)

    def forward() -> Tensor:
        modes.append(torch.is_grad_enabled())
        return layer(inputs).sum()  # type: ignore[no-any-return]

    work = count(forward, [], backward=False)
    assert modes == [False]
    assert work == Work(2 * 2 * 8 * 4, 4 * ((4 + 16 + 32 + 8) + (8 + 1)), 2, None)


def test_a_whole_network_counts_as_torch_counts_it() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 6, 5), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dropout(), nn.Linear(6 * 14 * 14, 10),
    )  # fmt: skip
    inputs, target = torch.randn(4, 3, 32, 32), torch.arange(4)

    def forward() -> Tensor:
        return F.cross_entropy(model(inputs), target)

    work = count(forward, [*model.parameters(), *model.buffers(), inputs], backward=True)
    convolution = 2 * (4 * 6 * 28 * 28) * (3 * 5 * 5)
    dense = 2 * 4 * (6 * 14 * 14) * 10
    assert work.flops == 2 * convolution + 3 * dense
    with FlopCounterMode(display=False) as counter:
        forward().backward()  # type: ignore[no-untyped-call]
    assert work.flops == counter.get_total_flops()


def test_no_mode_stays_active() -> None:
    of_model(nn.Linear(8, 4), torch.randn(2, 8))
    assert torch.utils._python_dispatch._get_current_dispatch_mode() is None
    assert torch.is_grad_enabled()

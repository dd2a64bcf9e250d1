from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from stepbench.parity.randomness import DoublePrecisionMode, RandomOperators

DRAWS: dict[str, Callable[[torch.dtype], Tensor]] = {
    "rand": lambda dtype: torch.rand(50, dtype=dtype),
    "randn": lambda dtype: torch.randn(50, dtype=dtype),
    "rand_like": lambda dtype: torch.rand_like(torch.ones(50, dtype=dtype)),
    "randn_like": lambda dtype: torch.randn_like(torch.ones(50, dtype=dtype)),
    "uniform_": lambda dtype: torch.empty(50, dtype=dtype).uniform_(-1, 1),
    "normal_": lambda dtype: torch.empty(50, dtype=dtype).normal_(),
    "dropout": lambda dtype: nn.functional.dropout(torch.ones(50, dtype=dtype), 0.3),
    "bernoulli": lambda dtype: torch.empty(50, dtype=dtype).bernoulli_(0.3),
    "dropout2d": lambda dtype: nn.functional.dropout2d(torch.ones(2, 25, 2, 2, dtype=dtype), 0.3),
}


@pytest.mark.parametrize("name", DRAWS)
def test_numbers_drawn_for_double_precision_are_those_of_single(name: str) -> None:
    draw = DRAWS[name]
    torch.manual_seed(0)
    single = draw(torch.float32)
    torch.manual_seed(0)
    with DoublePrecisionMode():  # type: ignore[no-untyped-call]
        double = draw(torch.float64)
    assert double.dtype is torch.float64
    torch.testing.assert_close(single.double(), double, rtol=1e-6, atol=1e-7)


def test_so_are_those_of_the_default_precision() -> None:
    torch.manual_seed(0)
    single = torch.rand(50), torch.randn(50), torch.normal(0.0, 1.0, (50,))
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    try:
        with DoublePrecisionMode():  # type: ignore[no-untyped-call]
            double = torch.rand(50), torch.randn(50), torch.normal(0.0, 1.0, (50,))
            assert torch.randint(0, 5, (3,)).dtype is torch.int64
        assert torch.get_default_dtype() is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    for one, other in zip(single, double, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-6, atol=1e-7)


def test_without_it_they_are_not() -> None:
    torch.manual_seed(0)
    single = DRAWS["rand"](torch.float32)
    torch.manual_seed(0)
    assert not torch.allclose(single.double(), DRAWS["rand"](torch.float64))


@pytest.mark.parametrize("name", ["rand", "normal_", "dropout", "bernoulli"])
def test_operators_that_draw_are_named_and_others_are_not(name: str) -> None:
    operators = RandomOperators()
    with operators:
        torch.ones(3).exp()
        DRAWS[name](torch.float32)
    assert operators.seen
    assert not operators.reference_differs
    assert "exp" not in operators.seen


def test_numbers_of_another_precision_are_unlike_and_masks_are_not() -> None:
    operators = RandomOperators()
    with operators:
        torch.rand(3, dtype=torch.bfloat16)
        nn.functional.dropout(torch.ones(50, dtype=torch.bfloat16), 0.3)
    assert operators.reference_differs == {"rand"}


def test_whole_numbers_and_orders_are_alike() -> None:
    operators = RandomOperators()
    with operators:
        torch.randint(0, 5, (3,))
        torch.randperm(4)
    assert operators.seen == {"randint", "randperm"}
    assert not operators.reference_differs


def test_attention_draws_only_with_dropout() -> None:
    query = torch.randn(2, 2, 8, 16)
    operators = RandomOperators()
    with operators:
        nn.functional.scaled_dot_product_attention(query, query, query)
    assert not operators.seen
    with operators:
        nn.functional.scaled_dot_product_attention(query, query, query, dropout_p=0.5)
    assert operators.seen


def test_numbers_for_images_depend_on_their_layout_and_masks_do_not() -> None:
    operators = RandomOperators()
    with operators:
        torch.randn_like(torch.ones(2, 3, 4, 4))
        nn.functional.dropout(torch.ones(2, 3, 4, 4), 0.3)
    assert operators.layout_differs == {"randn_like"}


def test_what_a_model_makes_single_is_double_in_the_reference() -> None:
    with DoublePrecisionMode():  # type: ignore[no-untyped-call]
        assert torch.ones(3, dtype=torch.uint8).float().dtype is torch.float64
        assert torch.ones(3, dtype=torch.float64).to(torch.float32).dtype is torch.float64
        assert torch.ones(3).to(torch.int64).dtype is torch.int64

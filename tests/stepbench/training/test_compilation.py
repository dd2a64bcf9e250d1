"""What torch tells of its compilations, from real ones."""

import inspect

import pytest
import torch
from torch import Tensor, nn

from stepbench.config.case import Case
from stepbench.training import compilation
from stepbench_reports.schema.compilation import Compilation

pytestmark = pytest.mark.usefixtures("nothing_compiled")


class Whole(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(x)
        return y.relu()


class Broken(Whole):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(x)
        print(end="")
        return y.relu()


def compiled(model: nn.Module, sizes: list[int], dynamic: str = "auto") -> Compilation:
    case = Case(workload="net", compile="backend:aot_eager", dynamic=dynamic)
    call = compilation.compile_model(model, case)
    for size in sizes:
        call(torch.randn(size, 3)).sum().backward()
    found = compilation.facts(case.compile)
    assert found is not None
    return found


def test_an_eager_case_has_no_compilation() -> None:
    assert compilation.facts("off") is None
    model = Whole()
    assert compilation.compile_model(model, Case(workload="net")) is model


def test_one_graph_without_breaks() -> None:
    found = compiled(Whole(), [4, 4])
    assert (found.graphs, found.graph_breaks, found.recompiles) == (1, 0, 0)
    assert (found.breaks, found.recompiled) == ((), ())
    assert (found.backend, found.mode) == ("aot_eager", None)
    assert found.compile_s > 0


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # raised by torch, of its own tensors
def test_a_graph_break_is_told_with_its_reason_and_line() -> None:
    found = compiled(Broken(), [4])
    assert found.graphs == 2
    assert found.graph_breaks == 1
    (broken,) = found.breaks
    assert "print" in broken.reason
    assert "\n" not in broken.reason
    line = inspect.getsourcelines(Broken.forward)[1] + 2
    assert broken.where == f"{__file__}:{line} in forward"
    assert broken.count == 1


@pytest.mark.parametrize(
    ("dynamic", "sizes", "recompiles"),
    [("auto", [4, 6, 8], 1), ("off", [4, 6, 8], 2), ("on", [4, 6, 8], 0)],
)
def test_recompilations_are_told_with_their_reason(
    dynamic: str, sizes: list[int], recompiles: int
) -> None:
    found = compiled(Whole(), sizes, dynamic)
    assert found.recompiles == recompiles
    for each in found.recompiled:
        assert "size mismatch" in each.reason
        assert "in forward" in str(each.where)

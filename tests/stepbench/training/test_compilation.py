"""The facts of real compilations."""

import inspect
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stepbench.config.case import Case
from stepbench.errors import UnsupportedError
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
    facts = compilation.facts(case)
    assert facts is not None
    return facts


def test_an_eager_case_has_no_compilation() -> None:
    assert compilation.facts(Case(workload="net")) is None
    model = Whole()
    assert compilation.compile_model(model, Case(workload="net")) is model


def test_the_caches_of_a_user_are_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from torch._inductor.runtime.cache_dir_utils import cache_dir, triton_cache_dir

    for variable in (compilation.CACHE_VARIABLE, compilation.TRITON_CACHE_VARIABLE):
        monkeypatch.setenv(variable, "/full/of/compiled/code")
    compilation.use_cache(tmp_path)
    assert cache_dir() == str(tmp_path)
    assert triton_cache_dir(0) == str(tmp_path / "triton")


GRAPHS = ("reduce-overhead", "max-autotune", "backend:cudagraphs")


@pytest.mark.parametrize("mode", GRAPHS)
def test_cuda_graphs_would_overwrite_gradients_that_are_accumulated(mode: str) -> None:
    case = Case(workload="net", device="cuda:1", compile=mode, accumulate=2)
    with pytest.raises(UnsupportedError, match=r"169545 and 96693.*--accumulate 1") as raised:
        compilation.compile_model(Whole(), case)
    assert raised.value.axis == "accumulate"


@pytest.mark.parametrize(
    ("changed", "uses", "overwrites"),
    [
        ({}, True, True),
        ({"accumulate": 1}, True, False),
        ({"loop": "eval"}, True, False),
        ({"device": "cpu"}, False, False),
        ({"compile": "max-autotune-no-cudagraphs"}, False, False),
        ({"compile": "default"}, False, False),
    ],
)
def test_cases_with_cuda_graphs(changed: dict[str, Any], uses: bool, overwrites: bool) -> None:
    case = Case(workload="net", device="cuda", compile="max-autotune", accumulate=2)
    case = case.changed(**changed)
    assert (case.uses_cuda_graphs, case.overwrites_gradients) == (uses, overwrites)


def test_skipped_cuda_graphs_are_counted_where_there_are_cuda_graphs() -> None:
    from torch._dynamo.utils import counters

    case = Case(workload="net", device="cuda", compile="reduce-overhead")
    for skips in (0, 2):
        counters["inductor"]["cudagraph_skips"] += skips
        facts = compilation.facts(case)
        assert facts is not None
        assert facts.cuda_graph_skips == skips
    on_cpu = compilation.facts(case.changed(device="cpu"))
    assert on_cpu is not None
    assert on_cpu.cuda_graph_skips is None


def test_torch_counts_a_skipped_cuda_graph_under_this_name() -> None:
    from torch._dynamo.utils import counters
    from torch._inductor.cudagraph_utils import log_cudagraph_skip_and_bump_counter

    log_cudagraph_skip_and_bump_counter("skipping cudagraphs due to a test")
    assert counters["inductor"]["cudagraph_skips"] == 1


def test_one_graph_without_breaks() -> None:
    facts = compiled(Whole(), [4, 4])
    assert (facts.graphs, facts.graph_breaks, facts.recompiles) == (1, 0, 0)
    assert (facts.breaks, facts.recompiled) == ((), ())
    assert (facts.backend, facts.mode) == ("aot_eager", None)
    assert facts.compile_s > 0


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # raised by torch, of its own tensors
def test_a_graph_break_has_its_reason_and_line() -> None:
    facts = compiled(Broken(), [4])
    assert facts.graphs == 2
    assert facts.graph_breaks == 1
    (broken,) = facts.breaks
    assert "print" in broken.reason
    assert "\n" not in broken.reason
    line = inspect.getsourcelines(Broken.forward)[1] + 2
    assert broken.where == f"{__file__}:{line} in forward"
    assert broken.count == 1


@pytest.mark.parametrize(
    ("dynamic", "sizes", "recompiles"),
    [("auto", [4, 6, 8], 1), ("off", [4, 6, 8], 2), ("on", [4, 6, 8], 0)],
)
def test_recompilations_have_their_reason(dynamic: str, sizes: list[int], recompiles: int) -> None:
    facts = compiled(Whole(), sizes, dynamic)
    assert facts.recompiles == recompiles
    for recompilation in facts.recompiled:
        assert re.search("size mismatch|torch 2.6 does not", recompilation.reason)
        assert "in forward" in str(recompilation.where)


def test_torch_2_6_has_the_reasons_by_code(monkeypatch: pytest.MonkeyPatch) -> None:
    code = Whole.forward.__code__
    where = {
        "co_filename": code.co_filename,
        "co_firstlineno": code.co_firstlineno,
        "co_name": code.co_name,
    }
    reasons = ["0/0: first", "0/1: second", "0/0: second, of the version before"]
    monkeypatch.setattr(torch._dynamo.utils, "guard_failures", {code: reasons})
    metrics = [
        SimpleNamespace(**where, accumulated_cache_size=versions) for versions in (0, 1, None, 2, 3)
    ]
    recompiled = compilation._recompilations(metrics)
    assert [occurrence.reason for occurrence in recompiled] == [
        "0/0: first", "0/1: second", "torch kept no reason",
    ]  # fmt: skip
    assert all(str(occurrence.where).endswith("in forward") for occurrence in recompiled)

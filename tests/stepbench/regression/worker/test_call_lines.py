import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from torch.autograd.profiler import record_function
from torch.profiler import ProfilerActivity, profile

from stepbench.profiling.breakdown import OUTSIDE
from stepbench.regression.tree import Tree
from stepbench.regression.worker.call_lines import CallLines, Sources, collect
from stepbench_reports.schema.cause import CallerLine

NET = """\
import time
import torch


class Net(torch.nn.Linear):
    def forward(self, x):
        x = super().forward(x)
        time.sleep(0.01)
        x = x.clone()
        return x.sin()
"""


@pytest.fixture
def traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CallLines:
    """A step of a model in a file of the tree."""
    (tmp_path / "traced_net.py").write_text(NET)
    monkeypatch.syspath_prepend(tmp_path)
    spec = importlib.util.find_spec("traced_net")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    net = module.Net(8, 8)
    net(torch.ones(4, 8)).sum().backward()
    with profile(activities=[ProfilerActivity.CPU], with_stack=True) as profiler:
        with record_function("forward"):
            loss = net(torch.ones(4, 8)).sum()
        with record_function("backward"):
            loss.backward()
    events = profiler.profiler.kineto_results.experimental_event_tree()
    sources = Sources(Tree("head", tmp_path, tmp_path, Path()))
    sys.modules.pop("traced_net", None)
    return collect(events, {"forward", "backward"}, sources)


def of(traced: CallLines, phase: str, operator: str) -> list[CallerLine]:
    return [line for line in traced.lines if (line.phase, line.operator) == (phase, operator)]


def test_an_operator_has_the_line_that_calls_it(traced: CallLines) -> None:
    (clone,) = of(traced, "forward", "aten::clone")
    assert (clone.file, clone.line, clone.function) == ("traced_net.py", 9, "forward")
    assert clone.code == "x = x.clone()"
    assert {line.line for line in of(traced, "forward", "aten::addmm")} == {7}
    assert traced.files == ("traced_net.py",)


def test_a_backward_operator_has_the_line_of_its_forward(traced: CallLines) -> None:
    (cosine,) = of(traced, "backward", "aten::cos")
    assert (cosine.line, cosine.code) == (10, "return x.sin()")


def test_waiting_in_python_has_a_line(traced: CallLines) -> None:
    longest = max(of(traced, "forward", OUTSIDE), key=lambda line: line.host_self_s)
    assert (longest.line, longest.code) == (8, "time.sleep(0.01)")


def test_files_outside_the_tree_have_no_lines(traced: CallLines) -> None:
    assert {line.file for line in traced.lines} == {"traced_net.py"}

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbench.profiling.breakdown import OUTSIDE, breakdown
from stepbench_reports.schema.profile import Breakdown
from support import gpu_trace


def mark(name: str, begin: float, end: float, thread: int = 1) -> dict[str, Any]:
    return {
        "ph": "X", "cat": "user_annotation", "name": name, "tid": thread, "ts": begin,
        "dur": end - begin, "args": {},
    }  # fmt: skip


def operator(name: str, begin: float, end: float, thread: int = 1) -> dict[str, Any]:
    return {**mark(name, begin, end, thread), "cat": "cpu_op"}


def host_us(result: Breakdown) -> dict[tuple[str, str], float]:
    return {(row.phase, row.operator): row.host_self_s * 1e6 for row in result.rows}


def test_a_moment_belongs_to_the_innermost_operator() -> None:
    events = [
        mark("ProfilerStep#1", 0, 100),
        mark("forward", 0, 60),
        mark("backward", 60, 100),
        operator("outer", 10, 50),
        operator("inner", 20, 30),
        operator("innermost", 22, 25),
        operator("inner", 40, 45),
        operator("outer", 60, 90),
    ]
    result = breakdown(events, ("forward", "backward"))
    assert host_us(result) == pytest.approx(
        {
            ("forward", "outer"): 25,
            ("forward", OUTSIDE): 20,
            ("forward", "inner"): 12,
            ("forward", "innermost"): 3,
            ("backward", "outer"): 30,
            ("backward", OUTSIDE): 10,
        }
    )
    assert {(row.phase, row.operator): row.calls for row in result.rows}["forward", "inner"] == 2
    assert result.phase_s == pytest.approx({"forward": 60e-6, "backward": 40e-6})
    assert result.steps == 1
    assert result.step_s == pytest.approx(100e-6)
    assert not result.device_idle


def test_what_lies_outside_the_steps_does_not_count() -> None:
    events = [
        mark("forward", -50, -10),
        operator("early", -40, -20),
        mark("ProfilerStep#4", 0, 10),
        mark("forward", 0, 10),
        operator("late", 30, 40),
    ]
    assert set(host_us(breakdown(events, ("forward",)))) == {("forward", OUTSIDE)}
    with pytest.raises(ValueError, match="no step"):
        breakdown(events[:2], ("forward",))


def test_compiled_graphs_are_called_the_same_in_every_case() -> None:
    events = [
        mark("ProfilerStep#1", 0, 10),
        mark("forward", 0, 10),
        operator("## Call CompiledFxGraph fzfwirtoruuszaikxg ##", 2, 4),
    ]
    assert ("forward", "## Call CompiledFxGraph") in host_us(breakdown(events, ("forward",)))


@given(
    st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 1000)).map(sorted), max_size=30).map(
        lambda spans: [(float(a), float(b)) for a, b in spans]
    )
)
def test_self_times_on_one_thread_add_up_to_the_phase(spans: list[tuple[float, float]]) -> None:
    """Whatever was called: spans are cut so that they nest, as calls do."""
    nested: list[tuple[float, float]] = []
    for begin, end in spans:
        inside = [outer for outer in nested if outer[0] < begin < outer[1]]
        stop = min([end, *(outer[1] for outer in inside)])
        if not any(begin <= other[0] < stop < other[1] for other in nested):
            nested.append((begin, stop))
    events = [
        mark("ProfilerStep#1", 0, 1000),
        mark("forward", 0, 1000),
        *(operator(f"op {number}", *span) for number, span in enumerate(nested)),
    ]
    total = math.fsum(host_us(breakdown(events, ("forward",))).values())
    assert total == pytest.approx(1000, abs=1e-6)


def test_operators_on_another_thread_belong_to_the_phase_that_goes_on() -> None:
    events = [
        mark("ProfilerStep#1", 0, 100),
        mark("backward", 0, 100),
        operator("engine", 20, 80, thread=2),
    ]
    assert host_us(breakdown(events, ("backward",))) == pytest.approx(
        {("backward", "engine"): 60, ("backward", OUTSIDE): 40}
    )


def test_a_trace_of_a_gpu_shows_whose_work_it_was() -> None:
    result = breakdown(gpu_trace.content()["traceEvents"], gpu_trace.PHASES)
    device_us = {
        (row.phase, row.operator): row.device_self_s * 1e6
        for row in result.rows
        if row.device_self_s
    }
    steps = gpu_trace.STEPS
    assert device_us == pytest.approx(
        {
            ("transfer", "aten::copy_"): steps * gpu_trace.COPY_US,
            ("forward", "aten::addmm"): steps * gpu_trace.KERNELS_US["forward"],
            ("backward", "AddmmBackward0"): steps * gpu_trace.KERNELS_US["backward"],
            ("optimizer", "aten::_foreach_add_"): steps * gpu_trace.KERNELS_US["optimizer"],
        }
    )
    host = host_us(result)
    assert host["forward", "aten::linear"] == pytest.approx(steps * 50)  # it called the other
    assert host["forward", "aten::addmm"] == pytest.approx(steps * 150)
    assert host["backward", "AddmmBackward0"] == pytest.approx(steps * 200)
    work = gpu_trace.COPY_US + sum(gpu_trace.KERNELS_US.values())
    window_us = gpu_trace.STEP_US * steps - 10  # the last step's end is the window's
    assert result.device_idle == {"0": pytest.approx(1 - steps * work / window_us)}
    assert result.memory_peak_bytes == {"0": 1536}
    allocated = {row.operator: row.allocated_bytes for row in result.rows if row.allocated_bytes}
    assert allocated == {"aten::addmm": 512 * steps}


def test_work_that_outlasts_the_last_step_counts() -> None:
    events = gpu_trace.content()["traceEvents"]
    last = max((e for e in events if e.get("cat") == "kernel"), key=lambda e: float(e["ts"]))
    last["dur"] += 1000
    result = breakdown(events, gpu_trace.PHASES)
    busy = gpu_trace.STEPS * (gpu_trace.COPY_US + sum(gpu_trace.KERNELS_US.values())) + 1000
    end = last["ts"] + last["dur"] - gpu_trace.BEGIN_US
    assert result.device_idle["0"] == pytest.approx(1 - busy / end)


def test_a_kernel_without_its_launch_goes_by_its_external_id() -> None:
    events = [e for e in gpu_trace.content()["traceEvents"] if e.get("cat") != "cuda_runtime"]
    result = breakdown(events, gpu_trace.PHASES)
    device = {row.operator for row in result.rows if row.device_self_s}
    assert device == {"aten::copy_", "aten::addmm", "AddmmBackward0", "aten::_foreach_add_"}

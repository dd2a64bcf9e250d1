from collections.abc import Iterator

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from stepbench.errors import UsageError
from stepbench.profiling.phase_marks import PhaseMarks
from stepbench_reports.schema.phases import Phase

STEP = (Phase.DATALOAD, Phase.FORWARD, Phase.BACKWARD, Phase.OPTIMIZER)


def marked(accumulate: int, steps: int) -> Iterator[str]:
    marks = PhaseMarks([*STEP[:3] * accumulate, Phase.OPTIMIZER], steps)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        marks.begin()
        for _ in range(steps):
            for _ in range(accumulate):
                for phase in STEP[:3]:
                    torch.ones(1)
                    marks.lap(phase)
            torch.ones(1)
            marks.lap(Phase.OPTIMIZER)
            marks.end_step()
    events = sorted(profiler.events(), key=lambda event: event.time_range.start)
    for event in events:
        if event.name in set(STEP):
            assert [child.name for child in event.cpu_children] == ["aten::ones"]
            yield event.name


@pytest.mark.parametrize(("accumulate", "steps"), [(1, 1), (1, 3), (2, 2)])
def test_each_phase_is_marked_from_its_begin_to_its_end(accumulate: int, steps: int) -> None:
    step_phases = ["dataload", "forward", "backward"] * accumulate + ["optimizer"]
    assert list(marked(accumulate, steps)) == step_phases * steps


def test_steps_whose_phases_come_in_another_order_are_refused() -> None:
    marks = PhaseMarks(STEP, steps=2)
    marks.begin()
    marks.lap(Phase.DATALOAD)
    with pytest.raises(UsageError, match="backward ended in a step where forward ended"):
        marks.lap(Phase.BACKWARD)

"""Takes a trace: some steps under `torch.profiler`, their phases marked."""

from collections.abc import Callable
from pathlib import Path

from torch.profiler import ProfilerActivity, profile, schedule

from stepbench.devices.kinds import kind_of
from stepbench.measurement.subject import Subject
from stepbench.profiling.marks import PhaseMarks
from stepbench_reports.schema.run import ProfilingOptions

WARMUP = 2
"""Steps that the profiler watches without keeping them: its own start is slow."""


def name_compiled_kernels() -> None:
    """Has Inductor mark each kernel that it writes for the CPU by its name.

    Without that a compiled model is one operator. It must be said before anything is compiled, and
    what was compiled without it is compiled anew. A GPU's kernels have names of their own.
    """
    from torch._inductor import config  # noqa: PLC0415  # slow, and only for compiled cases

    config.cpp.enable_kernel_profile = True


def take(subject: Subject, phases: PhaseMarks, asked: ProfilingOptions, place: Path) -> None:
    """Runs steps, and exports what the profiler saw of the last ones.

    Args:
        subject: What to run.
        phases: Marks their phases, `WARMUP` more than are kept.
        asked: How many steps to keep, and what else to record.
        place: The file to write, a `.json`; it may be left incomplete if the process ends.
    """
    activity = kind_of(subject.training.device.type).profiler_activity()
    activities = [ProfilerActivity.CPU, *([] if activity is None else [activity])]
    with profile(
        activities=activities,
        schedule=schedule(wait=0, warmup=WARMUP, active=asked.steps, repeat=1),
        on_trace_ready=lambda profiler: profiler.export_chrome_trace(str(place)),
        record_shapes=True,
        profile_memory=True,
        with_stack=asked.stack,
        with_modules=asked.stack,
    ) as profiler:
        steps = WARMUP + asked.steps
        end_step = _ended(subject, phases, steps, profiler.step)
        phases.begin()
        subject.loop(subject.training, subject.source.batches, steps, phases.lap, end_step)


def _ended(
    subject: Subject, phases: PhaseMarks, steps: int, step: Callable[[], None]
) -> Callable[[], None]:
    """Makes the call for the end of a step."""
    left = steps

    def end_step() -> None:
        nonlocal left
        left -= 1
        if not left:  # else the last steps' work on the device would be missing
            subject.clock.synchronize()
        step()
        phases.end_step()

    return end_step

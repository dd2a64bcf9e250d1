"""Traces some steps under `torch.profiler`, with their phases marked."""

from collections.abc import Callable
from pathlib import Path

from torch.profiler import ProfilerActivity, profile, schedule

from stepbench.devices.kinds import kind_of
from stepbench.measurement.subject import Subject
from stepbench.profiling.marks import PhaseMarks
from stepbench_reports.schema.run import ProfilingOptions

WARMUP = 2
"""The steps that the profiler runs but does not keep, because the profiler starts slowly."""


def name_compiled_kernels() -> None:
    """Has Inductor record each kernel that it generates for the CPU under the kernel's name.

    Without that, a trace shows a compiled model as one operator. Call this before anything is
    compiled; models that were compiled without it are recompiled. GPU kernels always have names.
    """
    from torch._inductor import config  # noqa: PLC0415  # slow, and only for compiled cases

    config.cpp.enable_kernel_profile = True


def take(subject: Subject, phases: PhaseMarks, asked: ProfilingOptions, place: Path) -> None:
    """Runs `WARMUP + asked.steps` steps, and exports the trace of the last `asked.steps`.

    Args:
        subject: The loop to run.
        phases: Marks the phases of all the steps, including the `WARMUP` steps.
        asked: The number of steps to keep, and what else to record.
        place: The `.json` file to write; the file may be incomplete if the process ends early.
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
    """Makes the function that the loop calls at the end of each step."""
    left = steps

    def end_step() -> None:
        nonlocal left
        left -= 1
        if not left:  # otherwise the device's work of the last steps would be missing
            subject.clock.synchronize()
        step()
        phases.end_step()

    return end_step

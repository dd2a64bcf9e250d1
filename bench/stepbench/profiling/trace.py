"""Traces some steps under `torch.profiler`, with their phases marked."""

from collections.abc import Callable
from pathlib import Path

from torch.profiler import ProfilerActivity, profile, schedule

from stepbench.devices.kinds import kind_of
from stepbench.measurement.timed_loop import TimedLoop
from stepbench.profiling.phase_marks import PhaseMarks
from stepbench.training import compilation
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


def take(timed_loop: TimedLoop, marks: PhaseMarks, options: ProfilingOptions, file: Path) -> None:
    """Runs `WARMUP + options.steps` steps, and exports the trace of the last `options.steps`.

    Args:
        timed_loop: The loop to run.
        marks: Marks the phases of all the steps, including the `WARMUP` steps.
        options: The number of steps to keep, and what else to record.
        file: The `.json` file to write; the file may be incomplete if the process ends early.
    """
    compilation.end_workers()
    activity = kind_of(timed_loop.training.device.type).profiler_activity()
    activities = [ProfilerActivity.CPU, *([] if activity is None else [activity])]
    with profile(
        activities=activities,
        schedule=schedule(wait=0, warmup=WARMUP, active=options.steps, repeat=1),
        on_trace_ready=lambda profiler: profiler.export_chrome_trace(str(file)),
        record_shapes=True,
        profile_memory=True,
        with_stack=options.stack,
        with_modules=options.stack,
    ) as profiler:
        steps = WARMUP + options.steps
        end_step = _end_step(timed_loop, marks, steps, profiler.step)
        marks.begin()
        timed_loop.loop(timed_loop.training, timed_loop.source.batches, steps, marks.lap, end_step)


def _end_step(
    timed_loop: TimedLoop, marks: PhaseMarks, steps: int, step: Callable[[], None]
) -> Callable[[], None]:
    """Makes the function that the loop calls at the end of each step."""
    steps_left = steps

    def end_step() -> None:
        nonlocal steps_left
        steps_left -= 1
        if not steps_left:  # otherwise the device's work of the last steps would be missing
            timed_loop.clock.synchronize()
        step()
        marks.end_step()

    return end_step

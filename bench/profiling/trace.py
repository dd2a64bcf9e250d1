"""Takes a trace: some steps under `torch.profiler`, their phases marked."""

from collections.abc import Callable
from pathlib import Path

from torch.profiler import ProfilerActivity, profile, schedule

from bench.profiling.marks import PhaseMarks
from bench.request import Profiling
from bench.sampling import Subject

WARMUP = 2
"""Steps that the profiler watches without keeping them: its own start is slow."""
_ACTIVITIES = {"cuda": ProfilerActivity.CUDA, "xpu": ProfilerActivity.XPU}
"""What the profiler sees of a device; of others, such as MPS, it sees the host's side alone."""


def name_compiled_kernels() -> None:
    """Has Inductor mark each kernel that it writes for the CPU by its name.

    Without that a compiled model is one operator. It must be said before anything is compiled, and
    what was compiled without it is compiled anew. A GPU's kernels have names of their own.
    """
    from torch._inductor import config  # noqa: PLC0415  # slow, and only for compiled cases

    config.cpp.enable_kernel_profile = True


def take(subject: Subject, phases: PhaseMarks, steps: int, asked: Profiling, place: Path) -> None:
    """Runs steps, and exports what the profiler saw of the last ones.

    Args:
        subject: What to run.
        phases: Marks their phases, `WARMUP` more than are kept.
        steps: How many to keep.
        asked: What else to record.
        place: The file to write, a `.json`; it may be left incomplete if the process ends.
    """
    kind = subject.training.device.type
    activities = [ProfilerActivity.CPU, *([_ACTIVITIES[kind]] if kind in _ACTIVITIES else [])]
    with profile(
        activities=activities,
        schedule=schedule(wait=0, warmup=WARMUP, active=steps, repeat=1),
        on_trace_ready=lambda profiler: profiler.export_chrome_trace(str(place)),
        record_shapes=True,
        profile_memory=True,
        with_stack=asked.stack,
        with_modules=asked.stack,
    ) as profiler:
        end_step = _ended(subject, phases, WARMUP + steps, profiler.step)
        phases.begin()
        subject.loop(subject.training, subject.source.batches, WARMUP + steps, phases.lap, end_step)


def _ended(
    subject: Subject, phases: PhaseMarks, steps: int, step: Callable[[], None]
) -> Callable[[], None]:
    """What is to be done when a step has ended."""
    left = steps

    def end_step() -> None:
        nonlocal left
        left -= 1
        if not left:  # else the last steps' work on the device would be missing
            subject.clock.synchronize()
        step()
        phases.end_step()

    return end_step

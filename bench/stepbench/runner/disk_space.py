"""The space on disk that a run needs, checked before anything is measured."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from stepbench.config.case import Case
from stepbench.config.options import Options
from stepbench.errors import UsageError

REPORTS_BYTES = 4 * 2**20
"""The size of a run's reports and other files that do not grow with the steps, bytes."""
STEP_BYTES = 400
"""The size of a step with laps in all files, bytes: the record, `benchmark.json`, the table."""
STEPS_PER_S = 500
"""The assumed number of steps with laps in a second of sampling."""
COMPILED_BYTES = 16 * 2**20
"""The size of the compile cache for each piece of compiled code, bytes."""
PROFILE_BYTES = 32 * 2**20
"""The size of a case's profile, bytes."""


def needed_bytes(options: Options, cases: Sequence[Case]) -> int:
    """Estimates the space that a run needs, bytes.

    The references of parity are not part of it: they are kept within the space that is there.
    """
    sampling = options.sampling
    steps = sampling.steps or round(sampling.max_time_s * STEPS_PER_S)
    compiled = [case for case in cases if case.compile != "off"]
    pieces = {case if options.cold else case.compile_key for case in compiled}
    profiled = 0 if options.profiling is None else len(cases)
    return (
        REPORTS_BYTES
        + len(cases) * steps * STEP_BYTES
        + len(pieces) * COMPILED_BYTES
        + profiled * PROFILE_BYTES
    )


def refuse_full_disk(options: Options, cases: Sequence[Case], path: Path, option: str) -> None:
    """Refuses a directory on a disk with too little space for a run.

    Args:
        options: The run's options.
        cases: The cases that the run measures.
        path: The run's directory.
        option: The option that names the directory, for the error message.

    Raises:
        UsageError: The disk has too little space.
    """
    needed, free = needed_bytes(options, cases), shutil.disk_usage(path).free
    if free < needed:
        raise UsageError(
            f"{option} {path}: {free / 2**20:,.0f} MiB are free there, and the run needs about "
            f"{needed / 2**20:,.0f} MiB; free disk space, give --output on another disk, or "
            f"measure fewer cases"
        )

"""Measuring from a notebook or a script: what `python -m bench` does, without a command line."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.case import Case, Matrix

if TYPE_CHECKING:
    from reports.frame import Run as Measured


def measure(
    what: Case | Matrix,
    *,
    max_time_s: float = 5.0,
    parity: bool = True,
    output: Path | str | None = None,
) -> "Measured":
    """Measures a case, or the cases of a matrix, each in a process of its own.

    Args:
        what: What to measure; its workload is a shipped one, or `path/to/file.py:make`.
        max_time_s: For how long each case is sampled at most, seconds.
        parity: Whether each case is compared with eager execution in double precision.
        output: The run's directory; `None` makes one beneath `results/`.

    Returns:
        The run as pandas frames: `cases`, `phases` and `samples`; see `reports.load`.

    Raises:
        UsageError: Something that was asked for is not there.
        StoreError: A result could not be written.
    """
    # torch is imported by children alone, and the rest takes its time.
    from rich.console import Console  # noqa: PLC0415

    import reports  # noqa: PLC0415
    from bench import options  # noqa: PLC0415
    from bench.run import Run  # noqa: PLC0415

    asked = options.read({}, Path.cwd())
    asked = replace(
        asked,
        matrix=_alone(what) if isinstance(what, Case) else what,
        sampling=replace(asked.sampling, max_time_s=max_time_s),
        parity=asked.parity if parity else None,
        output=None if output is None else Path(output).absolute(),
    )
    run = Run(asked, [], Console())
    try:
        run.claim()
        run.open()
        run.introduce()
        run.expect(list(run.cases))
        for case in run.cases:
            run.measure(case)
            if parity:
                run.judge(case)
        return reports.load(run.directory.path)
    finally:
        run.close()


def _alone(case: Case) -> Matrix:
    return Matrix({name: (value,) for name, value in case.values().items()})

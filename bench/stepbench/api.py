"""Measures from a notebook or a script, as `stepbench run` does from the command line."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stepbench.config.case import Case
from stepbench.config.matrix import Matrix
from stepbench_reports.schema.run import SamplingOptions

if TYPE_CHECKING:
    from stepbench_reports.notebook import NotebookRun


def measure(
    target: Case | Matrix,
    *,
    max_time_s: float = SamplingOptions().max_time_s,
    parity: bool = True,
    output: Path | str | None = None,
) -> "NotebookRun":
    """Measures a case, or the cases of a matrix, each in processes of its own.

    The cases of a matrix take turns, so that what else the machine does meets all of them, and
    comparisons of them are paired: `measure(matrix).ratio(a, b)`.

    Args:
        target: The case or the matrix; its workload is a shipped one, or `path/to/file.py:make`.
        max_time_s: The time of sampling for each case, seconds, with the starts of its processes.
        parity: True to compare each case with eager execution in double precision.
        output: The run's directory; `None` makes one beneath `results/`.

    Returns:
        The run as pandas frames: `cases`, `phases` and `samples`; see `stepbench.load`. A notebook
        shows its table; `compare("compile")` makes others, `plot()` figures.

    Raises:
        UsageError: The workload, the device or the directory cannot be used.
        StoreError: A result could not be written.
    """
    # These imports take a second, and `import stepbench` must stay fast.
    from msgspec import structs  # noqa: PLC0415

    import stepbench_reports  # noqa: PLC0415
    from stepbench.config import options  # noqa: PLC0415
    from stepbench.runner.progress import Task  # noqa: PLC0415
    from stepbench.runner.run import Runner  # noqa: PLC0415
    from stepbench_reports.render.console import make_console  # noqa: PLC0415

    defaults = options.read({}, Path.cwd())
    run_options = replace(
        defaults,
        matrix=Matrix.of([target]) if isinstance(target, Case) else target,
        sampling=structs.replace(defaults.sampling, max_time_s=max_time_s),
        parity=defaults.parity if parity else None,
        output=None if output is None else Path(output).absolute(),
    )
    run = Runner(run_options, [], make_console())
    try:
        run.claim()
        run.open()
        run.print_header()
        run.expect(run.cases, {Task.PARITY: run.cases} if parity else {})
        for case in run.cases:
            run.measure(case)
            if parity:
                run.judge(case)
        return stepbench_reports.load(run.directory.path)
    finally:
        run.close()

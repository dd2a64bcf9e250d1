"""Recognizes code that only a directory of results names.

A directory of results may come from anybody, and names the code to run. So that code runs only if
it is where the user works, or if the command names it.
"""

from collections.abc import Iterable
from pathlib import Path

from stepbench.config.case import Case
from stepbench.errors import UsageError
from stepbench.results.claim import RESULTS


def refuse_foreign_workloads(cases: Iterable[Case], path: Path, file: str) -> None:
    """Refuses workloads outside the current directory, or among results.

    Args:
        cases: The cases to resume.
        path: The directory of results.
        file: The name of the file in it that names the workloads.

    Raises:
        UsageError: A workload lies elsewhere.
    """
    here = Path.cwd()
    results = (here / RESULTS, path.resolve())
    for workload in dict.fromkeys(case.workload for case in cases):
        if _is_foreign(workload, here, results):
            raise UsageError(
                f"--resume {path}: its {file} names the workload {workload}, which lies among "
                f"results or outside the current directory; if that code is yours, name it again: "
                f"repeat --workload with --resume"
            )


def _is_foreign(workload: str, here: Path, results: tuple[Path, ...]) -> bool:
    module, colon, _ = workload.rpartition(":")
    if not colon:  # shipped, or of torchvision
        return False
    if module.endswith(".py"):
        file = Path(module).expanduser().resolve()
        return not file.is_relative_to(here) or any(map(file.is_relative_to, results))
    package = here / module.partition(".")[0]
    return any(directory.is_relative_to(package) for directory in results)

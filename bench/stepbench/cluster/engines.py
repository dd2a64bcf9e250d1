"""Chooses the engine that `--on` names, and imports it only then."""

from pathlib import Path

from stepbench.cluster.engine import Engine
from stepbench.config.cluster import ClusterOptions


def make_engine(options: ClusterOptions, run: Path, folder: Path, *, gpus: int) -> Engine:
    """Makes the engine of a run.

    Args:
        options: The engine's name and options.
        run: The directory of the run, by which its jobs are found again.
        folder: A directory for the engine's own files, on the shared file system; it is removed
            when the run ends.
        gpus: The number of GPUs that a case needs.

    Raises:
        UsageError: A package or a program is missing, or an option cannot be used.
        EngineError: The engine cannot be reached.
    """
    if options.engine == "slurm":
        from stepbench.cluster.slurm import SlurmEngine  # noqa: PLC0415  # imports submitit

        return SlurmEngine(options, run, folder)
    if options.engine == "ray":
        from stepbench.cluster.ray import RayEngine  # noqa: PLC0415  # imports Ray

        return RayEngine(options, gpus=gpus)
    from stepbench.cluster.local import LocalEngine  # noqa: PLC0415

    return LocalEngine(options)

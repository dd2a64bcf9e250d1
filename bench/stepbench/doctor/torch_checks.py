"""Checks what needs torch, in a child process: torch, forking, accelerators, NVML."""

import platform
import sys
from collections.abc import Callable
from pathlib import Path

from stepbench.devices.kinds import kind_of
from stepbench.doctor.diagnosis import Ability, Diagnosis
from stepbench.doctor.probe import TorchFacts
from stepbench.process.job import Job, Outcome
from stepbench.process.server import ServerGoneError
from stepbench.process.start import start_server
from stepbench_reports.schema.status import Status

DEADLINE_S = 300.0
"""The deadline of the child, seconds; importing torch from a cold disk can take a minute."""
PROBE = "stepbench.doctor.probe:probe"


def check_torch(on_progress: Callable[[str], None]) -> tuple[Diagnosis, ...]:
    """Asks torch in a child process, as a run does, and returns a diagnosis for each part.

    Args:
        on_progress: Called with a few words on the current activity.
    """
    try:
        server = start_server(("torch",), sys.path, Path.cwd())
    except (OSError, ServerGoneError) as error:
        return (_without_torch(str(error)),)
    try:
        on_progress("importing torch")
        server.wait_until_ready()
        outcome = server.run(Job(PROBE), deadline_s=DEADLINE_S, on_progress=on_progress)
    except ServerGoneError as error:
        return (_without_torch(str(error)),)
    finally:
        server.close()
    return diagnose(outcome, platform.system())


def diagnose(outcome: Outcome, system: str) -> tuple[Diagnosis, ...]:
    """The diagnoses from the outcome of `probe`.

    Args:
        outcome: The outcome of the child.
        system: The operating system's name, as `platform.system` gives it.
    """
    if outcome.status is not Status.OK:
        return (_without_torch(outcome.reason or str(outcome.status)),)
    facts: TorchFacts = outcome.result
    torch = Diagnosis(
        "torch",
        Ability.OK,
        f"torch {facts.version} with Python {platform.python_version()}.",
        essential=True,
    )
    return torch, _forking(outcome.start_s, system), accelerators(facts), nvml(facts)


def _without_torch(reason: str) -> Diagnosis:
    return Diagnosis(
        "torch",
        Ability.MISSING,
        f"A child process cannot use torch: {reason.strip().rstrip('.')}.",
        f"Make `{sys.executable} -c 'import torch'` work, then run stepbench doctor again.",
        essential=True,
    )


def _forking(start_s: float | None, system: str) -> Diagnosis:
    started = "" if start_s is None else f" (this one started in {1e3 * start_s:.0f} ms)"
    if system == "Linux":
        return Diagnosis(
            "fork",
            Ability.OK,
            f"Processes are forked from one that has imported torch{started}.",
        )
    return Diagnosis(
        "fork",
        Ability.LIMITED,
        f"On {system} each process imports torch anew, and two revisions cannot be compared.",
        "Raise --max-time for runs; use Linux for stepbench regression.",
    )


def accelerators(facts: TorchFacts) -> Diagnosis:
    """Diagnoses the devices other than the CPU."""
    models = [model for name, model in facts.devices.items() if name != "cpu"]
    if models:
        return Diagnosis("GPU", Ability.OK, f"torch can use {', '.join(models)}.")
    if kind_of("cuda").seems_present() and facts.no_cuda_reason is not None:
        return Diagnosis(
            "GPU",
            Ability.LIMITED,
            f"There is an NVIDIA GPU, but {facts.no_cuda_reason}.",
            "Install a build of torch for CUDA: https://pytorch.org/get-started/locally",
        )
    return Diagnosis(
        "GPU",
        Ability.MISSING,
        "torch finds no accelerator: cases run on the CPU.",
        "If there is a GPU, install its driver and a build of torch for it.",
    )


def nvml(facts: TorchFacts) -> Diagnosis:
    """Diagnoses NVML, from which the clock and throttling of NVIDIA's GPUs are read."""
    if facts.driver is not None:
        return Diagnosis(
            "NVML",
            Ability.OK,
            f"Clocks and throttling of NVIDIA GPUs can be read (driver {facts.driver}).",
        )
    if "cuda" in facts.devices:
        return Diagnosis(
            "NVML",
            Ability.LIMITED,
            "The GPU's clock and throttling cannot be read: a hot GPU is not noticed.",
            "In a container, allow NVML: NVIDIA_DRIVER_CAPABILITIES=compute,utility.",
        )
    return Diagnosis(
        "NVML", Ability.MISSING, "There is no NVIDIA driver: clocks of a GPU are not read."
    )

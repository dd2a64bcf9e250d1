"""Asks torch about the machine; runs in a child process."""

from collections.abc import Callable
from dataclasses import dataclass, field

from stepbench.devices import kinds


@dataclass(frozen=True)
class TorchFacts:
    """The devices of this machine, as torch lists them.

    Attributes:
        version: The release of torch.
        devices: The model names of the devices that torch can use, by kind.
        no_cuda_reason: The reason if this torch cannot use an NVIDIA GPU, even if there is one.
        driver: The version of NVIDIA's driver, from NVML; `None` if NVML cannot be used.
    """

    version: str
    devices: dict[str, str] = field(default_factory=dict)
    no_cuda_reason: str | None = None
    driver: str | None = None


def probe(report: Callable[[str], None]) -> TorchFacts:
    """Imports torch, and lists the devices that it can use."""
    report("importing torch")
    import torch  # noqa: PLC0415  # in the child only

    return TorchFacts(
        version=torch.__version__,
        devices=kinds.present(),
        no_cuda_reason=kinds.kind_of("cuda").absence_reason(),
        driver=_driver_version(),
    )


def _driver_version() -> str | None:
    import pynvml  # noqa: PLC0415  # of use where there is an NVIDIA GPU

    try:
        pynvml.nvmlInit()
        version = pynvml.nvmlSystemGetDriverVersion()
    except pynvml.NVMLError:
        return None
    return version.decode() if isinstance(version, bytes) else str(version)

"""The table of device kinds, and the devices of this machine.

The parent may use only `listed_without_torch` and `kind_of`: a query to torch can initialize a
device's runtime, which a forked child could then not use.
"""

from stepbench.devices.accelerator import Accelerator
from stepbench.devices.cpu import CPU
from stepbench.devices.cuda import CUDA
from stepbench.devices.kind import DeviceKind
from stepbench.devices.mps import MPS
from stepbench.devices.xpu import XPU
from stepbench.errors import UsageError

_KINDS: tuple[DeviceKind, ...] = (CPU(), CUDA("cuda"), MPS("mps"), XPU("xpu"))
KINDS = {kind.name: kind for kind in _KINDS}
"""The kinds that have a separate file, by device type in torch."""


def kind_of(device: str) -> DeviceKind:
    """The kind of a device: one of `KINDS`, or else a generic `Accelerator`.

    Args:
        device: The device's name in torch, with or without an index.
    """
    name = device.partition(":")[0]
    return KINDS.get(name) or Accelerator(name)


def listed_without_torch() -> tuple[str, ...]:
    """The kinds that this machine seems to have, found without importing torch."""
    return tuple(name for name, kind in KINDS.items() if kind.seems_present())


def present() -> dict[str, str]:
    """The kinds of devices that torch can use, with their model names."""
    import torch  # noqa: PLC0415  # the parent imports this module, but never torch

    kinds: list[DeviceKind] = [KINDS["cpu"]]
    if torch.accelerator.is_available():
        accelerator = torch.accelerator.current_accelerator()
        if accelerator is not None:
            kinds.append(kind_of(accelerator.type))
    return {kind.name: kind.model_name() for kind in kinds}


def check(device: str) -> None:
    """Refuses a device that does not exist.

    Raises:
        UsageError: There is no such device; the message names those that exist.
    """
    devices = present()
    name, _, index = device.partition(":")
    kind = kind_of(device)
    if name not in devices:
        reason = kind.absence_reason()
        remedy = f"choose from {', '.join(devices)}" + (f"; {reason}" if reason else "")
        raise UsageError(f"--device {device}: this machine has no such device; {remedy}")
    count = kind.count()
    if index and int(index) >= count:
        choices = f"{name}:0 to {name}:{count - 1}" if count > 1 else f"{name}:0"
        raise UsageError(
            f"--device {device}: this machine has no such device; choose from {choices}"
        )


def select(device: str) -> None:
    """Makes a device the current one of its kind, for code that names no device."""
    index = device.partition(":")[2]
    if index:
        kind_of(device).select(int(index))

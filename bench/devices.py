"""Which devices there are, and whether a case can run on one.

Only `listed_without_torch` may be used by the parent: asking torch can start a device's runtime,
which a forked child could then not use.
"""

import platform
import shutil
import subprocess

from bench.errors import UnsupportedError, UsageError


def listed_without_torch() -> tuple[str, ...]:
    """The devices that this machine seems to have, found without importing torch."""
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return ("cpu", "mps")
    tool = shutil.which("nvidia-smi")
    if tool is not None:
        listing = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False)
        if listing.returncode == 0 and "GPU" in listing.stdout:
            return ("cpu", "cuda")
    return ("cpu",)


def present() -> dict[str, str]:
    """The devices that torch can use, with their names."""
    import torch  # noqa: PLC0415  # the parent imports this module, and never torch

    from bench import host  # noqa: PLC0415

    found = {"cpu": host.cpu_name()}
    if torch.accelerator.is_available():
        accelerator = torch.accelerator.current_accelerator()
        if accelerator is not None:
            module = torch.get_device_module(accelerator)
            named = getattr(module, "get_device_name", None)
            found[accelerator.type] = named() if named else accelerator.type.upper()
    return found


def check(device: str) -> None:
    """Refuses a device that is not there.

    Raises:
        UsageError: With those that are.
    """
    import torch  # noqa: PLC0415

    there = present()
    kind, _, index = device.partition(":")
    if kind not in there:
        remedy = f"there is {', '.join(there)}"
        if kind == "cuda" and torch.version.cuda is None:
            remedy += "; the installed torch is built without CUDA"
        raise UsageError(f"--device {device}: this machine has no such device; {remedy}")
    count = 1 if kind == "cpu" else torch.accelerator.device_count()
    if index and int(index) >= count:
        raise UsageError(
            f"--device {device}: there are {count} of the kind, counted from 0; "
            f"give {kind}:{count - 1} or less"
        )


def check_precision(precision: str, device: str) -> None:
    """Refuses a precision that a device does not have.

    Raises:
        UnsupportedError: With the reason.
    """
    import torch  # noqa: PLC0415

    kind = device.partition(":")[0]
    if precision == "tf32" and not (
        kind == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    ):
        raise UnsupportedError(
            "precision", f"{device} has no TF32: that needs an NVIDIA GPU of compute capability 8.0"
        )
    if (
        precision == "bf16"
        and kind == "cuda"
        and not torch.cuda.is_bf16_supported(including_emulation=False)
    ):
        raise UnsupportedError(
            "precision", f"{device} has no bfloat16 of its own; use --precision fp16"
        )


def select(device: str) -> None:
    """Makes a device the current one of its kind, for what asks for no device by name."""
    import torch  # noqa: PLC0415

    kind, _, index = device.partition(":")
    if kind != "cpu" and index:
        torch.accelerator.set_device_index(int(index))

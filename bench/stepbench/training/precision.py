"""Precisions: what each sets, and how a step is run in it.

`fp32` means just that: matrix products in full precision, which torch does not promise by default
on every device.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch.amp import GradScaler

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def apply(precision: str) -> None:
    """Sets how this process computes matrix products and convolutions in 32 bits."""
    tf32 = precision == "tf32"
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32


def autocast(precision: str, device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    """Makes the context of a forward pass."""
    if precision not in _AUTOCAST:
        return nullcontext
    return partial(torch.autocast, device.type, dtype=_AUTOCAST[precision])


def scaler(precision: str, device: torch.device) -> GradScaler | None:
    """The gradient scaler that fp16 needs, since its small gradients become 0."""
    return GradScaler(device.type) if precision == "fp16" else None

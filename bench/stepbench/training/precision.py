"""Sets the precision of this process and of a step.

`fp32` computes matrix products in full precision, which torch does not guarantee by default on
every device.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch.amp import GradScaler

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def apply(precision: str) -> None:
    """Sets the precision of this process's float32 matrix products and convolutions."""
    tf32 = precision == "tf32"
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32


def autocast(precision: str, device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    """Returns a function that makes the context of a forward pass."""
    if precision not in _AUTOCAST:
        return nullcontext
    return partial(torch.autocast, device.type, dtype=_AUTOCAST[precision])


def scaler(precision: str, device: torch.device) -> GradScaler | None:
    """Makes the gradient scaler for fp16, in which small gradients underflow to 0."""
    return GradScaler(device.type) if precision == "fp16" else None

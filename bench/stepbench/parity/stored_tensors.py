"""Tensors in files: written and read without pickled objects, so that a file cannot run code."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stepbench.parity.trajectory import TensorPlace
from stepbench_reports.schema.parity import TensorKind


def save_state(file: Path, state: Mapping[str, Any]) -> None:
    """Writes a model's state."""
    torch.save(dict(state), file)


def load_state(file: Path, device: torch.device | None = None) -> dict[str, Tensor]:
    """Reads a model's state.

    Args:
        file: The file.
        device: The device of the tensors; `None` for the one that they were saved from.

    Raises:
        ValueError: The file holds other objects than tensors and Python's own types.
        RuntimeError: The file is damaged.
    """
    state: dict[str, Tensor] = _load(file, device)
    return state


def save_step(file: Path, tensors: Mapping[TensorPlace, Tensor]) -> None:
    """Writes the tensors of a step of a trajectory."""
    rows = [(place.step, place.kind.value, place.name, tensor) for place, tensor in tensors.items()]
    torch.save(rows, file)


def load_step(file: Path) -> dict[TensorPlace, Tensor]:
    """Reads the tensors of a step of a trajectory.

    Raises:
        ValueError: The file holds other objects than tensors and Python's own types.
        RuntimeError: The file is damaged.
    """
    return {
        TensorPlace(step, TensorKind(kind), name): tensor
        for step, kind, name, tensor in _load(file)
    }


def _load(file: Path, device: torch.device | None = None) -> Any:  # noqa: ANN401  # of any shape
    try:
        return torch.load(file, map_location=device, weights_only=True)  # noqa: TID251  # no objects
    except (OSError, RuntimeError):
        raise
    except Exception as error:
        raise ValueError(f"it holds other objects than tensors ({error})") from error

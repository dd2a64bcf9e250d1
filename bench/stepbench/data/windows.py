"""Windows of a long row of tokens, as a data set."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset


class Windows(Dataset[tuple[Tensor, Tensor]]):
    """Windows that lie side by side: tokens (T,), and for each the one that comes next (T,).

    Args:
        tokens: The row; it may be mapped from a file, of which only what is asked for is read.
        length: T.
    """

    def __init__(self, tokens: NDArray[Any], length: int) -> None:
        self._tokens = tokens
        self._length = length

    def __len__(self) -> int:
        """Counts the windows."""
        return max(0, (len(self._tokens) - 1) // self._length)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """A window and what follows each of its tokens."""
        begin = index * self._length
        window = self._tokens[begin : begin + self._length + 1].astype(np.int64)
        return torch.from_numpy(window[:-1]), torch.from_numpy(window[1:])

"""A data set of windows of a long sequence of tokens."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset


class Windows(Dataset[tuple[Tensor, Tensor]]):
    """Adjacent windows: tokens (T,), and for each token the next token (T,), int64.

    Args:
        tokens: The sequence (N,); if it is mapped from a file, only the windows used are read.
        length: The number of tokens in a window, T.
    """

    def __init__(self, tokens: NDArray[Any], length: int) -> None:
        self._tokens = tokens
        self._length = length

    def __len__(self) -> int:
        """The number of windows."""
        return max(0, (len(self._tokens) - 1) // self._length)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """The tokens of a window, and the next token of each."""
        begin = index * self._length
        window = self._tokens[begin : begin + self._length + 1].astype(np.int64)
        return torch.from_numpy(window[:-1]), torch.from_numpy(window[1:])

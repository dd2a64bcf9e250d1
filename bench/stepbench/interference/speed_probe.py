"""A probe of the machine's speed: fixed work that takes some 2 ms, whatever case is measured."""

import time

import numpy as np

_SIZE, _PRODUCTS = 64, 4
"""Matrix products that stay in a core's cache; of whole numbers, so that no thread is started."""
_SWEEP_BYTES, _SWEEPS = 4 << 20, 8
"""Sweeps through memory that does not fit into most cores' own caches."""


class SpeedProbe:
    """Times small matrix products and sweeps through memory, on one core.

    The work is the same every time, so its duration tells how fast the machine is at the moment.
    """

    def __init__(self) -> None:
        self._matrix = np.arange(_SIZE * _SIZE, dtype=np.int32).reshape(_SIZE, _SIZE)
        self._product = np.empty_like(self._matrix)
        self._memory = np.ones(_SWEEP_BYTES // 4, dtype=np.float32)

    def elapsed_s(self) -> float:
        """Does the work, and returns its duration, seconds."""
        began_s = time.perf_counter()
        for _ in range(_PRODUCTS):
            np.matmul(self._matrix, self._matrix, out=self._product)
        for _ in range(_SWEEPS):
            self._memory.max()
        return time.perf_counter() - began_s

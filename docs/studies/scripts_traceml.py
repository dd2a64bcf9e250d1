"""Measures the cost of TraceML's `trace_step` on a plain loop; `scripts.py` starts this file.

`traceml run` passes the mode, the batch size, and the file for the result.
"""

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import torch
import traceml_ai as traceml
from scripts import overhead, plain_step
from scripts_styles import net
from torch import nn


class TracedLoop:
    """A plain loop whose steps are traced or not.

    Args:
        trace_step: Makes the context of a traced step from the model.
        batch_size: The samples in a step.
    """

    def __init__(
        self,
        trace_step: Callable[[nn.Module], AbstractContextManager[None]],
        batch_size: int,
    ) -> None:
        self._trace_step = trace_step
        self._model = net()
        self._plain = plain_step(self._model, batch_size)
        self._traced = False

    def trace(self) -> None:
        """Has steps be traced from now on."""
        self._traced = True

    def do_not_trace(self) -> None:
        """Has steps not be traced from now on."""
        self._traced = False

    def step(self) -> None:
        """Takes a step."""
        if not self._traced:
            self._plain()
            return
        with self._trace_step(self._model):
            self._plain()


def main(mode: str, batch_size: int, result: Path) -> None:
    """Measures the cost, and writes it."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    traceml.init(mode=mode)
    loop = TracedLoop(traceml.trace_step, batch_size)
    result.write_text(json.dumps(overhead(loop.trace, loop.do_not_trace, loop.step)[1]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))

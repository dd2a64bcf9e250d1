"""Queues work on a GPU in one phase and none in the next; prints the laps of both clocks."""

import json

import torch

from stepbench.devices.kinds import kind_of
from stepbench.measurement.laps import LapTimer
from stepbench_reports.schema.phases import Phase


def main() -> None:
    """Prints seconds by clock and phase, summed over all steps."""
    clock = kind_of("cuda").clock("cuda")
    matrix = torch.randn(4096, 4096, device="cuda")
    matrix @ matrix
    clock.synchronize()
    timer = LapTimer(clock)
    timer.begin()
    for _ in range(5):
        for _ in range(10):
            matrix @ matrix
        timer.lap(Phase.FORWARD)
        timer.lap(Phase.BACKWARD)  # no work was queued in this phase
        timer.end_step()
    laps = timer.read()
    if laps.device is None:
        raise RuntimeError("the GPU's clock timed no laps")
    by_clock = {"host": laps.host, "device": laps.device}
    sums = {
        clock_name: {phase: float(seconds.sum()) for phase, seconds in phases.items()}
        for clock_name, phases in by_clock.items()
    }
    print(json.dumps(sums))


if __name__ == "__main__":
    main()

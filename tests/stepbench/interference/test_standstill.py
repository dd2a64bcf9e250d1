import os
import signal
import subprocess
import sys
import time

import pytest

from stepbench.interference.standstill import (
    MIN_STANDSTILL_S,
    TICK_S,
    Moment,
    StandstillWatch,
    standstill_s,
)

ASLEEP = Moment(now_s=50.0, run_delay_s=3.0, major_faults=9)


@pytest.mark.parametrize(
    ("awake", "expected"),
    [
        pytest.param(Moment(50.0 + TICK_S, 3.0, 9), 0.0, id="in-time"),
        pytest.param(Moment(50.06, 3.0, 9), 0.0, id="woken-early"),
        pytest.param(Moment(52.0 + TICK_S, 3.0, 9), 2.0, id="migrated"),
        pytest.param(Moment(52.0 + TICK_S, 5.0, 9), 0.0, id="waited-for-a-core"),
        pytest.param(Moment(52.0 + TICK_S, 3.5, 9), 1.5, id="waited-for-a-core-in-part"),
        pytest.param(Moment(52.0 + TICK_S, 3.0, 10), 0.0, id="waited-for-memory"),
    ],
)
def test_a_sleep_that_was_too_long_for_no_reason_is_a_standstill(
    awake: Moment, expected: float
) -> None:
    assert standstill_s(ASLEEP, awake) == pytest.approx(expected)


def test_a_process_that_waits_does_not_stand_still() -> None:
    with StandstillWatch() as watch:
        time.sleep(3 * TICK_S)
    assert not watch.stood_still


FROZEN = """
import sys
from stepbench.interference.standstill import StandstillWatch
with StandstillWatch() as watch:
    print("begun", flush=True)
    sys.stdin.readline()
print(watch.stood_still)
"""


def test_a_process_that_is_frozen_with_all_others_notices_it() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FROZEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(MIN_STANDSTILL_S + 3 * TICK_S)
        os.kill(process.pid, signal.SIGCONT)
        output, _ = process.communicate("\n")
    assert output == "True\n"

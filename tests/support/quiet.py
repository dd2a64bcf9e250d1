"""Turns off the detection of interference in a process.

Blocks with interference are measured again, several times if need be. Other tests on the machine
would thus change how long a run takes, and what it does. The tests of `interference` test the
detection itself.
"""

from stepbench.interference import watch

watch.MAX_OTHERS = watch.MAX_STEAL = 1.0

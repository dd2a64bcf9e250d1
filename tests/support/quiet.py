"""Has a process take the machine for quiet, whatever other tests do on it meanwhile.

What is disturbed is measured again, several times over, so that a run would take longer, and go
another way, by what else the machine does. The tests of `interference` look at the watch itself.
"""

from stepbench.interference import watch

watch.MOST_OTHERS = watch.MOST_STEAL = 1.0

"""Axes, cases, matrices, options, and the requests sent to child processes.

The path of a setting such as `num_workers`: `axes` parses it, `matrix` combines it with others
into cases, `case` stores it, `options` puts the case into a request, and a child process applies it
in `training/`. The run directory stores the case under the same names.

Belongs here: descriptions of the work, but not the work itself. Torch is never imported here.
"""

"""Axes, cases, matrices, options, and the requests sent to child processes.

The way of a setting such as `num_workers`: `axes` reads it, `matrix` spans cases with it, `case`
carries it, `options` puts the case into a request, and a child in `training/` uses it. The run
directory keeps the case by the same names.

Enters: descriptions of the work, which do none of it. Torch is never imported here.
"""

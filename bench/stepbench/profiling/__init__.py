"""`--profile`: breaks each phase down by operator, and writes what TensorBoard shows.

Belongs here: what a case's profiling process does. Profiling follows the case's measurement, so
nothing that is timed is profiled.
"""

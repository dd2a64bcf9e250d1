"""`--profile`: where the time goes within a phase, and all that TensorBoard shows.

Enters: what a case's profiling process does, after the case was measured, so that nothing that is
timed is profiled.
"""

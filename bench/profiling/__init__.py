"""`--profile`: where the time goes within a phase, and all that TensorBoard shows.

Each case has a process of its own for it, after it was measured, so that nothing that is timed is
profiled. `job` is what that process does; `parent` asks it, and keeps what it found.
"""

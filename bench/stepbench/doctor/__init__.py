"""`stepbench doctor`: checks what this machine can measure, and what to do about the rest.

Belongs here: a small function for each check, which returns a `Diagnosis`. Torch is imported in a
child process only.
"""

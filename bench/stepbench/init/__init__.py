"""`stepbench init`: writes a workload file for a model or a training script, and tries it.

Belongs here: what reads a script without running it, and what writes the workload file. Torch is
imported in the child process that tries the file, and only there.
"""

"""The run directory: its files, its lock, and resuming a run in it.

Belongs here: code that writes and reads the records of a run. Files are written whole or not at
all.
"""

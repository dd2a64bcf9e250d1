"""The run directory: its files, written whole or not at all, its lock, resuming it.

Enters: the records that a run keeps, and the code that writes and reads them.
"""

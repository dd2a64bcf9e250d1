"""Reads a run directory, or pytest-benchmark's JSON, into records and tidy frames.

Belongs here: code that turns files into figures. Unusable data is refused here.
"""

"""Reads a run directory, or pytest-benchmark's JSON, into records and tidy frames.

Enters: what turns files into figures; nothing that cannot be used gets past here.
"""

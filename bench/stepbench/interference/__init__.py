"""Interference: other work on the machine while something is timed.

Enters: what tells others' work from the case's own.
"""

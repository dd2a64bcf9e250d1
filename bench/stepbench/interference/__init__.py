"""Interference: other work on the machine while something is timed.

Belongs here: code that separates the work of other processes from the work of the case.
"""

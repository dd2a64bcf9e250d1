"""Compares a run with others, and a run's cases with each other, for `stepbench compare`.

Belongs here: comparisons that an option requests.
"""

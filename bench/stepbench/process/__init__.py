"""Child processes: fork server, spawn server, deadlines, and what became of a child.

Enters: what starts, follows and ends processes. It runs jobs that it is given and knows no
measurement.
"""

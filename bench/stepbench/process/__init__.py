"""Child processes: fork server, spawn server, deadlines and the outcomes of children.

Belongs here: what starts, supervises and ends processes. This package runs jobs, and does not know
what they measure.
"""

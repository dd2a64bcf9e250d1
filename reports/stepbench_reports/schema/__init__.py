"""The format as code: records, phases and statuses that lie in a run's and a check's directory.

Enters: what both the measuring and the reading side must agree on.
"""

"""The file format as code: the records, phases and statuses of run and check directories.

Belongs here: definitions that the code that measures and the code that reads must share.
"""

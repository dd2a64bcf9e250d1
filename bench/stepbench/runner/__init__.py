"""A run from options to reports: prepare, measure, judge, profile, resume, progress.

Belongs here: the parent's side of a run. It never imports torch and never touches a device.
"""

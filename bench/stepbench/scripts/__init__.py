"""Somebody's own training script: runs it unedited, recognises its steps, and times their phases.

What knows scripts enters here. The parent's side imports no torch; `worker` runs in a script's
process, and between the two go the requests and records of this room.
"""

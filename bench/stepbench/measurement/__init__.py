"""Measures one case in a child process: laps, warm-up, sampling, memory, operations, peaks.

Belongs here: code that times or counts a case's steps. It imports torch.
"""

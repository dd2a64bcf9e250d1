"""Measures one case in its own process: laps, warm-up, sampling, memory, operations, peaks.

Enters: what times or counts a case's steps. Runs in children, and imports torch.
"""

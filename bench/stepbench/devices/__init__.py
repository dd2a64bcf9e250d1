"""The kinds of devices: a file for each, and their common protocol (`kind.py`).

Belongs here: all that differs between CPU, CUDA, MPS and XPU. Torch is imported inside functions.
"""

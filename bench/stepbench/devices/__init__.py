"""The kinds of devices, a file each behind one protocol (`kind.py`).

Enters: whatever differs between CPU, CUDA, MPS and XPU. Torch is imported inside functions.
"""

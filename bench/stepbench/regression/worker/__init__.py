"""The work of a side of the gate, in its own process.

Enters: code that runs in children of the gate, and imports torch.
"""

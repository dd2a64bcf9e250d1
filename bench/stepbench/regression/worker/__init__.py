"""The code that a side of the gate runs in a child process.

Belongs here: code that runs in children of the gate, and imports torch.
"""

"""Parity, the check that training is still the same.

Reference, tolerance, verdict, training parity, checkpoint.

Enters: what compares what a case computes with what it should. Runs in children, and imports torch.
"""

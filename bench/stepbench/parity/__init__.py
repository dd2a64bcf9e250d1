"""Parity: checks that a case still computes the same training as eager execution.

Reference, tolerance, verdict, training parity, checkpoint.

Belongs here: code that compares a case's tensors with a reference. Runs in children; imports torch.
"""

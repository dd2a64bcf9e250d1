"""Workloads: the public `Workload`, and how one is found by name or place.

Enters: what describes or finds a workload. Torch is imported for types, or inside functions.
"""

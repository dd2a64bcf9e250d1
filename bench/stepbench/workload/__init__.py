"""Workloads: the public class `Workload`, and the functions that find a workload by name or path.

Belongs here: code that describes or finds a workload. Torch is imported only for types or inside
functions.
"""

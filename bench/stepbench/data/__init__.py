"""The data that shipped workloads train on: sources by name, readers, synthetic data, the cache.

Enters: what makes or reads a data set. Torch is imported inside functions, or in `reading` and
`windows`, which only functions import.
"""

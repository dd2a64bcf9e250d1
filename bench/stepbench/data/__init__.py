"""The data sets of the built-in workloads: sources by name, readers, synthetic data, the cache.

Belongs here: code that makes or reads a data set. Torch is imported inside functions, or in
`reading` and `token_windows`, which only functions import.
"""

"""The code that uses pytest: the plugin, the benchmarks, and the replay into pytest-benchmark.

Belongs here: code that needs pytest. The plugin never registers itself, so a user's test suite
does not load the plugin.
"""

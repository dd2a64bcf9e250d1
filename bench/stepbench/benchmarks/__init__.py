"""All that knows pytest: the plugin, the benchmarks, and the replay of laps into pytest-benchmark.

Enters: code that needs pytest. The plugin never registers itself, so that a user's own test suite
does not load it.
"""

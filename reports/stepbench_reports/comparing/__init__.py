"""A run beside others, and its cases side by side: what `stepbench compare` prints.

Enters: comparisons that are asked for by an option.
"""

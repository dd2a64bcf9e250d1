"""Pure functions of figures: statistics, comparisons, bottlenecks, operators.

Enters: what computes, and neither reads files nor writes words.
"""

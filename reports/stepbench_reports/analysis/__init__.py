"""Pure functions of figures: statistics, comparisons, bottlenecks, operators.

Belongs here: computations that neither read files nor produce text.
"""

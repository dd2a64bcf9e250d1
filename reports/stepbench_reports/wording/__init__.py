"""Turns figures into text: rounded numbers, names of cases, the headline, caveats.

Belongs here: text that the terminal, Markdown and HTML reports share, independent of layout.
"""

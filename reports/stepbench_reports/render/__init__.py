"""Renders a report for the terminal, as Markdown and as HTML, and writes the files.

Belongs here: the layout of texts from `sections` and `wording`.
"""

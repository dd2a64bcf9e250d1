"""Draws a report: terminal, Markdown, HTML with its template; writes the files.

Enters: what lays out what sections and wording say.
"""

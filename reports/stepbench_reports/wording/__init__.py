"""Judgements in words: numbers with the digits they bear, names of cases, headline, caveats.

Enters: what puts figures into words, apart from how these are drawn.
"""

"""Builders and fakes that several tests build upon."""

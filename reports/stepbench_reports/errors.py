"""The error that ends a report."""


class ReportError(Exception):
    """A run cannot be reported on; the message names what is wrong and the remedy."""

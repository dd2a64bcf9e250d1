"""What a report can fail with."""


class ReportError(Exception):
    """A run cannot be reported on; the message names what is wrong and the remedy."""

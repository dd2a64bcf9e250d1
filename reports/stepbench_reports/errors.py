"""The error of `stepbench_reports`."""


class ReportError(Exception):
    """Raised if a run cannot be reported on; the message names the fault and the remedy."""

"""The environment variables from which torch reads the settings of a device's allocator."""

import os
from collections.abc import Mapping

from stepbench_reports.schema.run import Settings

_READ = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
"""The variables that releases of torch read: before 2.9 the second, since then either, of which
some releases prefer the first and some the second."""
VARIABLES = (*_READ, "PYTORCH_HIP_ALLOC_CONF")
"""All variables that set the allocator; the last one counts only if the second is not set."""


def allocator_environment(settings: Settings) -> dict[str, str]:
    """The variables that set the allocator as requested, whatever the user's variables say.

    torch reads the allocator's backend while it is imported, and the rest at the allocator's first
    use. The variables must therefore be set before the import. Every name has the same value, so
    that the release of torch need not be known.
    """
    return {} if settings.allocator is None else dict.fromkeys(_READ, settings.allocator)


def users_allocator_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that set the allocator in the user's environment."""
    return {name: environment[name] for name in VARIABLES if name in environment}

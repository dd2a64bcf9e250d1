"""Packages that fork servers import in advance, as long as children can then still use devices."""

from collections.abc import Callable, Iterable


class Extras:
    """Packages that fork servers import in advance, besides the modules that children need.

    A package that initializes a device when it is imported is left out: processes that are forked
    afterwards cannot use the device. All servers of a check share one object, so that a package is
    found once.

    Args:
        names: The packages and their submodules.
        report: Called with a sentence for the user when a package is left out.
    """

    def __init__(
        self, names: Iterable[str] = (), report: Callable[[str], None] = lambda _: None
    ) -> None:
        self._names = set(names)
        self._left_out: set[str] = set()
        self._report = report

    @property
    def names(self) -> tuple[str, ...]:
        """The modules to import, those of a package one after the other."""
        return tuple(sorted(n for n in self._names if package_of(n) not in self._left_out))

    def add(self, names: Iterable[str]) -> None:
        """Adds packages and submodules, except those of packages that were left out."""
        self._names |= set(names)

    def leave_out(self, package: str, device: str) -> None:
        """Leaves out a package that initializes a kind of device when it is imported."""
        if package in self._left_out:  # found by a server that started at the same time
            return
        self._left_out.add(package)
        self._report(
            f"{package} initializes {device} when it is imported, and a process forked afterwards "
            f"cannot use {device}. So {package} is imported in each process anew, which takes time "
            f"and increases the spread. If {package} is yours, initialize {device} in a function"
        )


def package_of(module: str) -> str:
    """The top-level package of a module."""
    return module.partition(".")[0]

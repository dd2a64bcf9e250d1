"""Calls a function once a module has been imported, by whomever: so hooks need no import of torch.

A script sets environment variables before it imports torch, and finds no torch in `sys.modules`
that it did not import.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class AfterImport(MetaPathFinder):
    """A finder that lets the others find a module, and calls a function after its import.

    Args:
        name: The module's name.
        call: Called once the module has run; the finder is gone by then.
    """

    def __init__(self, name: str, call: Callable[[], None]) -> None:
        self._name = name
        self._call = call

    def install(self) -> None:
        """Puts this finder before all others."""
        sys.meta_path.insert(0, self)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Finds the module as the other finders do; see `MetaPathFinder`."""
        if fullname != self._name:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None
            if finder is not self and find is not None:
                spec = find(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _CallingLoader(spec.loader, self)
                return spec
        return None

    def ran(self) -> None:
        """Takes this finder away, and calls the function."""
        sys.meta_path.remove(self)
        self._call()


class _CallingLoader(Loader):
    """Loads a module as another loader does, and then tells the finder."""

    def __init__(self, loader: Any, finder: AfterImport) -> None:  # noqa: ANN401
        self._loader = loader
        self._finder = finder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._finder.ran()

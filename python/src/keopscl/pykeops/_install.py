# SPDX-License-Identifier: MIT
"""Imports of pykeops.X find keopscl.pykeops.X, or else keopscl.X."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from types import ModuleType
from typing import Any, Optional, Sequence


class Alias(importlib.abc.Loader):
    """Gives a module that is loaded under its own name, and leaves it as it is."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.kept: Any = None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = importlib.import_module(self.target)
        self.kept = module.__spec__, module.__loader__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__, module.__loader__ = self.kept


class Finder(importlib.abc.MetaPathFinder):
    """Finds pykeops and what is below it."""

    def find_spec(
        self, fullname: str, path: Optional[Sequence[str]] = None, target: Optional[ModuleType] = None
    ) -> Optional[importlib.machinery.ModuleSpec]:
        if fullname != "pykeops" and not fullname.startswith("pykeops."):
            return None
        rest = fullname[len("pykeops") :]
        for name in ("keopscl.pykeops" + rest, "keopscl" + rest):
            try:
                found = importlib.util.find_spec(name)
            except ModuleNotFoundError:
                continue
            if found is not None:
                return importlib.machinery.ModuleSpec(fullname, Alias(name), is_package=True)
        return None


FINDER = Finder()


def install_as_pykeops() -> None:
    """Makes `import pykeops`, from now on and in this process, find keopscl under the names of pykeops 2.3.

    Raises ImportError where pykeops itself has been imported already.
    """
    known = sys.modules.get("pykeops")
    if known is not None and getattr(known, "__name__", "") != "keopscl.pykeops":
        raise ImportError("install_as_pykeops: pykeops itself is imported already; call this before")
    if FINDER not in sys.meta_path:
        sys.meta_path.insert(0, FINDER)

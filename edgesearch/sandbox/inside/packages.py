"""Finds the few packages that may be imported beside the standard library, each by its own folder.

The folder that they are installed in is not on the path, so that nothing else there is found, whatever the sandbox.
"""

import os
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from types import ModuleType


class PackageFinder:
    """For `sys.meta_path`."""

    def __init__(self, folders: Mapping[str, str]) -> None:
        """Takes the folder of each package, by its name."""
        self._folders = folders

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where a package is; None for all others, and for what is within it, which Python finds by itself."""
        del target
        folder = self._folders.get(fullname)
        if folder is None or path is not None:
            return None
        start = os.path.join(folder, "__init__.py")
        return spec_from_file_location(fullname, start, submodule_search_locations=[folder])

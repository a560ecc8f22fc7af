"""Importing the user's module."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType


def import_module(name: str, python_path: Sequence[str]) -> ModuleType:
    """Import `name`, with `python_path` searched first. Raises what the module raises.

    When there is no such module the ModuleNotFoundError says where it was searched; a module that calls sys.exit()
    gives an ImportError.
    """
    # The host's paths are bytes: this Python's own names for them may be others, as the locale wants it.
    sys.path[:0] = [os.fsdecode(entry.encode(errors="surrogateescape")) for entry in python_path]
    if not all(part.isidentifier() for part in name.split(".")):
        raise ModuleNotFoundError(f"{name!r} is not the name of a module: give it as in an import statement", name=name)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise  # something that the module imports is missing
        searched = ", ".join(entry or "." for entry in sys.path)
        raise ModuleNotFoundError(f"no module named {error.name!r}; searched: {searched}", name=error.name) from None
    except SystemExit as error:
        text = f"module {name!r} called sys.exit({error.code!r}) while it was imported"
        raise ImportError(text, name=name) from error

"""What a forked worker must not share with the others."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[[], Any])

_hooks: list[Callable[[], Any]] = []


def after_fork(function: F) -> F:
    """Have a function called in each worker that was forked after the import of its module, before any setup().

    For what the module made while it was imported and processes cannot share: connections, random generators, open
    files. Called without arguments, in the order of registration, once in each worker; never when workers are spawned,
    since then each imports the module for itself. What it raises ends the worker's start.
    """
    if not callable(function):
        raise TypeError(f"@snakepit.after_fork goes on functions, not on {function!r}")
    _hooks.append(function)
    return function


def begin_anew() -> None:
    """Make this process another one than its siblings, then run the hooks."""
    # Python's own generator seeds itself at a fork; numpy's global one does not.
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    for hook in _hooks:
        hook()

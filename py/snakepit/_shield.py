"""Functions that tools call, in threads where Cancelled may come between any two instructions: not into these."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)


class _Here(threading.local):
    shield: AbstractContextManager[Any] | None = None  # of the class: what is missing takes long to be found missing


_here = _Here()


def use_here(shield: AbstractContextManager[Any]) -> None:
    """From now on this thread needs it. Where nobody has said so, shielded functions are as any other."""
    _here.shield = shield


def shielded(function: F) -> F:
    """A function that Cancelled does not come into. It is raised when the function has ended."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        shield = _here.shield
        if shield is None:
            return function(*args, **kwargs)
        with shield:
            return function(*args, **kwargs)

    return cast("F", run)


def shielded_methods(cls: C) -> C:
    """Shield all methods of a class that others call."""
    for name, method in list(vars(cls).items()):
        is_private = name.startswith("_") and not name.endswith("__")
        if inspect.isfunction(method) and not is_private:
            setattr(cls, name, shielded(method))
    return cls

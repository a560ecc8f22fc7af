"""The end of a worker process, which nothing may hold up."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

_last_of_all: list[Callable[[], None]] = []


def at_last(function: Callable[[], None]) -> None:
    """Have it called before leave() ends the process. It must not take long; in processes that are forked it is not."""
    _last_of_all.append(function)
    os.register_at_fork(after_in_child=_last_of_all.clear)


def leave(code: int, last_words: str | BaseException = "") -> NoReturn:
    """End at once, whatever threads the user's code has running, and whatever has become of stdout and stderr.

    last_words: what stderr shall hear: why, or the exception whose traceback says so.
    """
    try:
        with suppress(BaseException):
            if isinstance(last_words, BaseException):
                traceback.print_exception(type(last_words), last_words, last_words.__traceback__)
            elif last_words:
                print(f"snakepit worker: {last_words}", file=sys.stderr)
        for name in ("stdout", "stderr"):
            with suppress(BaseException):  # closed by the user's code, or nobody reads it
                getattr(sys, name).flush()
        for function in _last_of_all:
            with suppress(BaseException):
                function()
    finally:
        os._exit(code)

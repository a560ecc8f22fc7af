"""The end of a worker process, which nothing may hold up."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from typing import NoReturn


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
    finally:
        os._exit(code)

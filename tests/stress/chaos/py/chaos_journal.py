"""Where the chaos run's tools note that they have begun, and that they are done."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator


@functools.cache
def _journal() -> int:
    """All workers append to one file. Not opened by the import: each worker has a descriptor of its own."""
    return os.open(os.environ["SNAKEPIT_CHAOS_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)


@contextlib.contextmanager
def noted(call: int) -> Iterator[None]:
    os.write(_journal(), b"begun %d\n" % call)
    yield
    os.write(_journal(), b"done %d\n" % call)

"""Where the chaos run's tools note that they have begun, that they are done, and that they have been left."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

_opening = threading.Lock()
_opened: list[int] = []


def _journal() -> int:
    """All workers append to one file. Not opened by the import: each worker has a descriptor of its own."""
    if not _opened:
        with _opening:
            if not _opened:
                journal = os.open(os.environ["SNAKEPIT_CHAOS_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
                os.write(journal, b"born %d\n" % os.getpid())
                _opened.append(journal)
    return _opened[0]


@contextlib.contextmanager
def noted(*calls: int) -> Iterator[None]:
    """One run of a tool, for one call or for a batch. It has been left however it ends."""
    journal = _journal()
    who = b"%d %s\n" % (os.getpid(), b" ".join(b"%d" % call for call in calls))
    begun, done, left = b"begun " + who, b"done " + who, b"left " + who
    try:
        os.write(journal, begun)
        yield
        os.write(journal, done)
    finally:
        os.write(journal, left)

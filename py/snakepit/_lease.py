"""What the host has lent to a call: variables of its session that nobody else has changed, until it takes that back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from threading import get_ident
from typing import Optional

from snakepit._page import REVOKED, REVOKED_WORDS
from snakepit.v1 import work_pb2

Known = tuple[bytes, Optional[int]]
"""Value and version of a variable. Version 0: there is none; None: the host knows it."""

_LONGEST_NAME = 64
_MOST_BYTES = 16 * 1024  # that are written without waiting
_MOST_CHANGES = 64


class Lease:
    """One call's. For the thread that has made it; others ask the host."""

    __slots__ = (
        "_call_id",
        "_index",
        "_is_good",
        "_largest",
        "_room",
        "_room_variables",
        "_thread",
        "_values",
        "_words",
        "has_written",
    )

    def __init__(self, call_id: int, lent: work_pb2.Lease, words: memoryview) -> None:
        """words: the worker's page."""
        self._call_id = call_id
        self._values: dict[str, Known] = dict(zip(lent.names, zip(lent.values, lent.versions)))
        self._room_variables = lent.room_variables
        self._room = lent.room_bytes
        self._largest = lent.max_value_bytes
        self._words = words
        self._index = REVOKED + call_id % REVOKED_WORDS
        self._thread = get_ident()
        self._is_good = True
        self.has_written = False
        """Whether a write was not waited for."""

    def for_reading(self) -> Lease:
        """This one, by which nothing is written from now on: that needs calls that run one after the other."""
        self._room = self._room_variables = 0
        return self

    def end(self) -> None:
        """The call is over."""
        self._is_good = False

    def _holds(self) -> bool:
        # What other threads of the tool write is waited for, and revokes it.
        return self._is_good and get_ident() == self._thread and self._words[self._index] < self._call_id

    def find(self, names: Iterable[str]) -> list[Known] | None:
        """All of them as of one moment, or None: ask the host."""
        try:
            found = [self._values[name] for name in names]
        except (KeyError, TypeError):
            return None
        return found if self._holds() else None  # now, so that all of them still were what they are said to be

    def may_write(self, changes: Sequence[tuple[str, bytes]]) -> bool:
        """Whether they have room: then they are to be sent, and need not be waited for."""
        size = 0
        if not changes:
            return False
        for name, value in changes:
            if (
                type(name) is not str
                or not name.isascii()
                or not 0 < len(name) <= _LONGEST_NAME
                or len(value) > self._largest
            ):
                return False
            size += len(name) + len(value)
        if size > min(self._room, _MOST_BYTES) or len(changes) > min(self._room_variables, _MOST_CHANGES):
            return False
        if not self._holds():
            return False
        self._room -= size
        self._room_variables -= len(changes)
        self.has_written = True
        for name, _ in changes:
            self._values.pop(name, None)  # in case that an exception comes before wrote()
        return True

    def wrote(self, changes: Iterable[tuple[str, bytes]]) -> None:
        """They have been sent."""
        for name, value in changes:
            self._values[name] = (value, None)

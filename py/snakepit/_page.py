"""The page that the host reads when this process has died: how far it was, and replies that may not have left.

And where the host says which leases it takes back.

Its layout is that of lib/process/page.hpp. The host has fixed its size, so that neither side can take it away from the
other. Numbers are written whole, by assignment to one item of a view: struct.pack_into() sets them to zero first.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from snakepit._protocol import KIB

if TYPE_CHECKING:
    from snakepit.v1 import work_pb2

# In words of 8 bytes.
BEGUN = 0  # id of the last call that was begun, or passed over
DONE = 1  # id of the last call whose end is known, with its reply in the log if it has room there
STARTED = 2  # CLOCK_MONOTONIC in seconds when the call that was begun last was begun; a double
_INDEX = 8  # one word for each of the last calls: position in the log / 8 << 16 | whether it failed << 15 | size

_INDEX_WORDS = 4096  # as many calls as may be outstanding at one worker
_LOG_OFFSET = 8 * (_INDEX + _INDEX_WORDS)
_LOG_BYTES = 272 * KIB - 8 * _INDEX  # so that all of it is 80 pages of memory
REVOKED = (_LOG_OFFSET + _LOG_BYTES) // 8  # one word for each of the last calls, written by the host alone: see Lease
REVOKED_WORDS = _INDEX_WORDS
PLACES = REVOKED + REVOKED_WORDS  # two words for each place in which a call may run: its id, and as STARTED
PLACE_COUNT = _INDEX_WORDS
STACK_OFFSET = 8 * (PLACES + 2 * PLACE_COUNT)
_STACK_BYTES = 16 * KIB  # at the end, where faulthandler writes to
PAGE_BYTES = STACK_OFFSET + _STACK_BYTES

_LARGEST_REPLY = 4 * KIB
_FAILED = 1 << 15


class _End(Protocol):
    def __call__(self, call_id: int, outcome: bytes | work_pb2.Failure, kept: bool = True) -> None: ...


class Page:
    """One worker's page. For one thread at a time."""

    def __init__(self, descriptor: int | None) -> None:
        """descriptor: what the host has passed; None: nobody will read it, since the host is elsewhere."""
        memory = mmap.mmap(-1 if descriptor is None else descriptor, PAGE_BYTES)
        view = memoryview(memory)
        self.words = view.cast("Q")
        """For BEGUN, and to be read from REVOKED on; the rest is end()'s."""
        self.times: Any = view.cast("d")  # of floats, which stubs do not know
        """For STARTED."""
        self.end = _end_in(memory, self.words)
        self._keep = _keep_in(memory, self.words)
        """Keep the reply to a call, then count the call as done. To be called before the reply may leave.

        Not kept: a reply that is worth nothing unless what was sent before it arrives.
        """

    # For a worker that runs several calls at once, which has no last call that is done. What end() is for others.

    def begin_at(self, place: int, call_id: int, started: float) -> None:
        """A call is about to begin, or (0.0) to wait for the main thread. Calls come here in the order of their ids."""
        at = PLACES + 2 * place
        self.times[at + 1] = started
        self.words[at] = call_id
        self.words[BEGUN] = call_id

    def waits_no_more_at(self, place: int, started: float) -> None:
        """The call is about to begin."""
        self.times[PLACES + 2 * place + 1] = started

    def end_at(self, place: int, call_id: int, outcome: bytes | work_pb2.Failure) -> None:
        """Keep the reply, then count the call as done."""
        self._keep(call_id, outcome)
        self.words[PLACES + 2 * place] = 0

    def pass_over(self, call_id: int, outcome: bytes | work_pb2.Failure) -> None:
        """A call does not begin."""
        self._keep(call_id, outcome)
        self.words[BEGUN] = call_id


def _end_in(memory: mmap.mmap, words: memoryview) -> _End:
    # Every call pays for this one: a closure finds what it needs a fifth faster than a method.
    at = _LOG_OFFSET  # a multiple of 8, as all positions are
    before = -_LOG_OFFSET  # what is added to have the position in the log as if it had no end

    def end(call_id: int, outcome: bytes | work_pb2.Failure, kept: bool = True) -> None:
        nonlocal at, before
        if isinstance(outcome, bytes):
            entry = size = len(outcome)
        else:
            outcome = outcome.SerializeToString()
            size = len(outcome)
            entry = size | _FAILED
        if kept and size <= _LARGEST_REPLY:
            stop = at + size
            if stop > _LOG_OFFSET + _LOG_BYTES:  # an entry is in one piece
                before += _LOG_BYTES
                at = _LOG_OFFSET
                stop = at + size
            memory[at:stop] = outcome
            entry |= at + before << 13
            at = stop + 7 & -8
        else:
            entry = 0
        words[_INDEX + call_id % _INDEX_WORDS] = entry
        words[DONE] = call_id

    return end


def _keep_in(memory: mmap.mmap, words: memoryview) -> Callable[[int, bytes | work_pb2.Failure], None]:
    """As _end_in(), with the call's id before each reply: an older call may end later, and has the same index word."""
    at = _LOG_OFFSET
    before = -_LOG_OFFSET

    def keep(call_id: int, outcome: bytes | work_pb2.Failure) -> None:
        nonlocal at, before
        data = outcome if isinstance(outcome, bytes) else outcome.SerializeToString()
        size = len(data)
        entry = 0
        if size <= _LARGEST_REPLY:
            stop = at + 8 + size
            if stop > _LOG_OFFSET + _LOG_BYTES:
                before += _LOG_BYTES
                at = _LOG_OFFSET
                stop = at + 8 + size
            memory[at + 8 : stop] = data
            words[at // 8] = call_id
            entry = at + before << 13 | size | (0 if isinstance(outcome, bytes) else _FAILED)
            at = stop + 7 & -8
        words[_INDEX + call_id % _INDEX_WORDS] = entry

    return keep

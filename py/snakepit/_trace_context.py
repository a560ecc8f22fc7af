"""The header `traceparent` of W3C Trace Context: https://www.w3.org/TR/trace-context/"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

_HEADER = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
# Odd, so that no two calls have the same product; beside that any number would do.
_STEP = 0x9E3779B97F4A7C15F39CC0605CEDC835


class TraceContext(NamedTuple):
    """What a header says, in hex digits."""

    trace_id: str
    span_id: str
    flags: str

    def header(self, span_id: str) -> str:
        """For what belongs below another span of the same trace."""
        return f"00-{self.trace_id}-{span_id}-{self.flags}"


def read(header: str) -> TraceContext | None:
    """None: it is empty, or no header."""
    found = _HEADER.fullmatch(header) if header else None
    return TraceContext(*found.groups()) if found is not None else None


def nth_id(first: int, call_id: int, digits: int) -> int:
    """Another one for each call, of so many hex digits, beginning at a random number."""
    return (first + call_id * _STEP) % 16**digits or 1


_beginnings: list[tuple[int, int]] = []  # the first one counts


def made_up(call_id: int) -> str:
    """A header for a call that belongs to no trace, with random ids: one that is valid, and not sampled.

    Computed rather than kept, so that a call has one and the same whichever thread asks, and whichever object tells.
    """
    if not _beginnings:  # not before a worker is a process of its own, or all of them would have the same
        _beginnings.append((int.from_bytes(os.urandom(16), "big"), int.from_bytes(os.urandom(8), "big")))
    trace, span = _beginnings[0]
    return f"00-{nth_id(trace, call_id, 32):032x}-{nth_id(span, call_id, 16):016x}-00"

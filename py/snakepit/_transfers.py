"""Values too large for one item of a frame, in pieces."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from snakepit._protocol import KIB, MAX_INLINE_BYTES


class ProtocolError(Exception):
    """The host broke the contract; the worker ends."""


class Incoming:
    """Transfers that the host sends."""

    def __init__(self, max_message_bytes: int, max_inflight_bytes: int) -> None:
        self._max_message = max_message_bytes
        self._max_inflight = max_inflight_bytes
        self._open: dict[int, tuple[int, bytearray]] = {}
        self._inflight = 0

    def add(self, chunk: Any) -> None:
        """Take in one Chunk. Raises ProtocolError before a byte of a bad one is stored."""
        if chunk.abort:
            self.drop(chunk.transfer)
            return
        total, size = chunk.total, len(chunk.data)
        if chunk.transfer not in self._open:
            alone = not self._open
            if total > self._max_message or (not alone and self._inflight + total > self._max_inflight):
                raise ProtocolError(f"transfer {chunk.transfer} of {total} bytes is over the limits")
            self._open[chunk.transfer] = (total, bytearray())
            self._inflight += total
        expected, stored = self._open[chunk.transfer]
        if total != expected or chunk.offset != len(stored) or not 1 <= size <= MAX_INLINE_BYTES:
            raise ProtocolError(f"a piece of transfer {chunk.transfer} does not fit the others")
        if len(stored) + size > total:
            raise ProtocolError(f"transfer {chunk.transfer} is longer than its total")
        stored += chunk.data

    def take(self, transfer: int) -> bytearray:
        """The whole value, which is then forgotten. Raises ProtocolError when it is not all there."""
        total, stored = self._open.get(transfer, (-1, b""))
        if len(stored) != total:
            raise ProtocolError(f"a call refers to transfer {transfer}, of which {len(stored)} bytes came")
        self.drop(transfer)
        assert isinstance(stored, bytearray)
        return stored

    def drop(self, transfer: int) -> None:
        """Forget a transfer, known or not."""
        total, _ = self._open.pop(transfer, (0, b""))
        self._inflight -= total


Refer = Callable[[Any, int], object]
"""Adds to a frame what refers to a transfer of that number."""


@dataclass
class _Outgoing:
    transfer: int
    refer: Refer
    data: memoryview
    sent: int = 0


class Outgoing:
    """Transfers that we send: opened in order, within the limit, their pieces in turns."""

    PIECE_BYTES = 120 * KIB  # two of them, with their headers, fit into one frame

    def __init__(self, max_inflight_bytes: int) -> None:
        self._max_inflight = max_inflight_bytes
        self._inflight = 0
        self._closing = 0
        self._count = 0
        self._waiting: deque[_Outgoing] = deque()
        self._open: deque[_Outgoing] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting or self._open)

    def add(self, data: bytes, refer: Refer) -> None:
        """Queue a value, and what the frame with its last piece is to have too."""
        self._count += 1
        self._waiting.append(_Outgoing(self._count, refer, memoryview(data)))

    def begin_frame(self) -> None:
        """Transfers that the frame before has completed are closed now; not earlier, since the pieces of a frame
        are taken in before its replies."""
        self._inflight -= self._closing
        self._closing = 0

    def put_piece(self, frame: Any, room: int) -> tuple[int, bool]:
        """Add the next piece, of at most `room` bytes, to a frame, and behind the last one what refers to it.

        Return its size, 0 when no transfer can be opened in this frame, and whether it was the last.
        """
        self._open_waiting()
        if not self._open:
            return 0, False
        current = self._open[0]
        total = len(current.data)
        piece = current.data[current.sent : current.sent + min(room, self.PIECE_BYTES)]
        frame.chunks.add(transfer=current.transfer, offset=current.sent, total=total, data=bytes(piece))
        current.sent += len(piece)
        if current.sent < total:
            self._open.rotate(-1)
            return len(piece), False
        self._open.popleft()
        self._closing += total
        current.refer(frame, current.transfer)
        return len(piece), True

    def _open_waiting(self) -> None:
        while self._waiting:
            size = len(self._waiting[0].data)
            if self._inflight > 0 and self._inflight + size > self._max_inflight:
                return
            self._inflight += size
            self._open.append(self._waiting[0])
            self._waiting.popleft()

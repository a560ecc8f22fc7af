"""What the runner has to say, gathered into frames."""

from __future__ import annotations

from collections import deque
from typing import Union

from snakepit._protocol import KIB, MAX_FRAME_BYTES, MAX_FRAME_ITEMS, MAX_INLINE_BYTES
from snakepit._transfers import Outgoing, ProtocolError, Refer
from snakepit.v1 import work_pb2

_FRAME_SLACK = 256  # tags and lengths of the frame itself and of one chunk
_REPLY_SLACK = 48  # tags, lengths, id and run_us of one reply
_LEAST_PIECE = 16 * KIB
_LEAST_FRAME = 64 * KIB  # the largest failure must fit

Outcome = Union[bytes, work_pb2.Failure]


class Replies:
    """Filled by the runner; emptied by whoever may send, one thread at a time (the lane sees to that)."""

    def __init__(self, max_frame_bytes: int, max_inflight_bytes: int) -> None:
        frame_bytes = min(max_frame_bytes, MAX_FRAME_BYTES)
        if frame_bytes < _LEAST_FRAME:
            raise ProtocolError(f"frames of {frame_bytes} bytes are too small; {_LEAST_FRAME} are needed")
        self._room = frame_bytes - _FRAME_SLACK
        self._inline = min(MAX_INLINE_BYTES, frame_bytes // 2)
        self._outgoing = Outgoing(max_inflight_bytes)
        # (call id, outcome, run_us). Appending and taking are atomic; no lock is needed for each reply.
        self._ready: deque[tuple[int, Outcome, int]] = deque()
        self.add = self._ready.append
        self._asks: deque[tuple[int, int, bytes]] = deque()  # (number, call id, question)
        self._writes: deque[tuple[int, list[tuple[str, bytes]]]] = deque()  # (call id, changes)

    def __bool__(self) -> bool:
        return bool(self._ready or self._asks or self._writes or self._outgoing)

    def ask(self, number: int, call_id: int, question: bytes) -> None:
        """Queue a question. Any thread."""
        self._asks.append((number, call_id, question))

    def write(self, call_id: int, changes: list[tuple[str, bytes]]) -> None:
        """Queue a write that has no answer, and is small. Leaves before what is queued later."""
        self._writes.append((call_id, changes))

    def next_frame(self) -> bytes | None:
        """The next frame, encoded, or None when there is nothing to say."""
        ready, outgoing = self._ready, self._outgoing
        if not ready and not outgoing and not self._asks and not self._writes:
            return None
        frame = work_pb2.WorkUp()
        room, items = self._room, MAX_FRAME_ITEMS - 1  # a piece may need two items: itself and its reply
        outgoing.begin_frame()
        pieces_turn = bool(outgoing)  # one piece before the small replies, more behind them: neither starves
        add = frame.replies.add
        # Counted before the writes are looked at: other threads go on, and what they add may belong to a write that
        # they have added too. No question, and no reply, leaves before what its call has written.
        asks_left, replies_left = len(self._asks), len(ready)
        if self._writes:
            room, items = self._put_writes(frame, room, items)
            if self._writes:
                items = 0
        if asks_left:  # somebody waits for these, so they go before replies
            room, items = self._put_asks(frame, room, items, asks_left)
        ids: list[int] = []
        values: list[bytes] = []
        runs_us: list[int] = []
        while items > 0:
            if pieces_turn:
                size, was_last = outgoing.put_piece(frame, room)
                if size == 0:
                    break
                room -= size + _FRAME_SLACK
                items -= 1
                if was_last:
                    items -= 1
                    room -= _REPLY_SLACK
            pieces_turn = True
            while replies_left and items > 0:
                call_id, outcome, run_us = ready.popleft()
                replies_left -= 1
                size = len(outcome) if isinstance(outcome, bytes) else outcome.ByteSize()
                if size > self._inline and isinstance(outcome, bytes):
                    outgoing.add(outcome, _reply_for(call_id, run_us))
                    continue
                if size + _REPLY_SLACK > room:
                    ready.appendleft((call_id, outcome, run_us))
                    replies_left = room = 0
                    break
                room -= size + _REPLY_SLACK
                items -= 1
                if isinstance(outcome, bytes):
                    ids.append(call_id)
                    values.append(outcome)
                    runs_us.append(run_us)
                else:
                    add(id=call_id, failure=outcome, run_us=run_us)
            if room < _LEAST_PIECE or not outgoing:
                break
        frame.ids.extend(ids)
        frame.values.extend(values)
        frame.run_us.extend(runs_us)
        encoded: bytes = frame.SerializeToString()
        return encoded

    def _put_writes(self, frame: work_pb2.WorkUp, room: int, items: int) -> tuple[int, int]:
        """What is left of room and items."""
        writes = self._writes
        while writes:
            call_id, changes = writes[0]
            size = sum(len(name) + len(value) + _REPLY_SLACK for name, value in changes)
            if size > room or len(changes) >= items:
                break
            writes.popleft()
            frame.write_calls.append(call_id)
            frame.write_sizes.append(len(changes))
            for name, value in changes:
                frame.write_names.append(name)
                frame.write_values.append(value)
            room -= size
            items -= 1 + len(changes)
        return room, items

    def _put_asks(self, frame: work_pb2.WorkUp, room: int, items: int, most: int) -> tuple[int, int]:
        """What is left of room and items."""
        asks = self._asks
        while most and items > 0:
            most -= 1
            number, call_id, question = asks.popleft()
            size = len(question)
            if size > self._inline:
                self._outgoing.add(question, _ask_for(number, call_id))
                continue
            if size + _REPLY_SLACK > room:
                asks.appendleft((number, call_id, question))
                break
            frame.asks.add(number=number, call=call_id, question=question)
            room -= size + _REPLY_SLACK
            items -= 1
        return room, items


def _reply_for(call_id: int, run_us: int) -> Refer:
    return lambda frame, transfer: frame.replies.add(id=call_id, transfer=transfer, run_us=run_us)


def _ask_for(number: int, call_id: int) -> Refer:
    return lambda frame, transfer: frame.asks.add(number=number, call=call_id, transfer=transfer)

"""What the runner has to say, gathered into frames."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Union

from snakepit._protocol import KIB, MAX_FRAME_BYTES, MAX_FRAME_ITEMS, MAX_INLINE_BYTES
from snakepit._transfers import Outgoing, ProtocolError, Refer
from snakepit.v1 import work_pb2

if TYPE_CHECKING:
    from snakepit._streams import Output

_FRAME_SLACK = 256  # tags and lengths of the frame itself and of one chunk
_REPLY_SLACK = 48  # tags, lengths, id and run_us of one reply
_VALUE_SLACK = 8  # tag and length of one item in a column
_LEAST_CUT = 32 * KIB  # smaller items wait for the next frame rather than being cut
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
        self._grants: deque[tuple[int, int]] = deque()  # (call id, bytes of input that were used)
        self._streams: dict[int, Output] = {}  # calls that yield, until their reply leaves
        self._writes: deque[tuple[int, list[tuple[str, bytes]]]] = deque()  # (call id, changes)

    def __bool__(self) -> bool:
        return bool(
            self._ready
            or self._asks
            or self._writes
            or self._outgoing
            or self._grants
            or (self._streams and self._have_items())
        )

    def _have_items(self) -> bool:
        return any(output.queue for output in list(self._streams.values()))

    def add_stream(self, output: Output) -> None:
        """A call yields items: whatever is in its queue leaves before its reply. Any thread."""
        self._streams[output.call_id] = output

    def drop_items(self, call_id: int) -> None:
        """Nobody wants what a call that ends has not sent: its reply, and other items, need not wait behind it."""
        output = self._streams.get(call_id)
        if output is not None:
            output.is_unwanted = True

    def grant(self, call_id: int, used: int) -> None:
        """Queue credit for more input. Any thread."""
        self._grants.append((call_id, used))

    def ask(self, number: int, call_id: int, question: bytes) -> None:
        """Queue a question. Any thread."""
        self._asks.append((number, call_id, question))

    def write(self, call_id: int, changes: list[tuple[str, bytes]]) -> None:
        """Queue a write that has no answer, and is small. Leaves before what is queued later."""
        self._writes.append((call_id, changes))

    def next_frame(self) -> bytes | None:
        """The next frame, encoded, or None when there is nothing to say."""
        ready, outgoing = self._ready, self._outgoing
        if not ready and not outgoing and not self._asks and not self._writes and not self._grants:
            if not self._streams or not self._have_items():
                return None
        frame = work_pb2.WorkUp()
        room, items = self._room, MAX_FRAME_ITEMS - 1  # a piece may need two items: itself and its reply
        outgoing.begin_frame()
        pieces_turn = bool(outgoing)  # one piece before the small replies, more behind them: neither starves
        add = frame.replies.add
        # Counted before the writes are looked at: other threads go on, and what they add may belong to a write that
        # they have added too. No question, and no reply, leaves before what its call has written.
        asks_left, replies_left = len(self._asks), len(ready)
        if self._streams:
            for output in list(self._streams.values()):
                if output.is_unwanted:
                    output.keep_begun_item()
        streams = [(output, len(output.queue)) for output in list(self._streams.values())] if self._streams else []
        if self._writes:
            room, items = self._put_writes(frame, room, items)
            if self._writes:
                items = 0
        if asks_left:  # somebody waits for these, so they go before replies
            room, items = self._put_asks(frame, room, items, asks_left)
        if self._grants and items > 0:
            room, items = self._put_grants(frame, room, items)
        if streams and items > 0:
            room, items = self._put_items(frame, room, items, streams, bool(replies_left or outgoing))
        held: list[tuple[int, Outcome, int]] = []  # replies whose items have not all left
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
                if streams and call_id in self._streams:
                    if self._streams[call_id].queue:
                        held.append((call_id, outcome, run_us))
                        continue
                    del self._streams[call_id]
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
        if held:
            ready.extendleft(reversed(held))
        frame.ids.extend(ids)
        frame.values.extend(values)
        frame.run_us.extend(runs_us)
        encoded: bytes = frame.SerializeToString()
        return encoded

    def _put_grants(self, frame: work_pb2.WorkUp, room: int, items: int) -> tuple[int, int]:
        """What is left of room and items."""
        grants = self._grants
        while grants and items > 0 and room >= _REPLY_SLACK:
            call_id, used = grants.popleft()
            frame.streams.grants.add(call=call_id, bytes=used)
            room -= _REPLY_SLACK
            items -= 1
        return room, items

    def _put_items(
        self, frame: work_pb2.WorkUp, room: int, items: int, streams: list[tuple[Output, int]], others_wait: bool
    ) -> tuple[int, int]:
        """Half of the frame at most when others wait. The stream that fills the frame is the last one in the next."""
        kept_room, kept_items = (room // 2, items // 2) if others_wait else (0, 0)
        room, items = room - kept_room, items - kept_items
        for output, most in streams:
            room, items, is_full = self._put_items_of(frame, room, items, output, most)
            if is_full:
                if len(streams) > 1:
                    self._streams[output.call_id] = self._streams.pop(output.call_id)
                break
        return room + kept_room, items + kept_items

    def _put_items_of(
        self, frame: work_pb2.WorkUp, room: int, items: int, output: Output, most: int
    ) -> tuple[int, int, bool]:
        """What is left of room and items, and whether more would have gone."""
        queue, inline = output.queue, self._inline
        column: list[bytes] = []
        room -= _REPLY_SLACK
        is_full = False
        while most > 0 and not is_full:
            data = queue[0]
            size = len(data)
            if items <= 0:
                is_full = True
            elif output.offset == 0 and size + _VALUE_SLACK <= room and size <= inline:
                queue.popleft()
                column.append(data)
                most -= 1
                items -= 1
                room -= size + _VALUE_SLACK
            elif size < _LEAST_CUT or room < min(_LEAST_PIECE, size - output.offset + _VALUE_SLACK):
                is_full = True
            else:
                if column:
                    frame.streams.items.add(call=output.call_id, values=column)
                    column = []
                    room -= _REPLY_SLACK
                begin = output.offset
                end = min(size, begin + min(inline, room - _VALUE_SLACK))
                frame.streams.items.add(call=output.call_id, values=[data[begin:end]], total=size)
                room -= end - begin + _VALUE_SLACK + _REPLY_SLACK
                items -= 1
                output.offset = end
                if end == size:
                    output.offset = 0
                    queue.popleft()
                    most -= 1
        if column:
            frame.streams.items.add(call=output.call_id, values=column)
        return max(room, 0), items, is_full

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

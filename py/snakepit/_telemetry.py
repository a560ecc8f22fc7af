"""What Python's logging has and which spans have ended, until it leaves by Control; see Telemetry in control.proto."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic, time_ns
from typing import NamedTuple

from snakepit import _trace_context
from snakepit._protocol import (
    MAX_FIELD_KEY_BYTES,
    MAX_FIELD_VALUE_BYTES,
    MAX_LOGGER_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_SPAN_FUNCTION_BYTES,
    MAX_TELEMETRY_BYTES,
    MAX_TELEMETRY_FIELDS,
    MAX_TELEMETRY_ITEMS,
)
from snakepit._text import cut, cut_middle
from snakepit._tools import Tool
from snakepit.v1 import control_pb2

MOST_LOGS = 1_000  # that wait
MOST_SPANS = 1_000
_MOST_LOOKS = 5
_CLOSE = 20e-6  # seconds
_ITEM_SLACK = 8  # tag and length of one item
_MESSAGE_SLACK = 64  # of the message itself, and its counts
# Encoded, when all its texts are as long as they may be: a span of its own, ...
_SPAN_BYTES = 200
_PLACE_BYTES = 640  # ... where it ran, ...
_TEXT_BYTES = 1_100  # ... and what most have not: a tracestate, and why it has failed.
_LOGS_WAIT = 0.05  # seconds, for more
_SPANS_WAIT = 0.2

Fields = Sequence[tuple[str, str]]


class Log(NamedTuple):
    """A record, with texts of any size."""

    level: int
    logger: str
    message: str
    time_us: int
    call: int
    tool: str
    trace_id: str
    span_id: str
    fields: Fields


Place = tuple[Tool, tuple[int, str]]
"""Which tool, and the id and name of the thread that it ran in."""

Ran = tuple[str, str, int, int, Place, float, float, str | None]
"""A call that has run and is to be a span, of which a tuple costs its call least.

traceparent, tracestate, number of the call, the first_id of span_id(), where it ran, when it was begun (seconds of the
monotonic clock), how long it took, why it has failed. Texts fit; see Spans in control.proto.
"""


def span_id(first_id: int, call: int) -> int:
    """Another one for each call of a worker, whose first one is random."""
    return _trace_context.nth_id(first_id, call, 16)


class Gathered:
    """Filled by any thread, which never waits; emptied by whoever sends.

    A process that a tool has forked has a copy, and nobody who sends: there it takes in nothing.
    """

    def __init__(self) -> None:
        self._logs: deque[control_pb2.LogRecord] = deque()
        self._ran: deque[Ran] = deque()
        # Reentrant: a signal handler of the user's may log wherever the main thread is.
        self._lock = threading.RLock()
        self._dropped_logs = 0
        self._dropped_spans = 0
        self._closed = False
        self.nudge: Callable[[float], None] = lambda seconds: None
        """Called when there is something, which may wait so long for more. Whoever sends sets it."""
        os.register_at_fork(after_in_child=self.close)

    def __bool__(self) -> bool:
        return bool(self._logs or self._ran or self._dropped_logs or self._dropped_spans)

    @property
    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Take in nothing from now on."""
        self._closed = True

    def add_log(self, log: Log, at_once: bool = False) -> None:
        """Any thread."""
        if self._closed:
            return
        if len(self._logs) >= MOST_LOGS:
            return self.drop_log()
        self._logs.append(_record_of(log))
        self.nudge(0.0 if at_once or len(self._logs) >= MAX_TELEMETRY_ITEMS else _LOGS_WAIT)

    def drop_log(self) -> None:
        """Count one that is left out. Any thread."""
        if not self._closed:
            with self._lock:
                self._dropped_logs += 1
            self.nudge(_LOGS_WAIT)

    def keep_logs_from(self, least: int) -> None:
        """Forget those below a level: nobody had said yet which were wanted. Before anybody takes."""
        for _ in range(len(self._logs)):
            log = self._logs.popleft()
            if log.level >= least:
                self._logs.append(log)

    def add_span(self, ran: Ran) -> None:
        """Any thread. What a span has beside that is worked out when it leaves: calls wait for whoever is here."""
        if self._closed:
            return
        if len(self._ran) >= MOST_SPANS:
            with self._lock:
                self._dropped_spans += 1
            return
        self._ran.append(ran)
        self.nudge(0.0 if len(self._ran) >= MOST_SPANS // 2 else _SPANS_WAIT)

    def take(self) -> bytes | None:
        """A message, encoded, or None when there is nothing. For who sends, one thread."""
        if not self:
            return None
        up = control_pb2.ControlUp()
        message = up.telemetry
        with self._lock:
            message.dropped_logs, self._dropped_logs = self._dropped_logs, 0
            message.dropped_spans, self._dropped_spans = self._dropped_spans, 0
        room = MAX_TELEMETRY_BYTES - _MESSAGE_SLACK
        logs = self._logs
        while logs and len(message.logs) < MAX_TELEMETRY_ITEMS:
            room -= logs[0].ByteSize() + _ITEM_SLACK
            if room < 0:
                break
            message.logs.append(logs.popleft())
        ran = [self._ran[i] for i in range(min(len(self._ran), MAX_TELEMETRY_ITEMS))]  # others only append
        count = _fitting(ran, room)
        if count > 0:
            _put(ran[:count], message.spans)
            for _ in range(count):
                self._ran.popleft()
        encoded: bytes = up.SerializeToString()
        return encoded


def _record_of(log: Log) -> control_pb2.LogRecord:
    # At once: what waits is bounded in bytes too.
    return control_pb2.LogRecord(
        level=log.level,
        logger=cut(log.logger, MAX_LOGGER_BYTES),
        message=cut_middle(log.message, MAX_MESSAGE_BYTES),
        time_us=log.time_us,
        call=log.call,
        tool=log.tool,
        trace_id=log.trace_id,
        span_id=log.span_id,
        fields=_fields_of(log.fields),
    )


def _fitting(ran: Sequence[Ran], room: int) -> int:
    """How many of them have room, at least."""
    if not ran:
        return 0
    _, tracestates, _, _, places, _, _, problems = zip(*ran, strict=True)
    texts = 2 * len(ran) - tracestates.count("") - problems.count(None)
    if len(ran) * _SPAN_BYTES + len(set(places)) * _PLACE_BYTES + texts * _TEXT_BYTES <= room:
        return len(ran)
    return max(0, min(len(ran), room // (_SPAN_BYTES + _PLACE_BYTES + 2 * _TEXT_BYTES)))


def _put(ran: Sequence[Ran], to: control_pb2.Spans) -> None:
    """Calls wait meanwhile for the interpreter: what can be is done for whole columns."""
    traceparents, tracestates, calls, first_ids, places, begun, took, problems = zip(*ran, strict=True)
    to.clock_began_ns = _beginning_of_monotonic()
    to.traceparents.extend(traceparents)
    if any(tracestates):
        to.tracestates.extend(tracestates)
    to.ids.extend(map(span_id, first_ids, calls))
    to.begun.extend(begun)
    to.took.extend(took)
    index = {place: number for number, place in enumerate(dict.fromkeys(places))}
    to.places.extend([index[place] for place in places])
    for tool, (thread_id, thread_name) in index:
        function = cut(tool.where, MAX_SPAN_FUNCTION_BYTES)
        to.where.add(tool=tool.name, function=function, thread_id=thread_id, thread_name=thread_name)
    if problems.count(None) < len(problems):
        for row, problem in enumerate(problems):
            if problem is not None:
                to.failures.add(span=row, message=problem)


def _beginning_of_monotonic() -> int:
    """In nanoseconds since 1970. Whoever is held up between the two clocks looks again."""
    for _ in range(_MOST_LOOKS):
        before = monotonic()
        wall = time_ns()
        if monotonic() - before < _CLOSE:
            break
    return wall - int(before * 1e9)


def _fields_of(fields: Fields) -> list[control_pb2.Field]:
    return [
        control_pb2.Field(key=cut(key, MAX_FIELD_KEY_BYTES), value=cut(value, MAX_FIELD_VALUE_BYTES))
        for key, value in fields[:MAX_TELEMETRY_FIELDS]
    ]

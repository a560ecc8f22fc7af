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
_MOST_SPAN_BYTES = 2_400  # encoded, when all its texts are as long as they may be

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


class Ran(NamedTuple):
    """A call that has run and is to be a span; see Spans in control.proto. Texts fit."""

    traceparent: str
    tracestate: str
    call: int
    first_id: int  # see span_id()
    tool: Tool
    thread_id: int
    thread_name: str
    started: float  # seconds of the monotonic clock
    took: float
    problem: str | None


def span_id(first_id: int, call: int) -> str:
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
        self.nudge: Callable[[bool], None] = lambda at_once: None
        """Called when there is something. Whoever sends sets it."""
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
        self.nudge(at_once or len(self._logs) >= MAX_TELEMETRY_ITEMS)

    def drop_log(self) -> None:
        """Count one that is left out. Any thread."""
        if not self._closed:
            with self._lock:
                self._dropped_logs += 1
            self.nudge(False)

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
        self.nudge(len(self._ran) >= MOST_SPANS // 2)

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
        logs, ran = self._logs, self._ran
        while logs and len(message.logs) < MAX_TELEMETRY_ITEMS:
            room -= logs[0].ByteSize() + _ITEM_SLACK
            if room < 0:
                break
            message.logs.append(logs.popleft())
        count = min(len(ran), MAX_TELEMETRY_ITEMS, room // _MOST_SPAN_BYTES)
        if count > 0:
            _put([ran.popleft() for _ in range(count)], message.spans)
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


def _put(ran: Sequence[Ran], to: control_pb2.Spans) -> None:
    began = _beginning_of_monotonic()
    functions = {one.tool: cut(one.tool.where, MAX_SPAN_FUNCTION_BYTES) for one in ran}
    to.traceparents.extend([one.traceparent for one in ran])
    to.tracestates.extend([one.tracestate for one in ran])
    to.span_ids.extend([span_id(one.first_id, one.call) for one in ran])
    to.tools.extend([one.tool.name for one in ran])
    to.functions.extend([functions[one.tool] for one in ran])
    to.thread_ids.extend([one.thread_id for one in ran])
    to.thread_names.extend([one.thread_name for one in ran])
    to.begin_ns.extend([began + int(one.started * 1e9) for one in ran])
    to.took_ns.extend([int(one.took * 1e9) for one in ran])
    to.failed.extend([one.problem is not None for one in ran])
    to.messages.extend([one.problem or "" for one in ran])


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

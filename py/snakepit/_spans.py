"""What a call was in its trace while it ran here: a span, if the trace is recorded."""

from __future__ import annotations

import os
import threading
from typing import Any

from snakepit._protocol import MAX_SPAN_MESSAGE_BYTES, MAX_SPAN_THREAD_BYTES
from snakepit._telemetry import Gathered, span_id
from snakepit._text import cut
from snakepit._tools import Tool
from snakepit.v1 import work_pb2


class Spans:
    """Those of the calls that have run. Calls wait for it, so it does little."""

    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered
        self._first_id = int.from_bytes(os.urandom(8), "big")
        self._threads = threading.local()

    def id_of(self, call: Any) -> str:
        """Of the span that a Call is, in hex digits; empty: it is none.

        Computed rather than kept: most are never asked for.
        """
        return f"{span_id(self._first_id, call.id):016x}" if call.recorded else ""

    def add(self, call: Any, tool: Tool, started: float, took: float, outcome: Any, thread: int | None = None) -> None:
        """The tool has run for a Call with `recorded`. Any thread.

        started, took: seconds of the monotonic clock. outcome: a Failure, or anything else. thread: where it ran, as
        threading.get_ident() has it; None: here.
        """
        is_here = thread is None or thread == threading.get_ident()
        place = (tool, self._this_thread() if is_here else _thread_of(thread))
        problem = _problem_of(outcome) if type(outcome) is work_pb2.Failure else None
        self._gathered.add_span(
            (call.traceparent, call.tracestate, call.id, self._first_id, place, started, took, problem)
        )

    def _this_thread(self) -> tuple[int, str]:
        """Its id, as the kernel counts them, and the name that it had when it first made a span."""
        try:
            found: tuple[int, str] = self._threads.this
        except AttributeError:
            found = self._threads.this = _told(threading.current_thread())
        return found


def _thread_of(ident: int | None) -> tuple[int, str]:
    return next((_told(thread) for thread in threading.enumerate() if thread.ident == ident), (0, ""))


def _told(thread: threading.Thread) -> tuple[int, str]:
    # After a fork the main thread's is that of its parent's.
    native_id = os.getpid() if thread is threading.main_thread() else thread.native_id
    return native_id or 0, cut(thread.name, MAX_SPAN_THREAD_BYTES)


def _problem_of(failure: work_pb2.Failure) -> str:
    """As in "TypeError: unhashable type: 'list'". What is no exception has the name of its kind."""
    kind = failure.type or work_pb2.Failure.Kind.Name(failure.kind).lower()
    return cut(f"{kind}: {failure.message}" if failure.message else kind, MAX_SPAN_MESSAGE_BYTES)

"""OpenTelemetry's context, where that is installed: what a tool's libraries record then belongs below its call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from snakepit._trace_context import TraceContext

Leave = Callable[[], None]
"""Ends what enter() has begun, in the same thread or task."""

Enter = Callable[[TraceContext, str, bool], Leave]

_enter: Enter | None = None
_was_tried = False


def is_importable() -> bool:
    """Whether it is installed, or the user's code has brought its own."""
    if "opentelemetry.trace" in sys.modules:
        return True
    with suppress(Exception):
        return find_spec("opentelemetry.trace") is not None
    return False


def load() -> None:
    """Have it ready, if it is installed: it takes a tenth of a second, once."""
    global _enter, _was_tried
    if _enter is not None or _was_tried:
        return
    _was_tried = True
    with suppress(Exception):  # not there, or one that is made in another way
        _enter = _load()


def enter(context: TraceContext, tracestate: str, is_remote: bool) -> Leave | None:
    """Make a span the current one. None: there is no OpenTelemetry. Not where Cancelled may be raised.

    is_remote: whether it is the caller's.
    """
    load()
    return _enter(context, tracestate, is_remote) if _enter is not None else None


def _load() -> Enter:
    from importlib import import_module

    trace: Any = import_module("opentelemetry.trace")
    current: Any = import_module("opentelemetry.context")

    def enter(context: TraceContext, tracestate: str, is_remote: bool) -> Leave:
        span_context = trace.SpanContext(
            trace_id=int(context.trace_id, 16),
            span_id=int(context.span_id, 16),
            is_remote=is_remote,
            trace_flags=trace.TraceFlags(int(context.flags, 16)),
            trace_state=trace.TraceState.from_header([tracestate]) if tracestate else None,
        )
        token = current.attach(trace.set_span_in_context(trace.NonRecordingSpan(span_context)))

        def leave() -> None:
            current.detach(token)

        return leave

    return enter

"""OpenTelemetry's context, where that is installed: what a tool's libraries record then belongs below its call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from snakepit._trace_context import TraceContext

Leave = Callable[[], None]
"""Ends what enter() has begun, in the same thread or task."""

Enter = Callable[[TraceContext, str, bool], Leave]

_enter: Enter | None = None


def is_imported() -> bool:
    """Whether the user's code has done so."""
    return "opentelemetry.trace" in sys.modules


def load() -> None:
    """Have it ready, if it is installed. Before the first call: it takes long, and a call may be cancelled."""
    global _enter
    with suppress(Exception):  # not there, or one that is made in another way
        _enter = _load()


def is_loaded() -> bool:
    """Whether there is anything for enter() to do."""
    return _enter is not None


def enter(context: TraceContext, tracestate: str, is_remote: bool) -> Leave | None:
    """Make a span the current one. None: there is no OpenTelemetry.

    is_remote: whether it is the caller's.
    """
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

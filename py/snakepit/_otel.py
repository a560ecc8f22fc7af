"""OpenTelemetry's context, where that is installed: what a tool's libraries record then belongs below its call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from snakepit._trace_context import TraceContext

Leave = Callable[[], None]
"""Ends what enter() has begun, in the same thread or task."""

Enter = Callable[[TraceContext, str, bool], Leave]

_enter: Enter | None = None
_is_missing = False


def is_loaded() -> bool:
    """Whether the user's code has imported it, or we have."""
    return _enter is not None or "opentelemetry.trace" in sys.modules


def enter(context: TraceContext, tracestate: str, is_remote: bool) -> Leave | None:
    """Make a span the current one. None: OpenTelemetry is not installed; that is found out once.

    is_remote: whether it is the caller's.
    """
    global _enter, _is_missing
    if _enter is None:
        if _is_missing:
            return None
        try:
            _enter = _load()
        except Exception:  # not there, or one that is made in another way
            _is_missing = True
            return None
    return _enter(context, tracestate, is_remote)


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

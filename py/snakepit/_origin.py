"""Which call something comes from: a line of output, a record of the log."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from snakepit import _trace_context


class Origin(NamedTuple):
    """A call, for telemetry."""

    id: int
    tool: str
    trace_id: str
    """32 hex digits, or empty."""
    span_id: str
    """16 hex digits, or empty: of the span that the call is in this worker, or of the caller's."""


NONE = Origin(0, "", "", "")


class Origins(Protocol):
    """Who knows the calls: the runner. Any thread; must not wait for a lock, since whoever asks may hold any."""

    def origin(self) -> Origin | None:
        """The call for which this is asked; of a batch the first. None: none runs here."""

    def has_ended(self, call_id: int) -> bool:
        """Whether a call that has begun is over."""


def origin_of(call: Any, tool: str, span_id: str = "") -> Origin:
    """Of a Call as it came. span_id: of the span that it is in this worker, if it is one."""
    header = call.traceparent
    context = _trace_context.read(header) if header else None
    if context is None:
        return Origin(call.id, tool, "", "")
    return Origin(call.id, tool, context.trace_id, span_id or context.span_id)


_origins: Origins | None = None


def set_origins(origins: Origins) -> None:
    """Name who knows."""
    global _origins
    _origins = origins


def here() -> Origin | None:
    """The call that runs on this thread, or in this task."""
    return _origins.origin() if _origins is not None else None


def has_ended(call_id: int) -> bool:
    """Whether nothing more comes from it."""
    return _origins is None or _origins.has_ended(call_id)

"""What a running tool may ask about its call."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from snakepit import _trace_context
from snakepit._shield import shielded


class CurrentCall:
    """The call that is running. Good to keep; it goes on describing the same call."""

    __slots__ = ("_asked_to_stop", "_cancelled", "_deadline", "_traceparent", "id", "session", "tool", "tracestate")

    def __init__(
        self,
        id: int,
        tool: str,
        session: str | None = None,
        deadline: float | None = None,
        asked_to_stop: Callable[[int], bool] = lambda _: False,
        traceparent: str | None = None,
        tracestate: str | None = None,
    ) -> None:
        self.id: int = id
        """Number of the call at this worker, counted from 1."""
        self.tool: str = tool
        """Name of the tool."""
        self.session: str | None = session
        """Key of the session, or None."""
        self.tracestate: str | None = tracestate
        """The header `tracestate` that belongs to `traceparent`, or None."""
        self._traceparent = traceparent
        self._deadline = deadline
        self._asked_to_stop = asked_to_stop
        self._cancelled = False

    @property
    def traceparent(self) -> str:
        """The trace that the call belongs to, as the header `traceparent` of W3C Trace Context: to be passed on to
        whatever the tool calls.

        When the trace is recorded its span is the one that this call is here. Otherwise it is the header of the host:
        of the call's span there if it traces, though it records none of this trace, else the caller's as it came. Where
        there is none it is a new trace of this call alone, which is not recorded.
        """
        return self._traceparent or _trace_context.made_up(self.id)

    @property
    def remaining(self) -> float | None:
        """Seconds until the deadline, not below 0.0. None: no deadline."""
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - monotonic())

    @property
    def cancelled(self) -> bool:
        """True once the caller does not want the result any more, or the pool asks its workers to stop.

        snakepit.Cancelled tells the tool's own thread; other threads of a tool look here now and then.
        """
        if not self._cancelled:
            self._cancelled = self._asked_to_stop(self.id)  # known of the running call alone: remembered here
        return self._cancelled

    def __repr__(self) -> str:
        return f"<call {self.id} of {self.tool!r}, session {self.session!r}, {self.remaining} s left>"


# Asked only when a tool wants to know, so that a call pays nothing for it.
_provider: Callable[[], CurrentCall | None] | None = None


def set_provider(provider: Callable[[], CurrentCall | None]) -> None:
    """Name who knows the running call: the runner, or the command line."""
    global _provider
    _provider = provider


_batch_provider: Callable[[], tuple[CurrentCall, ...] | None] | None = None


def set_batch_provider(provider: Callable[[], tuple[CurrentCall, ...] | None]) -> None:
    """Name who knows the running batch: the runner."""
    global _batch_provider
    _batch_provider = provider


@shielded
def current_call() -> CurrentCall:
    """The call that is running now: its id, remaining seconds, session, and whether it is still wanted.

    Raises RuntimeError outside of a call (while the module is imported, in setup() and teardown()), and in a batch
    tool, which runs for several: see current_batch().
    """
    call = _provider() if _provider is not None else None
    if call is None:
        raise RuntimeError("snakepit.current_call() works only while a tool runs for a caller")
    return call


@shielded
def current_batch() -> tuple[CurrentCall, ...]:
    """The calls that the running tool serves: those of a batch, in the order of its list, else the one.

    `cancelled` of each tells whether its caller still waits. Raises RuntimeError as current_call() does.
    """
    calls = _batch_provider() if _batch_provider is not None else None
    return calls if calls is not None else (current_call(),)

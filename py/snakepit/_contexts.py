"""OpenTelemetry's current context in tools: what their libraries record then belongs below the call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, Protocol

from snakepit import _otel, _trace_context
from snakepit._cancel import let_pass
from snakepit._tools import Tool


class Calls(Protocol):
    """What is to be known of the calls that run."""

    def served(self) -> Sequence[Any]:
        """The Calls for which the tool runs that is called here, in the order of its arguments."""

    def span_id_of(self, call: Any) -> str:
        """Of the span that a Call is; empty: it is none."""

    def shield(self, call_id: int) -> AbstractContextManager[None]:
        """Around what Cancelled must not come into."""


class Contexts:
    """Those of the calls that run."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def adopt(self, tool: Tool) -> None:
        """Have a tool run in its calls' contexts. After all others that put themselves between runner and tool."""
        tool.function = self._around(tool.function)
        if tool.coroutine_function is not None:
            tool.coroutine_function = self._around_coroutine(tool.coroutine_function)
        if tool.batch is not None:
            tool.batch = tool.batch._replace(
                function=self._around(tool.batch.function),
                async_function=self._around_coroutine(tool.batch.async_function),
            )

    def _around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @let_pass
        def run(*args: Any, **kwargs: Any) -> Any:
            call = self._call()
            if call is None:
                return function(*args, **kwargs)
            context = _Context(self._calls, call)
            with context, context:  # twice: Cancelled may come in place of one __exit__
                return function(*args, **kwargs)

        return run

    def _around_coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def run(*args: Any, **kwargs: Any) -> Any:
            call = self._call()
            if call is None:
                return await function(*args, **kwargs)
            with _Context(self._calls, call):
                return await function(*args, **kwargs)

        return run

    def _call(self) -> Any:
        """Whose context it is: of several calls the first that is a span, else the first with a caller's.

        Where none is recorded the caller's is named: who has decided that has decided for the tool's libraries, too.
        """
        traced = [call for call in self._calls.served() if call.traceparent]
        return next((call for call in traced if call.recorded), traced[0] if traced else None)


class _Context:
    """Around one run of a tool."""

    def __init__(self, calls: Calls, call: Any) -> None:
        self._calls = calls
        self._call = call
        self._leave: _otel.Leave | None = None
        self._is_left = False

    def __enter__(self) -> None:
        try:
            with self._calls.shield(self._call.id):
                if self._leave is None:
                    self._begin()
        except BaseException as error:  # Cancelled, at the end of the shield: what is not entered is not left either
            self.__exit__(type(error), error, error.__traceback__)
            raise

    def __exit__(self, *_: object) -> None:
        with self._calls.shield(self._call.id):
            if self._leave is not None and not self._is_left:
                with suppress(Exception):
                    self._leave()
            self._is_left = True

    def _begin(self) -> None:
        context = _trace_context.read(self._call.traceparent)
        if context is None:
            return
        own = self._calls.span_id_of(self._call)
        with suppress(Exception):  # another OpenTelemetry than we know
            self._leave = _otel.enter(context._replace(span_id=own) if own else context, self._call.tracestate, not own)

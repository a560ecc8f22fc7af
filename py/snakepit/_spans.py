"""What a call is in its trace while it runs here: a span, if the trace is recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from time import perf_counter_ns, time_ns
from typing import Any, NamedTuple, Protocol

from snakepit import _otel, _trace_context
from snakepit._cancel import let_pass
from snakepit._failure import text_of, type_name
from snakepit._telemetry import Gathered, Span
from snakepit._tools import Tool
from snakepit._trace_context import TraceContext

_SERVER = 2  # see Span.kind in control.proto


class Calls(Protocol):
    """What spans want to know of the calls that run."""

    def served(self) -> Sequence[Any]:
        """The Calls for which the tool runs that is called here, in the order of its arguments."""

    def shield(self, call_id: int) -> AbstractContextManager[None]:
        """Around what Cancelled must not come into."""


class Spans:
    """Those of the calls that run."""

    def __init__(self, calls: Calls, gathered: Gathered, records: bool = True) -> None:
        """records: whether the host wants any. If not, the caller's is named to OpenTelemetry, and that is all."""
        self._calls = calls
        self._records = records
        self._gathered = gathered
        self._ids: dict[int, str] = {}  # by the ids of the calls

    def id_of(self, call_id: int) -> str:
        """Of the span that a call is; empty: it is none."""
        return self._ids.get(call_id, "")

    def records(self, context: TraceContext) -> bool:
        return self._records and context.is_sampled

    def adopt(self, tool: Tool) -> None:
        """Have a tool's calls recorded. After all others that put themselves between the runner and the tool."""
        tool.function = self._around(tool, tool.function)
        if tool.coroutine_function is not None:
            tool.coroutine_function = self._around_coroutine(tool, tool.coroutine_function)
        if tool.batch is not None:
            tool.batch = tool.batch._replace(
                function=self._around(tool, tool.batch.function, True),
                async_function=self._around_coroutine(tool, tool.batch.async_function, True),
            )

    def _around(self, tool: Tool, function: Callable[..., Any], is_batch: bool = False) -> Callable[..., Any]:
        @let_pass
        def run(*args: Any, **kwargs: Any) -> Any:
            calls = self._traced()
            if not calls:
                return function(*args, **kwargs)
            part = _Part(self, tool, calls)
            with part, part:  # twice: Cancelled may come in place of one __exit__
                result = function(*args, **kwargs)
                part.results = result if is_batch else ()
                return result

        return run

    def _around_coroutine(self, tool: Tool, function: Callable[..., Any], is_batch: bool = False) -> Callable[..., Any]:
        async def run(*args: Any, **kwargs: Any) -> Any:
            calls = self._traced()
            if not calls:
                return await function(*args, **kwargs)
            part = _Part(self, tool, calls)
            with part:
                result = await function(*args, **kwargs)
                part.results = result if is_batch else ()
                return result

        return run

    def _traced(self) -> list[_Traced]:
        """Those for which something is to be done."""
        found: list[_Traced] = []
        for position, call in enumerate(self._calls.served()):
            context = _trace_context.read(call.trace.traceparent)
            if context is not None and (self.records(context) or _otel.is_loaded()):
                found.append(_Traced(position, call, context))
        return found


class _Traced(NamedTuple):
    position: int  # among those for which the tool runs
    call: Any
    context: TraceContext


class _Part:
    """One run of a tool: a span for each call that is recorded, and the first of them is OpenTelemetry's current one.

    Where none is recorded the caller's is: who has decided that has decided for what the tool's libraries do, too.
    """

    def __init__(self, spans: Spans, tool: Tool, calls: list[_Traced]) -> None:
        self._spans = spans
        self._tool = tool
        self._sampled = [one for one in calls if spans.records(one.context)]
        self._first = (self._sampled or calls)[0]
        self._leave: _otel.Leave | None = None
        self._begin_ns = 0
        self._ticks = 0
        self.results: Any = ()
        """What a batch tool has returned: some of it may be exceptions."""

    def __enter__(self) -> None:
        try:
            with self._shield():
                if not self._begin_ns:
                    self._begin()
        except BaseException as error:  # Cancelled, at the end of the shield: what is not entered is not left either
            self.__exit__(type(error), error, error.__traceback__)
            raise

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        with self._shield():
            if self._begin_ns:
                self._end(error)
            self._begin_ns = 0

    def _shield(self) -> AbstractContextManager[None]:
        return self._spans._calls.shield(self._first.call.id)

    def _begin(self) -> None:
        ids = self._spans._ids
        for one in self._sampled:
            ids[one.call.id] = _trace_context.new_span_id()
        _, call, context = self._first
        if call.id in ids:
            context = context._replace(span_id=ids[call.id])
        with suppress(Exception):  # another OpenTelemetry than we know
            self._leave = _otel.enter(context, call.trace.tracestate, call.id not in ids)
        self._begin_ns, self._ticks = time_ns(), perf_counter_ns()

    def _end(self, error: BaseException | None) -> None:
        took = perf_counter_ns() - self._ticks
        if self._leave is not None:
            with suppress(Exception):
                self._leave()
        for one in self._sampled:
            span_id = self._spans._ids.pop(one.call.id)
            self._spans._gathered.add_span(self._span(one, span_id, took, error or self._problem_of(one)))

    def _problem_of(self, one: _Traced) -> BaseException | None:
        results = self.results
        if type(results) not in (list, tuple) or one.position >= len(results):
            return None
        result = results[one.position]
        return result if isinstance(result, BaseException) else None

    def _span(self, one: _Traced, span_id: str, took: int, error: BaseException | None) -> Span:
        return Span(
            trace_id=one.context.trace_id,
            span_id=span_id,
            parent_id=one.context.span_id,
            name=self._tool.name,
            kind=_SERVER,
            begin_ns=self._begin_ns,
            end_ns=self._begin_ns + took,
            failed=error is not None,
            message=_description_of(error) if error is not None else "",
            # https://opentelemetry.io/docs/specs/semconv/
            attributes=(
                ("rpc.system", "snakepit"),
                ("rpc.method", self._tool.name),
                ("thread.id", str(threading.get_native_id())),
                ("thread.name", threading.current_thread().name),
                ("code.function", self._tool.where),
            ),
            tracestate=one.call.trace.tracestate,
        )


def _description_of(error: BaseException) -> str:
    """As in "TypeError: unhashable type: 'list'"."""
    text = text_of(error)
    return f"{type_name(error)}: {text}" if text else type_name(error)

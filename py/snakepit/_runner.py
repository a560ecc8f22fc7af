"""What every way of running calls has in common: the Port of the lane, control, questions and ends.

_serial.py runs them one at a time, on the main thread; _concurrent.py, several at once.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from snakepit import _codec, _trace_context
from snakepit._asks import Asks, Unanswered
from snakepit._context import CurrentCall
from snakepit._failure import describe
from snakepit._host_errors import SessionClosed, SessionLimit
from snakepit._lane import Lane
from snakepit._leave import leave
from snakepit._origin import NONE, Origin, origin_of
from snakepit._page import Page
from snakepit._protocol import EXIT_PROTOCOL, MAX_MESSAGE_BYTES
from snakepit._recall import RECALLED, Recalls
from snakepit._replies import Replies
from snakepit._session import Session
from snakepit._streams import StreamRefused, Streams
from snakepit._text import cut_middle
from snakepit._tools import Tool
from snakepit._transfers import Incoming, ProtocolError
from snakepit.v1 import work_pb2

if TYPE_CHECKING:
    from snakepit._contexts import Contexts
    from snakepit._spans import Spans
    from snakepit._stacks import AtWork

_Failure = work_pb2.Failure
_NO_SHIELD = nullcontext()
_LONGEST_FLUSH = 0.05  # seconds of the control thread: a tool may yield as fast as we send


class Limits(NamedTuple):
    """What Welcome allows."""

    max_frame_bytes: int
    max_message_bytes: int
    max_inflight_bytes: int


class Progress(NamedTuple):
    """What Pong tells."""

    received_id: int
    begun_id: int
    ended_calls: int
    running_us: int


class Runner:
    """The Port of a lane. The methods that other threads may call say so."""

    def __init__(self, tools: Sequence[Tool], limits: Limits, page: Page) -> None:
        self._tools = tools
        self._page = page
        self._max_message = limits.max_message_bytes
        self._incoming = Incoming(limits.max_message_bytes, limits.max_inflight_bytes)
        self._replies = Replies(limits.max_frame_bytes, limits.max_inflight_bytes)
        self._asks = Asks(self._replies)
        self._streams = Streams(self, self._replies, self._asks, limits.max_message_bytes)
        for tool in tools:
            self._streams.adopt(tool)
        self._inbox: deque[tuple[float, Any]] = deque()  # (when it was sent, its calls)
        self._lane: Lane | None = None
        self._received_id = 0
        self._begun_id = 0
        self._ended_calls = 0
        self._forked = False
        self._spans: Spans | None = None
        self._told = threading.local()  # the origin that was asked for last, and for what: each piece of a line asks
        self._on_calls: Callable[[], None] | None = None
        # Set by the control thread. `_attention` is all that a call looks at while nobody wants anything.
        self._attention = False
        self._unwanted: set[int] = set()
        self._recalls = Recalls(self._replies)
        self._stopping = False
        self._end_at = inf

    # The Port of the lane.

    def on_frame(self, frame: bytes) -> None:
        now = monotonic()
        try:
            parsed = work_pb2.WorkDown.FromString(frame)
            for chunk in parsed.chunks:
                self._incoming.add(chunk)
            for answer in parsed.answers:
                transferred = answer.WhichOneof("body") == "transfer"
                self._asks.answered(
                    answer.number, self._incoming.take(answer.transfer) if transferred else answer.finding
                )
            if parsed.HasField("streams"):
                self._streams.take_in(parsed.streams)
            calls = parsed.calls
            if calls:
                # A frame waits here while a tool runs. The host's clock is ours, unless it is on another machine.
                sent = parsed.sent_us * 1e-6
                self._inbox.append((sent if 0.0 < sent < now else now, calls))
                self._received_id = calls[-1].id
                if self._on_calls is not None:
                    self._on_calls()
        except Exception as error:
            _break_off(error)

    def next_frame(self) -> bytes | None:
        try:
            return self._replies.next_frame()
        except Exception as error:
            _break_off(error)

    def pending(self) -> bool:
        return bool(self._replies)

    def finished(self) -> bool:
        # Each call ends once, and they count from 1: so many ends are those of all up to this id.
        return self._ended_calls >= self._end_at and not self._replies

    # For the control thread: one thread at a time.

    def cancel(self, ids: Sequence[int]) -> None:
        """See Cancel in control.proto."""
        # Before the ids are compared: a call that begins meanwhile either finds itself here or is found begun there.
        self._unwanted.update(ids)
        self._attention = True
        begun_id = self._begun_id  # read once: the next call may begin at any moment
        begun = [call_id for call_id in ids if call_id <= begun_id]
        self._unwanted.difference_update(begun)
        self._ask_to_stop(begun)

    def recall(self, ids: Sequence[int]) -> None:
        """See Recall in control.proto."""
        asked = self._recalls.ask(ids)
        self._attention = True
        self._recalls.answer(asked, self._begun_id)
        self._send_what_is_ready()

    def end(self, last_id: int, stop: bool) -> None:
        """Finish what is up to `last_id`; with `stop`, do not begin any more and ask what runs."""
        self._end_at = last_id
        if stop:
            self._stopping = True
            self._attention = True
            self._ask_all_to_stop()
        if self._lane is not None:
            self._lane.wake()

    def _ask_to_stop(self, ids: Sequence[int]) -> None:
        """Those of these calls, which have begun, that have not ended."""
        raise NotImplementedError

    def _ask_all_to_stop(self) -> None:
        raise NotImplementedError

    def _is_open(self, call_id: int) -> bool:
        """Whether a call that has begun (0: none ever has) goes on. Any thread."""
        raise NotImplementedError

    def progress(self) -> Progress:
        """Any thread."""
        raise NotImplementedError

    def _send_what_is_ready(self) -> None:
        """A tool that is usually fast is not now, and what it has posted should be seen."""
        if self._replies and self._lane is not None:
            self._asks.flush_all(self._lane, monotonic() + _LONGEST_FLUSH)

    def tell_of_blocked_loop(self, tell: Callable[[float, str, str], None]) -> None:
        """Name who wants to know, if calls share an event loop: see LoopBlocked in control.proto."""

    # For telemetry.

    def record(self, spans: Spans) -> None:
        """Have the calls with Call.recorded be spans. Before the first call."""
        self._spans = spans

    def run_within(self, contexts: Contexts) -> None:
        """Have tools run in the contexts of their calls. Before the first call."""
        for tool in self._tools:
            contexts.adopt(tool)

    def tell_of_calls(self, on_calls: Callable[[], None]) -> None:
        """Name who wants to know that calls have come, as soon as they have. Before the first one."""
        self._on_calls = on_calls

    def is_busy(self) -> bool:
        """Whether calls run, or have come and will. Any thread."""
        return self._ended_calls < self._received_id

    def at_work(self) -> list[AtWork]:
        """The calls that run. Any thread."""
        raise NotImplementedError

    def origin(self) -> Origin | None:
        """See Origins. Any thread."""
        raise NotImplementedError

    def has_ended(self, call_id: int) -> bool:
        """See Origins. Any thread."""
        return not self._is_open(call_id)

    def served(self) -> Sequence[Any]:
        """The Calls for which the tool runs that is called here, for Contexts."""
        return (self.running(),)

    def span_id_of(self, call: Any) -> str:
        """Of the span that a Call is; empty: it is none."""
        return self._spans.id_of(call) if self._spans is not None else ""

    def _origin_of(self, call: Any) -> Origin:
        key = call.id, self.span_id_of(call)
        told, origin = getattr(self._told, "last", (None, NONE))
        if told != key:
            origin = origin_of(call, self._tools[call.tool].name, key[1])
            self._told.last = key, origin
        return origin

    def _traceparent_of(self, call: Any) -> str | None:
        """What the tool passes on; None: it has no trace."""
        header: str = call.traceparent
        span_id = self.span_id_of(call)
        context = _trace_context.read(header) if span_id else None
        return context.header(span_id) if context is not None else header or None

    # For tools.

    def current_call(self) -> CurrentCall | None:
        """The call for which this is asked, or None."""
        raise NotImplementedError

    def current_batch(self) -> tuple[CurrentCall, ...] | None:
        """The calls for which this is asked, when they are a batch. Any thread. None: they are not."""
        return None

    def session(self) -> Session | None:
        """The running call's session. Any thread. Raises RuntimeError when no call is running."""
        raise NotImplementedError

    def post(self, call_id: int, changes: list[tuple[str, bytes]]) -> None:
        """Have variables of the running call's session set, without an answer. For who has a lease."""
        raise NotImplementedError

    def ask(self, call_id: int, question: work_pb2.Question) -> work_pb2.Finding:
        """Ask for a running call. Any thread. Raises SessionClosed when the call is over."""
        encoded = question.SerializeToString()
        if len(encoded) > self._max_message:
            raise SessionLimit(
                f"{len(encoded)} bytes to send; max_message_bytes is {self._max_message}", "message_too_large"
            )
        if not self._is_open(call_id) or self._forked:
            raise SessionClosed("the call is over", "session_closed")
        give_up_if_asked = self._waits_in_tool(call_id)
        try:
            finding: work_pb2.Finding = work_pb2.Finding.FromString(
                bytes(self._asks.ask(call_id, encoded, give_up_if_asked or _go_on))
            )
        except Unanswered:
            raise SessionClosed("the call is over", "session_closed") from None
        if give_up_if_asked is not None and finding.refusal.given_up:
            # Cancel is on its way: Cancelled is raised once, and for one reason.
            self._wait_until_asked(call_id)
            give_up_if_asked()
        return finding

    def await_request(self, call_id: int) -> None:
        """Cancel is on its way: wait until it has come, for Streams."""
        self._wait_until_asked(call_id)

    def running(self) -> Any:
        """The Call that runs on this thread, for Streams."""
        raise NotImplementedError

    def is_open(self, call_id: int) -> bool:
        """Whether a call has not ended. Any thread."""
        return self._is_open(call_id)

    def give_up_if_asked(self, call_id: int) -> None:
        """Raise Cancelled when the call is to stop and this thread runs its tool."""
        if (check := self._waits_in_tool(call_id)) is not None:
            check()

    def shield(self, call_id: int) -> AbstractContextManager[None]:
        """Around code of ours that a call's tool has called: Cancelled does not come in there."""
        return _NO_SHIELD

    def shares_thread(self) -> bool:
        """Whether other calls go on in this thread, so that the tool must not hold it up."""
        return False

    def _waits_in_tool(self, call_id: int) -> Callable[[], None] | None:
        """For the thread that runs the call's tool, when it waits: what raises Cancelled when the call is to stop."""
        raise NotImplementedError

    def _wait_until_asked(self, call_id: int) -> None:
        """For that thread, which has heard that the call will be asked to stop."""
        raise NotImplementedError

    # The main thread's own.

    def serve(self, lane: Lane) -> bool:
        """Run calls until there is nothing more to do (True) or the stream is lost (False)."""
        raise NotImplementedError

    # For those who run calls.

    def _encode(self, result: object) -> Any:
        try:
            encoded = _codec.encode(result)
        except _codec.Unserializable as error:
            return failure_of(_Failure.UNSERIALIZABLE, str(error))
        except MemoryError:
            return failure_of(_Failure.UNSERIALIZABLE, "result: no memory to encode it")
        except BaseException as error:  # raised by a property or __getattr__ of the result
            return raised_by(error)
        if len(encoded) > self._max_message:
            return failure_of(
                _Failure.TOO_LARGE,
                f"the result has {len(encoded)} bytes; max_message_bytes is {self._max_message}",
            )
        return encoded

    def _is_unwanted(self, call_id: int) -> bool:
        if self._stopping:
            return True
        if call_id in self._unwanted:
            self._unwanted.discard(call_id)
            return True
        # A cancel or recall that is being taken in may still add to its set; it sets the flag afterwards.
        self._attention = False
        if self._unwanted or self._recalls or self._stopping:
            self._attention = True
        return False

    def _transferred(self, call: Any) -> bytes | bytearray:
        if call.WhichOneof("arguments") != "transfer":
            return b""
        try:
            return self._incoming.take(call.transfer)
        except ProtocolError as error:
            _break_off(error)

    def _drop_arguments(self, call: Any) -> None:
        if call.WhichOneof("arguments") == "transfer":
            self._incoming.drop(call.transfer)

    def _pass_over(self, call: Any, kind: work_pb2.Failure.Kind, message: str) -> None:
        self._drop_arguments(call)
        self._fail(call.id, kind, message)

    def _pass_over_recalled(self, call: Any, unanswered: bool) -> None:
        """Its end is kept also when it was answered before: that may not have arrived."""
        self._drop_arguments(call)
        self._unwanted.discard(call.id)
        self._page.end(call.id, RECALLED)
        if unanswered:
            self._replies.add((call.id, RECALLED, 0))
        self._ended_calls += 1
        self._streams.forget(call.id)

    def _fail(self, call_id: int, kind: work_pb2.Failure.Kind, message: str) -> None:
        """End a call whose tool did not run."""
        failure = failure_of(kind, message)
        self._page.end(call_id, failure)
        self._replies.add((call_id, failure, 0))
        self._ended_calls += 1
        self._streams.forget(call_id)


def _go_on() -> None:
    pass


def failure_of(kind: work_pb2.Failure.Kind, message: str) -> Any:
    return _Failure(kind=kind, message=cut_middle(message, MAX_MESSAGE_BYTES))


def raised_by(error: BaseException) -> Any:
    if type(error) is StreamRefused:
        return failure_of(error.kind, str(error))
    raised = describe(error)
    return _Failure(
        kind=_Failure.TOOL_RAISED,
        type=raised.type,
        message=raised.message,
        traceback=raised.traceback,
        causes=[work_pb2.Cause(type=type_, message=message) for type_, message in raised.causes],
    )


def leave_fork(error: BaseException | None) -> NoReturn:
    """A process that a tool has forked came back from the tool: it must not serve calls in the worker's place."""
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        leave(1, error)
    leave(code)


def _break_off(error: Exception) -> NoReturn:
    """The stream cannot go on. Not by raising: that would pass through the lane."""
    leave(EXIT_PROTOCOL, error)

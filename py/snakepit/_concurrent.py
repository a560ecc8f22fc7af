"""What those have in common that run several calls at once: calls begin in order and end in any.

_threaded.py runs them in threads, _awaiting.py on an event loop.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from functools import partial
from math import inf
from time import monotonic, sleep
from typing import Any

from snakepit import _codec
from snakepit._cancel import Cancelled, Reason
from snakepit._context import CurrentCall
from snakepit._interrupt import Interruptible
from snakepit._lane import Lane
from snakepit._lease import Lease
from snakepit._loops import own_loop
from snakepit._origin import Origin
from snakepit._page import PLACE_COUNT, Page
from snakepit._protocol import END_SECONDS
from snakepit._recall import RECALLED
from snakepit._runner import Limits, Progress, Runner, failure_of, leave_fork, raised_by
from snakepit._session import Session
from snakepit._shield import use_here
from snakepit._stacks import AtWork
from snakepit._tools import Tool
from snakepit.v1 import work_pb2

_Failure = work_pb2.Failure
_Waiting = tuple[float, Any, "bytes | bytearray"]  # when it was sent, the call, its arguments


class Run:
    """A call that has begun."""

    __slots__ = (
        "arguments",
        "call",
        "current",
        "ended",
        "has_run",
        "id",
        "lease",
        "place",
        "sent_at",
        "started",
        "stop",
        "taken",
        "task",
        "thread",
        "tool",
        "unwanted",
        "waits",
    )

    def __init__(self, call: Any, tool: Tool, sent_at: float, started: float, arguments: bytes | bytearray) -> None:
        self.id: int = call.id
        self.call = call
        self.tool = tool
        self.sent_at = sent_at
        self.started = started
        self.arguments = arguments
        self.place = 0
        self.waits = False
        """Whether it waits in its place, for the main thread, say, and begins when it is taken."""
        self.taken = False
        """Whether somebody runs it by now, or ends it unrun."""
        self.has_run = False
        self.ended = False
        self.task: Any = None
        self.unwanted: Reason | None = None
        self.current: CurrentCall | None = None
        self.lease: Lease | None = None  # once the call has looked at its session
        self.thread = 0
        """Where its tool runs."""
        self.stop: Callable[[Reason], None] | None = None
        """Has the tool asked to stop; None: it has not come so far."""

    def enter(self) -> None:
        """Its tool begins, here."""
        self.thread = threading.get_ident()
        self.started = monotonic()
        self.has_run = True  # behind what others look at then

    def is_unwanted(self, _: int) -> bool:
        """For CurrentCall."""
        return self.unwanted is not None

    def why_to_stop(self) -> Reason:
        return "expired" if self.is_overdue() else "cancelled"

    def is_overdue(self) -> bool:
        timeout: int = self.call.timeout_us
        return timeout > 0 and monotonic() >= self.sent_at + timeout * 1e-6


# Of a thread that runs a tool, of those that run_in_thread() starts, and of tasks.
_current: ContextVar[Run | None] = ContextVar("snakepit-call", default=None)


class ConcurrentRunner(Runner):
    """A thread of its own drives the lane. `_lock` guards what is begun and what is ended."""

    def __init__(self, tools: Sequence[Tool], limits: Limits, page: Page) -> None:
        super().__init__(tools, limits, page)
        self._streams.share_loops(tools)
        _codec.use_in_threads()
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting] = deque()
        self._running: dict[int, Run] = {}  # by id, in the order in which they were begun
        self._free_places = list(range(PLACE_COUNT - 1, -1, -1))
        self._served = False

    # For the control thread.

    def cancel(self, ids: Sequence[int]) -> None:
        """See Cancel in control.proto."""
        with self._lock:
            self._unwanted.update([call_id for call_id in ids if call_id > self._begun_id])
            self._attention = True
            runs = [self._running[call_id] for call_id in ids if call_id in self._running]
        self._stop(runs)

    def recall(self, ids: Sequence[int]) -> None:
        """See Recall in control.proto. Those that wait in their places have not begun."""
        super().recall(ids)
        with self._lock:
            waiting = [run for run in map(self._running.get, ids) if run is not None and run.waits]
        for run in waiting:
            self._end_unrun(run, RECALLED)

    def _ask_all_to_stop(self) -> None:
        with self._lock:
            runs = list(self._running.values())
        self._stop(runs)
        self._begin_more()  # what waits is passed over

    def _stop(self, runs: list[Run]) -> None:
        for run in runs:
            run.unwanted = run.unwanted or run.why_to_stop()
            stop = run.stop  # read once: the call may end at any moment
            if stop is not None:
                stop(run.unwanted)
            elif run.waits:
                self._end_unrun(run, stopped(run.unwanted))
        if runs:
            self._asks.interrupt()

    def _end_unrun(self, run: Run, outcome: Any) -> None:
        """One that waits in its place, if nobody has taken it yet."""
        if self._take(run):
            self._end(run, outcome)
            self._flush()  # now: who waits may do so because the loop is held up
            self._begin_more()

    def _take(self, run: Run) -> bool:
        """Whether the caller is the first who wants to run or to end it."""
        with self._lock:
            was_free, run.taken = not run.taken, True
        return was_free

    def _take_now(self, run: Run) -> bool:
        """For who runs calls that wait: whether it is to, which begins now."""
        if not self._take(run):
            return False
        self._page.waits_no_more_at(run.place, monotonic())
        return True

    def _waits(self, tool: Tool) -> bool:
        """Whether its calls do, when their turn has come."""
        return tool.main_thread

    def _is_open(self, call_id: int) -> bool:
        return call_id in self._running

    def is_open(self, call_id: int) -> bool:
        with self._lock:  # a call that is being begun is in one of the two
            return call_id in self._running or call_id > self._begun_id

    def finished(self) -> bool:
        # Also when it was told to begin no more, however much waits.
        return self._ended_calls >= self._end_at and not self._running and not self._replies

    def progress(self) -> Progress:
        """Any thread."""
        with self._lock:
            first = next(iter(self._running.values()), None)
        running_us = max(1, int((monotonic() - first.started) * 1e6)) if first is not None else 0
        return Progress(self._received_id, self._begun_id, self._ended_calls, running_us)

    # For telemetry.

    def at_work(self) -> list[AtWork]:
        with self._lock:
            runs = list(self._running.values())
        return [self._work_of(run) for run in runs if self._is_at_work(run)]

    def _is_at_work(self, run: Run) -> bool:
        return run.has_run

    def _work_of(self, run: Run) -> AtWork:
        return AtWork(self._origin_of(run.call), 0, run.started, run.thread, run.task)

    def origin(self) -> Origin | None:
        run = _current.get()
        return self._origin_of(run.call) if run is not None and not run.ended else None

    # For tools.

    def running(self) -> Any:
        run = _current.get()
        assert run is not None
        return run.call

    def shield(self, call_id: int) -> AbstractContextManager[None]:
        thread = self._thread_of(call_id)
        return super().shield(call_id) if thread is None else thread

    def current_call(self) -> CurrentCall | None:
        run = _current.get()
        if run is None:
            return None
        if run.current is None:
            run.current = self._describe(run)
        return run.current

    def _describe(self, run: Run) -> CurrentCall:
        call = run.call
        return CurrentCall(
            id=run.id,
            tool=run.tool.name,
            session=call.session or None,
            deadline=run.sent_at + call.timeout_us * 1e-6 if call.timeout_us else None,
            asked_to_stop=run.is_unwanted,
            traceparent=self._traceparent_of(call),
            tracestate=call.tracestate or None,
        )

    def session(self) -> Session | None:
        run = _current.get()
        if run is None:
            raise RuntimeError("snakepit.session() works only while a tool runs for a caller")
        call = run.call
        if not call.session:
            return None
        if run.lease is None and call.HasField("lease") and run.thread == threading.get_ident() and not self._forked:
            run.lease = Lease(run.id, call.lease, self._page.words).for_reading()
        return Session(call.session, run.id, self, run.lease)

    def ask(self, call_id: int, question: work_pb2.Question) -> work_pb2.Finding:
        """Ask for a running call. Any thread. Raises SessionClosed when the call is over."""
        thread = self._thread_of(call_id)
        if thread is None:
            return super().ask(call_id, question)
        with thread:
            return super().ask(call_id, question)

    def _thread_of(self, call_id: int) -> Interruptible | None:
        """This thread, when it is the one that runs the call's tool."""
        thread: Interruptible | None = getattr(_here, "thread", None)
        return thread if thread is not None and thread.call == call_id else None

    def _waits_in_tool(self, call_id: int) -> Callable[[], None] | None:
        thread = self._thread_of(call_id)
        return None if thread is None else thread.check

    def _wait_until_asked(self, call_id: int) -> None:
        until = monotonic() + END_SECONDS
        while monotonic() < until:
            run = self._running.get(call_id)
            if run is None or run.unwanted is not None:
                return
            sleep(0.001)

    # For those who run calls.

    def _begin_serving(self, lane: Lane) -> threading.Thread:
        """Drive the lane, in the thread that this returns, until there is nothing more to do or it is lost."""
        self._lane = lane
        self._asks.use(lane, has_driver=True)
        self._streams.use(lane)
        os.register_at_fork(after_in_child=self._after_fork)
        driver = threading.Thread(target=self._drive, args=(lane,), name="snakepit-lane", daemon=True)
        driver.start()
        return driver

    def _drive(self, lane: Lane) -> None:
        inbox = self._inbox
        try:
            if self.finished():
                self._served = True
                return
            while self._asks.drive(lane, lambda: inbox):
                while inbox:
                    sent_at, calls = inbox.popleft()
                    came = [(sent_at, call, call.inline or self._transferred(call)) for call in calls]
                    with self._lock:
                        self._waiting.extend(came)
                    self._begin_more()
                lane.flush()
                if self._end_at is not inf and self.finished() and not lane.sending:
                    self._served = True
                    return
            self._served = self.finished()
        finally:
            self._end_serving()

    def _begin_more(self) -> None:
        """Begin what can be begun of what waits. Any thread."""
        raise NotImplementedError

    def _end_serving(self) -> None:
        """Nothing more will come, and nothing runs, or the stream is lost. The lane's thread."""
        raise NotImplementedError

    def _next(self, has_room_for: Callable[[Tool], bool]) -> Run | None:
        """Begin the first call that waits, in the page too, if there is room. The caller has the lock."""
        waiting = self._waiting
        while waiting:
            sent_at, call, arguments = waiting[0]
            call_id: int = call.id
            position = call.tool
            tool = self._tools[position] if position < len(self._tools) else None
            if not self._stopping and (call_id > self._end_at or (tool is not None and not has_room_for(tool))):
                return None
            waiting.popleft()
            self._begun_id = call_id
            if self._attention:
                recalled = self._recalls.take(call_id)
                if recalled is not None:
                    self._pass_recalled(call_id, recalled)
                    continue
                if self._is_unwanted(call_id):
                    self._pass(call_id, _Failure.CANCELLED, "cancelled before it was begun")
                    continue
            if tool is None:
                self._pass(call_id, _Failure.UNKNOWN_TOOL, f"no tool at position {position}")
                continue
            started = monotonic()
            timeout = call.timeout_us
            if timeout and started >= sent_at + timeout * 1e-6:
                self._pass(call_id, _Failure.EXPIRED, "the deadline was over before the tool was begun")
                continue
            run = Run(call, tool, sent_at, started, arguments)
            run.place = self._free_places.pop()
            run.waits = self._waits(tool)
            self._page.begin_at(run.place, call_id, 0.0 if run.waits else started)
            self._running[call_id] = run
            return run
        return None

    def _pass(self, call_id: int, kind: work_pb2.Failure.Kind, message: str) -> None:
        failure = failure_of(kind, message)
        self._streams.forget(call_id)
        self._page.pass_over(call_id, failure)
        self._replies.add((call_id, failure, 0))
        self._ended_calls += 1

    def _pass_recalled(self, call_id: int, unanswered: bool) -> None:
        self._unwanted.discard(call_id)
        self._streams.forget(call_id)
        self._page.pass_over(call_id, RECALLED)
        if unanswered:
            self._replies.add((call_id, RECALLED, 0))
        self._ended_calls += 1

    def _end(self, run: Run, outcome: Any) -> bool:
        """The call is over. False: it was before."""
        if run.unwanted is not None:
            self._replies.drop_items(run.id)
        took = monotonic() - run.started
        ran_us = (int(took * 1e6) or 1) if run.has_run else 0
        with self._lock:
            if run.ended:
                return False
            run.ended = True
            del self._running[run.id]
            self._page.end_at(run.place, run.id, outcome)
            self._free_places.append(run.place)
            self._replies.add((run.id, outcome, ran_us))
            self._ended_calls += 1
        if not run.has_run:
            self._streams.forget(run.id)
        elif run.call.recorded and self._spans is not None:
            self._spans.add(run.call, run.tool, run.started, took, outcome, run.thread)
        run.stop = run.current = run.task = None  # they refer to it, and the collector is not to be kept busy
        if run.lease is not None:
            run.lease.end()
        if self._asks:
            self._asks.end_of_call(run.id)
        return True

    def _send_what_is_ready(self) -> None:
        self._flush()

    def _flush(self) -> None:
        if self._lane is not None:
            self._lane.flush()

    def _arguments(self, run: Run) -> tuple[list[Any], dict[str, Any], Any]:
        """Positions and names, and what is wrong with them, or None."""
        encoded, run.arguments = run.arguments, b""
        try:
            arguments = _codec.decode(encoded)
        except _codec.Undecodable as error:
            return [], {}, failure_of(_Failure.UNDECODABLE, str(error))
        except MemoryError:
            return [], {}, failure_of(_Failure.UNDECODABLE, "no memory for the arguments")
        tool = run.tool
        if type(arguments) is dict:
            if tool.accepts_keywords(arguments):
                return [], arguments, None
        else:
            positions = arguments if type(arguments) is list else [arguments]
            if tool.accepts_positional(len(positions)):
                return positions, {}, None
        return [], {}, failure_of(_Failure.BAD_ARGUMENTS, tool.explain(arguments))

    def _run_here(self, run: Run, thread: Interruptible) -> None:
        """Run a call's tool in this thread, from its arguments to its end."""
        positions, names, wrong = self._arguments(run)
        if wrong is None:
            run.enter()
            own = own_loop()
            own.why_unwanted = lambda: run.unwanted
            _current.set(run)
            result: Any = None
            error: BaseException | None = None
            try:
                try:
                    thread.enter(run.id)
                    run.stop = (lambda _: own.stop()) if run.tool.is_async else partial(thread.ask, run.id)
                    if run.unwanted is not None:  # asked before there was anybody to be asked
                        raise Cancelled(run.unwanted)
                    result = run.tool.function(*positions, **names)
                finally:
                    thread.leave()
            except BaseException as raised:  # SystemExit and KeyboardInterrupt end the call, not the worker
                error = raised
                thread.leave()
            _current.set(None)
            if self._forked:
                leave_fork(error)
            outcome = self._encode(result) if error is None else self._outcome_of(run, error)
            error = None  # its traceback refers to this frame
        else:
            outcome = wrong
        self._end(run, outcome)

    def _outcome_of(self, run: Run, error: BaseException) -> Any:
        if not isinstance(error, Cancelled) or run.unwanted is None:
            return raised_by(error)
        return stopped(error.reason)

    def _after_fork(self) -> None:
        self._forked = True
        self._streams.after_fork()


def stopped(reason: Reason) -> Any:
    """How a call ends that was asked to stop and did."""
    if reason == "expired":
        return failure_of(_Failure.EXPIRED, "the deadline was over while the tool ran")
    return failure_of(_Failure.CANCELLED, "cancelled while the tool ran")


_here = threading.local()


def runs_tools_here() -> Interruptible:
    """This thread, as one that runs tools."""
    thread = _here.thread = Interruptible()
    use_here(thread)
    return thread

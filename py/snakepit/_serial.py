"""Runs calls one at a time, in order, on the main thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from math import inf
from time import monotonic
from types import CodeType
from typing import Any

from snakepit import _codec
from snakepit._cancel import Asker, Cancelled, Reason
from snakepit._context import CurrentCall
from snakepit._lane import Lane
from snakepit._lease import Lease
from snakepit._loops import own_loop
from snakepit._origin import Origin
from snakepit._pace import COST_WEIGHT, SLOW, leave_by, mean_with
from snakepit._page import BEGUN, STARTED, Page
from snakepit._protocol import END_SECONDS
from snakepit._runner import Limits, Progress, Runner, failure_of, leave_fork, raised_by
from snakepit._session import Session
from snakepit._stacks import AtWork
from snakepit._tools import Tool
from snakepit.v1 import work_pb2

_MANY_WRITES = 1000

_Failure = work_pb2.Failure


class SerialRunner(Runner):
    """The process profile."""

    def __init__(self, tools: Sequence[Tool], limits: Limits, page: Page) -> None:
        super().__init__(tools, limits, page)
        self._running: Any = None
        self._running_since = 0.0
        self._sent_at = 0.0  # of the running call's frame: its timeouts count from here
        self._leave_by = 0.0  # when replies that are ready no longer wait for the rest of their frame
        self._sending_cost = 0.0  # mean seconds that it takes to let them leave
        self._current: CurrentCall | None = None
        self._lease: Lease | None = None  # the running call's, once it has looked at its session
        self._writes = 0  # that were not waited for
        self._last_write: dict[str, int] = {}  # number of the last of these, by session
        self._asked_to_stop = 0
        self._was_asked = threading.Event()
        self._main_thread = threading.get_ident()
        self._own_loop = own_loop()
        self._own_loop.why_unwanted = self._why_unwanted
        self._asker = Asker(self._runs_tools(), self._is_open, self._is_overdue)

    def _runs_tools(self) -> tuple[CodeType, ...]:
        """For Asker."""
        return (SerialRunner._run.__code__,)

    # For the control thread.

    def _ask_to_stop(self, ids: Sequence[int]) -> None:
        begun_id = self._begun_id
        if begun_id in ids and self._is_open(begun_id):
            self._asked_to_stop = begun_id
            self._was_asked.set()
            _remember(self._current)
            self._own_loop.stop()
            self._asker.ask(begun_id)
            self._asks.interrupt()

    def _why_unwanted(self) -> Reason | None:
        if self._asked_to_stop != self._begun_id:
            return None
        return "expired" if self._is_overdue() else "cancelled"

    def _ask_all_to_stop(self) -> None:
        self._ask_to_stop((self._begun_id,))

    def _is_open(self, call_id: int) -> bool:
        return call_id > self._ended_calls

    def progress(self) -> Progress:
        """Any thread."""
        self._send_what_is_ready()
        since = self._running_since
        running_us = max(1, int((monotonic() - since) * 1e6)) if since else 0
        return Progress(self._received_id, self._begun_id, self._ended_calls, running_us)

    # For telemetry.

    def at_work(self) -> list[AtWork]:
        call = self._running
        since = self._running_since
        if call is None or not since or self._running is not call:  # it has just begun, or ended
            return []
        return [AtWork(self._origin_of(call), 0, since, self._main_thread)]

    def origin(self) -> Origin | None:
        call = self._running
        return self._origin_of(call) if call is not None else None

    # For tools.

    def current_call(self) -> CurrentCall | None:
        call = self._running
        if call is None:
            return None
        if self._current is None or self._current.id != call.id:
            self._current = CurrentCall(
                id=call.id,
                tool=self._tools[call.tool].name,
                session=call.session or None,
                deadline=self._sent_at + call.timeout_us * 1e-6 if call.timeout_us else None,
                asked_to_stop=lambda call_id: call_id == self._asked_to_stop,
                traceparent=self._traceparent_of(call),
                tracestate=call.tracestate or None,
            )
            _remember(self._current)  # a cancel may have come meanwhile
        return self._current

    def session(self) -> Session | None:
        call = self._running
        if call is None:
            raise RuntimeError("snakepit.session() works only while a tool runs for a caller")
        if not call.session:
            return None
        if self._lease is None and call.HasField("lease") and self._asker.is_main_thread() and not self._forked:
            # Calls before this one, which came with it, may have written what it was not lent.
            if self._last_write.get(call.session, 0) <= call.lease.writes:
                self._lease = Lease(call.id, call.lease, self._page.words)
            self._forget_writes(call.lease.writes)
        return Session(call.session, call.id, self, self._lease)

    def post(self, call_id: int, changes: list[tuple[str, bytes]]) -> None:
        # On the main thread.
        self._replies.write(call_id, changes)
        self._writes += 1
        self._last_write[self._running.session] = self._writes
        # A tool that has always been fast ends soon, and its reply takes this along.
        cost = self._tools[self._running.tool].cost
        if (not 0.0 <= cost <= SLOW or monotonic() > self._running_since + SLOW) and self._lane is not None:
            self._asks.flush_all(self._lane)

    def _forget_writes(self, taken: int) -> None:
        """The host has taken in so many: most of those that are kept, when there are many."""
        if len(self._last_write) > _MANY_WRITES:
            self._last_write = {key: number for key, number in self._last_write.items() if number > taken}

    def _waits_in_tool(self, call_id: int) -> Callable[[], None] | None:
        if not self._asker.is_main_thread():
            return None

        def give_up_if_asked() -> None:
            if self._asked_to_stop == call_id:
                self._asker.raise_in_wait(call_id)

        return give_up_if_asked

    def _wait_until_asked(self, call_id: int) -> None:
        while self._asked_to_stop != call_id and self._was_asked.wait(END_SECONDS):
            self._was_asked.clear()

    def running(self) -> Any:
        return self._running

    # The main thread's own.

    def serve(self, lane: Lane) -> bool:
        self._lane = lane
        asks = self._asks
        asks.use(lane)
        self._streams.use(lane)
        self._asker.listen()
        os.register_at_fork(after_in_child=self._after_fork)
        inbox = self._inbox
        if self.finished():
            return True
        while asks.drive(lane, lambda: inbox):
            while inbox:
                self._sent_at, calls = inbox.popleft()
                if not self._replies:
                    self._wait_for_more(monotonic())
                self._run_frame(calls)
                lane.flush()
            lane.flush()
            if self._end_at is not inf and self.finished() and not lane.sending:
                return True
        return self.finished()

    def _run_frame(self, calls: Iterable[Any]) -> None:
        for call in calls:
            self._run(call)

    def _run(self, call: Any) -> None:
        page = self._page
        call_id = self._begun_id = page.words[BEGUN] = call.id
        if self._attention:
            recalled = self._recalls.take(call_id)
            if recalled is not None:
                return self._pass_over_recalled(call, recalled)
            if self._is_unwanted(call_id):
                return self._pass_over(call, _Failure.CANCELLED, "cancelled before it was begun")
        position = call.tool
        if position >= len(self._tools):
            return self._pass_over(call, _Failure.UNKNOWN_TOOL, f"no tool at position {position}")
        tool = self._tools[position]
        page.times[STARTED] = started = monotonic()
        replies = self._replies
        if replies and (started > self._leave_by or not 0.0 <= tool.cost <= SLOW):
            self._let_replies_leave()
            page.times[STARTED] = started = monotonic()
        timeout = call.timeout_us
        if timeout and started >= self._sent_at + timeout * 1e-6:
            return self._pass_over(call, _Failure.EXPIRED, "the deadline was over before the tool was begun")
        try:
            arguments = _codec.decode(call.inline or self._transferred(call))
        except _codec.Undecodable as error:
            return self._fail(call_id, _Failure.UNDECODABLE, str(error))
        except MemoryError:
            return self._fail(call_id, _Failure.UNDECODABLE, "no memory for the arguments")
        kind = type(arguments)
        if kind is dict:
            fits = tool.accepts_keywords(arguments)
        else:
            fits = tool.min_positional <= (len(arguments) if kind is list else 1) <= tool.max_positional
        if not fits:
            return self._fail(call_id, _Failure.BAD_ARGUMENTS, tool.explain(arguments))

        self._running = call
        self._running_since = started
        asker = self._asker
        try:
            try:
                asker.running = call_id  # from here Cancelled may be raised, also in this frame
                if kind is dict:
                    result = tool.function(**arguments)
                elif kind is list:
                    result = tool.function(*arguments)
                else:
                    result = tool.function(arguments)
            finally:
                asker.running = 0  # to here; when it was raised in this very frame the asker has done so
            ended = monotonic()
        except BaseException as error:  # SystemExit and KeyboardInterrupt end the call, not the worker
            ended = monotonic()
            if self._forked:
                leave_fork(error)
            outcome: Any = self._ended_by(error)
        else:
            if self._forked:
                leave_fork(None)
            outcome = self._encode(result)
        finally:
            self._running = None
            self._running_since = 0.0
        took = ended - started
        tool.cost = took if tool.cost < 0.0 else tool.cost + (took - tool.cost) * COST_WEIGHT
        lease = self._lease
        if lease is None:
            page.end(call_id, outcome)
        else:
            lease.end()
            self._lease = None
            page.end(call_id, outcome, not lease.has_written)
        replies.add((call_id, outcome, int(took * 1e6) or 1))
        self._ended_calls += 1
        if self._asks:
            self._asks.end_of_call(call_id)
        if call.recorded and self._spans is not None:
            self._spans.add(call, tool, started, took, outcome)

    def _ended_by(self, error: BaseException) -> Any:
        if not issubclass(type(error), Cancelled) or self._asked_to_stop != self._begun_id:
            return raised_by(error)
        self._replies.drop_items(self._begun_id)
        if self._is_overdue():
            return failure_of(_Failure.EXPIRED, "the deadline was over while the tool ran")
        return failure_of(_Failure.CANCELLED, "cancelled while the tool ran")

    def _is_overdue(self) -> bool:
        """Whether the running call's deadline is over."""
        timeout: int = self._running.timeout_us
        return timeout > 0 and monotonic() >= self._sent_at + timeout * 1e-6

    def _let_replies_leave(self) -> None:
        if self._lane is not None:
            began = monotonic()
            self._asks.flush_all(self._lane)
            now = monotonic()
            self._sending_cost = mean_with(self._sending_cost, now - began)
            self._wait_for_more(now)

    def _wait_for_more(self, now: float) -> None:
        """Replies that are ready from now on."""
        self._leave_by = leave_by(now, self._sending_cost)

    def _after_fork(self) -> None:
        self._forked = True
        if self._lease is not None:
            self._lease.end()
        self._asker.running = 0  # nobody asks a child
        self._streams.after_fork()


def _remember(call: CurrentCall | None) -> None:
    """Let a call that a tool has looked at know for good whether it was asked to stop: later calls are asked too."""
    if call is not None:
        _ = call.cancelled

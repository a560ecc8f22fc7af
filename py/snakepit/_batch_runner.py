"""The process profile for modules with batch tools: calls of such a tool that follow each other run together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from math import inf
from time import monotonic
from types import CodeType
from typing import Any

from snakepit import _codec
from snakepit._batch import ONE_CALL_ONLY, argument_of, results_of
from snakepit._cancel import Cancelled
from snakepit._context import CurrentCall
from snakepit._origin import Origin
from snakepit._pace import COST_WEIGHT, SLOW
from snakepit._page import BEGUN, STARTED, Page
from snakepit._recall import RECALLED
from snakepit._runner import Limits, failure_of, leave_fork, raised_by
from snakepit._serial import SerialRunner
from snakepit._session import Session
from snakepit._stacks import AtWork
from snakepit._tools import Tool
from snakepit.v1 import work_pb2

_Failure = work_pb2.Failure


class _Batch:
    """Calls that begin and end together. Its id is that of the last."""

    def __init__(self, tool: Tool, calls: Sequence[tuple[float, Any]]) -> None:
        self.tool = tool
        self.sent_at = {call.id: sent_at for sent_at, call in calls}
        self.calls = {call.id: call for _, call in calls}
        self.id: int = calls[-1][1].id
        self.asked: set[int] = set()
        """Those that were asked to stop since the batch has begun."""
        self.live: frozenset[int] = frozenset()
        """Those that the tool runs for."""
        self.current: tuple[CurrentCall, ...] = ()
        self.given_back: set[int] = set()
        """Those that the host has been told not to expect."""

    def ask_to_stop(self, ids: Iterable[int]) -> bool:
        """Whether nobody wants anything of it any more. The control thread."""
        self.asked.update([call_id for call_id in ids if call_id in self.calls])
        return bool(self.live) and self.live <= self.asked

    def go(self, ids: Iterable[int]) -> None:
        """Settle who takes part, without those who were asked to stop meanwhile."""
        # Told first and looked at then, and the other way round by the other thread: one of the two sees it.
        self.live = frozenset(ids)
        while not self.live.isdisjoint(self.asked):
            self.live = self.live - self.asked

    def is_overdue(self, call_id: int) -> bool:
        timeout: int = self.calls[call_id].timeout_us
        return timeout > 0 and monotonic() >= self.sent_at[call_id] + timeout * 1e-6

    def served(self) -> list[Any]:
        """The calls that the tool runs for, in the order of its list."""
        return [self.calls[call_id] for call_id in sorted(self.live)]

    def describe(self, traceparent_of: Callable[[Any], str | None]) -> tuple[CurrentCall, ...]:
        if not self.current:
            self.current = tuple(self._describe(call, traceparent_of(call)) for call in self.served())
        return self.current

    def _describe(self, call: Any, traceparent: str | None) -> CurrentCall:
        return CurrentCall(
            id=call.id,
            tool=self.tool.name,
            session=call.session or None,
            deadline=self.sent_at[call.id] + call.timeout_us * 1e-6 if call.timeout_us else None,
            asked_to_stop=lambda call_id: call_id in self.asked,
            traceparent=traceparent,
            tracestate=call.tracestate or None,
        )


class BatchRunner(SerialRunner):
    """Calls begin in the order of their ids, as ever: a call of another tool ends a batch."""

    def __init__(self, tools: Sequence[Tool], limits: Limits, page: Page) -> None:
        super().__init__(tools, limits, page)
        self._gathered: list[tuple[float, Any]] = []  # (when it was sent, call) of one batch tool, not begun
        self._gather_until = 0.0
        self._batch: _Batch | None = None  # that has begun
        self._alarm = _Alarm()

    def _runs_tools(self) -> tuple[CodeType, ...]:
        return (*super()._runs_tools(), BatchRunner._run_batch.__code__)

    # For the control thread.

    def cancel(self, ids: Sequence[int]) -> None:
        """See Runner. A batch that waits for more calls does not wait with one that nobody wants."""
        super().cancel(ids)
        if self._lane is not None and self._gathered:
            self._lane.wake()

    def _ask_to_stop(self, ids: Sequence[int]) -> None:
        batch = self._batch
        if batch is None:
            super()._ask_to_stop(ids)
        elif batch.ask_to_stop(ids):
            self._asked_to_stop = batch.id
            self._own_loop.stop()
            self._asker.ask(batch.id)

    def _ask_all_to_stop(self) -> None:
        batch = self._batch
        if batch is None:
            super()._ask_all_to_stop()
        else:
            self._ask_to_stop(list(batch.calls))

    # For telemetry.

    def at_work(self) -> list[AtWork]:
        batch = self._batch
        if batch is None:
            return super().at_work()
        since, calls = self._running_since, batch.served()
        if not since or not calls or self._batch is not batch:  # it has just begun, or ended
            return []
        return [AtWork(self._origin_of(calls[0]), len(calls) - 1, since, self._main_thread)]

    def origin(self) -> Origin | None:
        batch = self._batch
        if batch is None:
            return super().origin()
        calls = batch.served()
        return self._origin_of(calls[0]) if calls else None

    def served(self) -> Sequence[Any]:
        batch = self._batch
        return super().served() if batch is None else batch.served()

    # For tools.

    def current_call(self) -> CurrentCall | None:
        if self._batch is not None:
            raise RuntimeError(f"snakepit.current_call(): {ONE_CALL_ONLY}")
        return super().current_call()

    def current_batch(self) -> tuple[CurrentCall, ...] | None:
        """The calls of the batch that runs, in the order of its list. Any thread. None: none runs."""
        batch = self._batch
        return None if batch is None else batch.describe(self._traceparent_of)

    def session(self) -> Session | None:
        if self._batch is not None:
            raise RuntimeError(f"snakepit.session(): {ONE_CALL_ONLY}")
        return super().session()

    # The main thread's own.

    def _run_frame(self, calls: Iterable[Any]) -> None:
        for call in calls:
            position = call.tool
            terms = self._tools[position].batch if position < len(self._tools) else None
            gathered = self._gathered
            if gathered and gathered[0][1].tool != position:
                self._run_gathered()
            if terms is None:
                self._run(call)
                continue
            if not self._gathered:
                self._gather_until = monotonic() + terms.max_wait if terms.max_wait else 0.0
            self._gathered.append((self._sent_at, call))
            if len(self._gathered) >= terms.max_batch:
                self._run_gathered()
        if self._gathered and not self._inbox:
            self._wait_for_calls()
            if not self._inbox:  # else these may join it
                self._run_gathered()

    def _wait_for_calls(self) -> None:
        """Until some have come, and no longer than was agreed upon."""
        lane, asks, inbox = self._lane, self._asks, self._inbox
        assert lane is not None
        lane.flush()
        asks.take_what_has_come(lane)
        last_id = self._gathered[-1][1].id
        while not inbox and not self._stopping and not self._attention and self._end_at > last_id:
            if lane.name != "direct" or monotonic() >= self._gather_until:  # the iterator cannot be woken
                return
            self._alarm.set(self._gather_until, lane.wake)
            if not asks.drive(lane, lambda: inbox):
                return

    def _run_gathered(self) -> None:
        gathered, self._gathered = self._gathered, []
        if gathered:
            self._run_batch(self._tools[gathered[0][1].tool], gathered)

    def _run_batch(self, tool: Tool, gathered: Sequence[tuple[float, Any]]) -> None:
        assert tool.batch is not None
        page = self._page
        batch = self._batch = _Batch(tool, gathered)  # before it has begun: who cancels finds it
        self._begun_id = page.words[BEGUN] = batch.id
        page.times[STARTED] = started = monotonic()
        if self._replies and (started > self._leave_by or not 0.0 <= tool.cost <= SLOW):
            self._let_replies_leave()
            page.times[STARTED] = started = monotonic()
        items, outcomes = self._arguments_of(batch)
        batch.go(items)
        if batch.given_back:
            self._let_replies_leave()

        took = 0.0
        if batch.live:
            arguments = [item for call_id, item in items.items() if call_id in batch.live]
            self._running_since = started
            asker = self._asker
            try:
                try:
                    asker.running = batch.id  # as in SerialRunner._run
                    returned = tool.batch.function(arguments)
                finally:
                    asker.running = 0
                ended = monotonic()
            except BaseException as error:
                ended = monotonic()
                if self._forked:
                    leave_fork(error)
                outcomes.update(self._all_ended_by(batch, error))
            else:
                if self._forked:
                    leave_fork(None)
                outcomes.update(self._all_returned(batch, returned))
            finally:
                self._running_since = 0.0
            took = ended - started
            tool.cost = took if tool.cost < 0.0 else tool.cost + (took - tool.cost) * COST_WEIGHT
        self._end_all(batch, outcomes, started, took)

    def _end_all(self, batch: _Batch, outcomes: dict[int, Any], started: float, took: float) -> None:
        """Those that were left out as well: calls are done in the order of their ids."""
        run_us = int(took / max(1, len(batch.live)) * 1e6) or 1
        for call_id, call in batch.calls.items():
            outcome = outcomes.get(call_id)
            if outcome is None:  # asked to stop while the batch was put together
                outcome = failure_of(_Failure.CANCELLED, "cancelled before it was begun")
            self._page.end(call_id, outcome)
            if call_id not in batch.given_back:
                self._replies.add((call_id, outcome, run_us if call_id in batch.live else 0))
            self._ended_calls += 1
            if call.recorded and call_id in batch.live and self._spans is not None:
                self._spans.add(call, batch.tool, started, took, outcome)
        self._batch = None

    def _arguments_of(self, batch: _Batch) -> tuple[dict[int, Any], dict[int, Any]]:
        """(arguments, failures), by the ids of the calls."""
        items: dict[int, Any] = {}
        failures: dict[int, Any] = {}
        for call_id, call in batch.calls.items():
            recalled = self._recalls.take(call_id) if self._attention else None
            if recalled is not None:
                if recalled:
                    self._replies.add((call_id, RECALLED, 0))
                batch.given_back.add(call_id)
                self._unwanted.discard(call_id)
                self._drop_arguments(call)
                failures[call_id] = RECALLED
                continue
            if (self._attention and self._is_unwanted(call_id)) or call_id in batch.asked:
                failures[call_id] = self._leave_out(call, _Failure.CANCELLED, "cancelled before it was begun")
                continue
            if batch.is_overdue(call_id):
                failures[call_id] = self._leave_out(
                    call, _Failure.EXPIRED, "the deadline was over before the tool was begun"
                )
                continue
            try:
                arguments = _codec.decode(call.inline or self._transferred(call))
            except _codec.Undecodable as error:
                failures[call_id] = failure_of(_Failure.UNDECODABLE, str(error))
                continue
            except MemoryError:
                failures[call_id] = failure_of(_Failure.UNDECODABLE, "no memory for the arguments")
                continue
            if not batch.tool.accepts(arguments):
                failures[call_id] = failure_of(_Failure.BAD_ARGUMENTS, batch.tool.explain(arguments))
                continue
            items[call_id] = argument_of(arguments)
        return items, failures

    def _leave_out(self, call: Any, kind: work_pb2.Failure.Kind, message: str) -> Any:
        self._drop_arguments(call)
        return failure_of(kind, message)

    def _all_returned(self, batch: _Batch, returned: object) -> dict[int, Any]:
        try:
            results = results_of(returned, len(batch.live), batch.tool.name)
            return {call_id: self._outcome_of(one) for call_id, one in zip(sorted(batch.live), results)}
        except BaseException as error:  # a list of the user's own kind may raise anything
            return dict.fromkeys(batch.live, raised_by(error))

    def _outcome_of(self, result: object) -> Any:
        return raised_by(result) if isinstance(result, BaseException) else self._encode(result)

    def _all_ended_by(self, batch: _Batch, error: BaseException) -> dict[int, Any]:
        if not issubclass(type(error), Cancelled) or self._asked_to_stop != batch.id:
            return dict.fromkeys(batch.live, raised_by(error))
        return {
            call_id: failure_of(_Failure.EXPIRED, "the deadline was over while the tool ran")
            if batch.is_overdue(call_id)
            else failure_of(_Failure.CANCELLED, "cancelled while the tool ran")
            for call_id in batch.live
        }

    def _is_overdue(self) -> bool:
        batch = self._batch
        return super()._is_overdue() if batch is None else all(map(batch.is_overdue, batch.live))


class _Alarm:
    """Wakes the main thread at a time, by a thread that is started when it is first wanted."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._at = inf
        self._ring: Callable[[], None] = lambda: None
        self._is_running = False

    def set(self, at: float, ring: Callable[[], None]) -> None:
        """In place of what was set before."""
        with self._changed:
            self._at, self._ring = at, ring
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="snakepit-batch", daemon=True).start()
            self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while True:
                left = self._at - monotonic()
                if left > 0:
                    self._changed.wait(None if left == inf else left)
                    continue
                self._at = inf
                self._ring()

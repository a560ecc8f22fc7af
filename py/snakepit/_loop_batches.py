"""The async profile for modules with async batch tools: calls of such a tool that are there are awaited as one list."""

from __future__ import annotations

from asyncio import Task
from collections.abc import Sequence
from contextvars import ContextVar
from functools import partial
from math import inf
from typing import Any

from snakepit._awaiting import AsyncRunner
from snakepit._batch import ONE_CALL_ONLY, argument_of, results_of
from snakepit._cancel import Reason
from snakepit._concurrent import Run, _current, stopped
from snakepit._context import CurrentCall
from snakepit._origin import Origin
from snakepit._page import Page
from snakepit._runner import Limits, failure_of, leave_fork, raised_by
from snakepit._session import Session
from snakepit._stacks import AtWork
from snakepit._tools import Tool, Toolbox
from snakepit.v1 import work_pb2

_Failure = work_pb2.Failure

_together: ContextVar[Sequence[Run] | None] = ContextVar("snakepit-batch", default=None)


class AsyncBatchRunner(AsyncRunner):
    """Calls come to their places in the order of their ids, and wait there for the others of their batch.

    A batch runs for each of its calls: one that is not wanted any more ends at once, and the last of these ends it.
    """

    def __init__(self, toolbox: Toolbox, limits: Limits, page: Page, width: int) -> None:
        super().__init__(toolbox, limits, page, width)
        self._gathered: dict[Tool, list[Run]] = {}  # that have not begun
        self._batches: dict[Task[None], Sequence[Run]] = {}  # that have, and go on

    def end(self, last_id: int, stop: bool) -> None:
        """See Runner. Nothing more is waited for."""
        super().end(last_id, stop)
        self._call_soon(self._begin_all)

    def at_work(self) -> list[AtWork]:
        found = super().at_work()
        for task, runs in list(self._batches.items()):
            going_on = [run for run in runs if not run.ended]
            if going_on:  # the task may outlive them
                found.append(self._work_of(going_on[0])._replace(others=len(going_on) - 1, task=task))
        return found

    def _is_at_work(self, run: Run) -> bool:
        return super()._is_at_work(run) and not run.tool.awaits_batches

    def origin(self) -> Origin | None:
        runs = _together.get()
        if runs is None:
            return super().origin()
        return None if all(run.ended for run in runs) else self._origin_of(runs[0].call)

    def served(self) -> Sequence[Any]:
        runs = _together.get()
        return super().served() if runs is None else [run.call for run in runs]

    def current_call(self) -> CurrentCall | None:
        if _together.get() is not None:
            raise RuntimeError(f"snakepit.current_call(): {ONE_CALL_ONLY}")
        return super().current_call()

    def current_batch(self) -> tuple[CurrentCall, ...] | None:
        """Those of the batch for which this is asked, in the order of its list. None: there is none."""
        runs = _together.get()
        return None if runs is None else tuple(self._describe(run) for run in runs)

    def session(self) -> Session | None:
        if _together.get() is not None:
            raise RuntimeError(f"snakepit.session(): {ONE_CALL_ONLY}")
        return super().session()

    def _waits(self, tool: Tool) -> bool:
        return tool.awaits_batches or super()._waits(tool)

    def _start_on_loop(self, run: Run) -> None:
        tool = run.tool
        if not tool.awaits_batches or tool.batch is None:
            return super()._start_on_loop(run)
        gathered = self._gathered.setdefault(tool, [])
        gathered.append(run)
        if len(gathered) >= tool.batch.max_batch or len(self._running) >= self._width:
            self._begin_batch(tool, gathered)
        elif len(gathered) == 1:
            begin = partial(self._begin_batch, tool, gathered)
            if tool.batch.max_wait and self._end_at is inf:
                self._loop.call_later(tool.batch.max_wait, begin, context=self._context.copy())
            else:
                self._call_soon(begin)  # behind all that has come by now

    def _begin_all(self) -> None:
        for tool, gathered in list(self._gathered.items()):
            self._begin_batch(tool, gathered)

    def _begin_batch(self, tool: Tool, gathered: list[Run]) -> None:
        if self._gathered.get(tool) is not gathered:
            return  # it has been begun
        del self._gathered[tool]
        runs: list[Run] = []
        items: list[Any] = []
        for run in gathered:
            if not self._take_now(run):
                continue
            positions, names, wrong = self._arguments(run)
            if wrong is None and run.is_overdue():
                wrong = failure_of(_Failure.EXPIRED, "the deadline was over before the tool was begun")
            if wrong is not None:
                self._end(run, wrong)
                continue
            run.enter()
            runs.append(run)
            items.append(argument_of(names or positions))
        if runs:
            task = self._loop.create_task(self._await_batch(tool, runs, items))
            self._batches[task] = runs
            task.add_done_callback(self._batches.pop)
            for run in runs:
                run.task = task
                run.stop = partial(self._ask_one, runs, run)
                if run.unwanted is not None:  # asked before there was anybody to be asked
                    self._ask_one(runs, run, run.unwanted)
        self._flush_soon()

    def _ask_one(self, runs: Sequence[Run], run: Run, reason: Reason) -> None:
        self._call_soon(partial(self._leave_out, runs, run, reason))

    def _leave_out(self, runs: Sequence[Run], run: Run, reason: Reason) -> None:
        task = run.task
        if self._end(run, stopped(reason)):
            if all(each.ended for each in runs):
                task.cancel()
            self._flush_soon()
            self._begin_more()

    async def _await_batch(self, tool: Tool, runs: Sequence[Run], items: list[Any]) -> None:
        assert tool.batch is not None
        _current.set(None)
        _together.set(runs)
        try:
            returned = results_of(await tool.batch.async_function(items), len(runs), tool.name)
            outcomes = [raised_by(one) if isinstance(one, BaseException) else self._encode(one) for one in returned]
        except BaseException as error:  # SystemExit and KeyboardInterrupt end the calls, not the worker
            if self._forked:
                leave_fork(error)
            outcomes = [raised_by(error)] * len(runs)
        if self._forked:
            leave_fork(None)
        for run, outcome in zip(runs, outcomes):
            self._end(run, outcome)
        self._flush_soon()
        if self._waiting:
            self._begin_more()

"""Runs calls on one event loop, on the main thread, and those of plain functions in threads beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial

from snakepit import _loop_watch
from snakepit._cancel import Cancelled
from snakepit._concurrent import ConcurrentRunner, Run, _current, runs_tools_here, stopped
from snakepit._interrupt import Interruptible
from snakepit._lane import Lane
from snakepit._leave import leave
from snakepit._loops import own_loop
from snakepit._page import Page
from snakepit._runner import Limits, leave_fork, raised_by
from snakepit._tool_thread import ToolThread
from snakepit._tools import Tool, Toolbox
from snakepit.v1 import work_pb2


class AsyncRunner(ConcurrentRunner):
    """The async profile. What begins and ends on the loop does so in its thread."""

    def __init__(self, toolbox: Toolbox, limits: Limits, page: Page, width: int) -> None:
        super().__init__(toolbox.tools, limits, page)
        self._toolbox = toolbox
        self._width = width
        self._loop = own_loop().loop
        # asyncio's own has a few threads only: calls that wait for the host in there would hold up those they wait for.
        self._loop.set_default_executor(ThreadPoolExecutor(width, thread_name_prefix="snakepit-to-thread"))
        self._here = runs_tools_here()
        self._threads: list[ToolThread] = []
        self._idle: list[ToolThread] = []
        self._flush_is_due = False
        self._on_main: Run | None = None  # a tool of the main thread
        self._context = copy_context()  # in which every call begins, whatever the calls before it have set
        self._ends = False
        self._watch = _loop_watch.LoopWatch(self._loop, lambda: bool(self._running), self._name_of)

    def tell_of_blocked_loop(self, tell: _loop_watch.Tell) -> None:
        self._watch.tell = tell

    def _begin_more(self) -> None:
        self._call_soon(self._begin_on_loop)

    def _call_soon(self, what: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # it is closed: the worker ends
            self._loop.call_soon_threadsafe(what, context=self._context.copy())

    def _begin_on_loop(self) -> None:
        while True:
            with self._lock:
                run = self._next(self._has_room_for)
            if run is None:
                break
            self._watch.look()
            self._start_on_loop(run)
        _current.set(None)
        if self._replies:
            self._flush_soon()

    def _start_on_loop(self, run: Run) -> None:
        if run.tool.coroutine_function is not None:
            run.stop = partial(self._ask, run)
            _current.set(run)  # for the task, which copies what there is
            run.task = self._loop.create_task(self._await(run))
        elif run.waits:
            self._call_soon(partial(self._run_on_loop, run))
        else:
            self._start(run)

    def _has_room_for(self, tool: Tool) -> bool:
        return len(self._running) < self._width

    def _waits(self, tool: Tool) -> bool:
        return tool.main_thread and tool.coroutine_function is None

    def _ask(self, run: Run, reason: str) -> None:
        self._call_soon(partial(self._cancel, run))

    def _cancel(self, run: Run) -> None:
        # A task that has not begun would end without having been told anything.
        if run.taken and run.task is not None:
            run.task.cancel()

    async def _await(self, run: Run) -> None:
        run.taken = True
        positions, names, outcome = self._arguments(run)
        if outcome is None and run.unwanted is not None:
            outcome = stopped(run.unwanted)
        if outcome is None:
            function = run.tool.coroutine_function
            assert function is not None
            run.enter()
            try:
                result = await function(*positions, **names)
            except BaseException as error:  # SystemExit and KeyboardInterrupt end the call, not the worker
                if self._forked:
                    leave_fork(error)
                is_stopped = isinstance(error, (asyncio.CancelledError, Cancelled)) and run.unwanted is not None
                outcome = stopped(run.unwanted or "cancelled") if is_stopped else raised_by(error)
            else:
                if self._forked:
                    leave_fork(None)
                outcome = self._encode(result)
        self._end(run, outcome)
        self._flush_soon()
        if self._waiting:
            self._begin_more()

    def _run_on_loop(self, run: Run) -> None:
        if self._take_now(run):
            self._on_main = run
            self._run_here(run, self._here)
            self._on_main = None
            self._flush_soon()
        self._begin_more()

    def _start(self, run: Run) -> None:
        """A plain function, in a thread."""
        if self._idle:
            thread = self._idle.pop()
        else:
            thread = ToolThread(self._toolbox, len(self._threads))
            self._threads.append(thread)

        def work(here: Interruptible) -> None:
            self._run_here(run, here)
            self._idle.append(thread)
            self._flush()
            if self._waiting:
                self._begin_more()

        def give_up(problem: BaseException) -> None:
            self._end(run, raised_by(problem))
            self._flush()
            self._begin_more()

        thread.give(work, give_up)

    def _flush_soon(self) -> None:
        """Behind what is ready, so that what ends together leaves together."""
        if not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self._flush_is_due = False
        self._flush()

    def ask(self, call_id: int, question: work_pb2.Question) -> work_pb2.Finding:
        """Ask for a running call. Not for a host tool from the loop: that takes as long as it likes."""
        if self.shares_thread() and question.WhichOneof("kind") == "host_call":
            raise RuntimeError(
                "a host tool is waited for, and would hold up the event loop: await asyncio.to_thread(snakepit.host."
                f"{question.host_call.tool}, ...)"
            )
        return super().ask(call_id, question)

    def shares_thread(self) -> bool:
        return self._here.is_here() and self._on_main is None

    def _name_of(self, task: object) -> str:
        """What the loop is at, when it is in this task."""
        for run in [self._on_main, *self._running.values()]:
            if run is not None and (run is self._on_main or (task is not None and run.task is task)):
                return f"{run.tool.name!r} (call {run.id})"
        return "a task that is no call's own"

    def _end_serving(self) -> None:
        self._ends = True
        self._call_soon(self._loop.stop)

    def serve(self, lane: Lane) -> bool:
        """See Runner. The main thread's."""
        self._context = copy_context()
        driver = self._begin_serving(lane)
        self._watch.start()
        self._loop.run_forever()
        if not self._ends:
            leave(1, "a tool has stopped the event loop")
        driver.join()
        if self._served:
            for thread in self._threads:
                thread.end()
            for thread in self._threads:
                thread.join()
        return self._served

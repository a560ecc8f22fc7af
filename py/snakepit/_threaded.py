"""Runs calls in several threads at once."""

from __future__ import annotations

import queue
from collections.abc import Sequence

from snakepit._concurrent import ConcurrentRunner, Run, runs_tools_here
from snakepit._interrupt import Interruptible
from snakepit._lane import Lane
from snakepit._page import Page
from snakepit._runner import Limits
from snakepit._tool_thread import ToolThread
from snakepit._tools import Tool


class ThreadRunner(ConcurrentRunner):
    """The thread profile. Tools that are for the main thread have that one to themselves."""

    def __init__(self, tools: Sequence[Tool], limits: Limits, page: Page, threads: Sequence[ToolThread]) -> None:
        super().__init__(tools, limits, page)
        self._threads = threads
        self._idle = list(threads)
        self._for_main: queue.SimpleQueue[Run | None] = queue.SimpleQueue()

    def _begin_more(self) -> None:
        with self._lock:
            while (run := self._next(self._has_room_for)) is not None:
                if run.waits:
                    self._for_main.put(run)
                else:
                    self._start(run, self._idle.pop())
        self._flush()  # those that were passed over

    def _has_room_for(self, tool: Tool) -> bool:
        return tool.main_thread or bool(self._idle)

    def _start(self, run: Run, thread: ToolThread) -> None:
        def work(here: Interruptible) -> None:
            self._run_here(run, here)
            with self._lock:
                self._idle.append(thread)
            self._begin_more()

        thread.give(work)

    def _end_serving(self) -> None:
        self._for_main.put(None)

    def serve(self, lane: Lane) -> bool:
        """See Runner. The main thread's."""
        here = runs_tools_here()
        driver = self._begin_serving(lane)
        while (run := self._for_main.get()) is not None:
            if self._take_now(run):
                self._run_here(run, here)
                self._flush()
        driver.join()
        if self._served:
            for thread in self._threads:
                thread.end()
            for thread in self._threads:
                thread.join()
        return self._served

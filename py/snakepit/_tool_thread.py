"""Threads that run tools, apart from the main one."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from snakepit._concurrent import runs_tools_here
from snakepit._failure import describe
from snakepit._interrupt import Interruptible
from snakepit._tools import Toolbox

Job = Callable[[Interruptible], None]
Problem = Callable[[BaseException], None]


class ToolThread:
    """One of them. It does what it is given until it is ended."""

    def __init__(self, toolbox: Toolbox, number: int) -> None:
        self._toolbox = toolbox
        self._jobs: queue.SimpleQueue[tuple[Job, Problem | None] | None] = queue.SimpleQueue()
        self._problem: BaseException | None = None
        self._is_set_up = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=f"snakepit-tools-{number}", daemon=True)
        self._thread.start()

    def wait_until_set_up(self) -> None:
        """Raises what setup_thread() has raised: then the thread has ended."""
        self._is_set_up.wait()
        if self._problem is not None:
            raise self._problem

    def give(self, job: Job, on_problem: Problem | None = None) -> None:
        """Any thread.

        on_problem: is called in place of the job when the thread could not be set up. For those who have not waited.
        """
        self._jobs.put((job, on_problem))

    def end(self) -> None:
        """After what it was given."""
        self._jobs.put(None)

    def join(self) -> None:
        """Wait until it has ended, its teardown_thread() included."""
        self._thread.join()

    def _serve(self) -> None:
        try:
            self._toolbox.setup_thread()
        except BaseException as error:
            self._problem = error
        self._is_set_up.set()
        here = runs_tools_here()
        while (given := self._jobs.get()) is not None:
            job, on_problem = given
            if self._problem is None:
                job(here)
                continue
            if on_problem is not None:
                on_problem(self._problem)
            return
        for problem in self._toolbox.teardown_thread():
            with suppress(Exception):
                print(describe(problem).traceback, end="", file=sys.stderr)


def start_tool_threads(toolbox: Toolbox, count: int) -> list[ToolThread]:
    """Raises what the first one raises that cannot be set up."""
    threads = [ToolThread(toolbox, number) for number in range(count)]
    for each in threads:
        each.wait_until_set_up()
    return threads

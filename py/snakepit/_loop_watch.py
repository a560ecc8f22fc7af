"""Tells when an event loop does not turn while it has something to do, and what it is at."""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, sleep

Tell = Callable[[float, str, str], None]
"""How long the loop has been held up, by what, and its stack; "": it turns again."""

_LONGEST = 1.0  # seconds that the loop may take for one turn before it is told
_PAUSE = 0.25


class LoopWatch:
    """A thread beside the loop, which sleeps while nothing runs there."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, is_busy: Callable[[], bool], name_of: Callable[[object], str]
    ) -> None:
        """name_of: what to call the work of a task, or of none."""
        self._loop = loop
        self._is_busy = is_busy
        self._name_of = name_of
        self._look = threading.Event()
        self.tell: Tell = lambda seconds, by, stack: None
        """Who is told beside stderr."""
        self._watched = threading.get_ident()

    def start(self) -> None:
        """Called on the loop's thread."""
        self._watched = threading.get_ident()
        threading.Thread(target=self._run, name="snakepit-watch", daemon=True).start()

    def look(self) -> None:
        """There is something to do. Any thread."""
        if not self._look.is_set():
            self._look.set()

    def _run(self) -> None:
        with suppress(RuntimeError):  # the loop is closed
            while True:
                self._look.wait()
                self._wait_for_turn()
                sleep(_PAUSE)
                if not self._is_busy():
                    self._look.clear()
                    if self._is_busy():
                        self._look.set()

    def _wait_for_turn(self) -> None:
        turned = threading.Event()
        since = monotonic()
        self._loop.call_soon_threadsafe(turned.set)
        if turned.wait(_LONGEST):
            return
        name = self._tell(monotonic() - since)
        turned.wait()
        self.tell(monotonic() - since, name, "")
        _say(f"the event loop goes on: {name} had held it up for {monotonic() - since:.1f} s")

    def _tell(self, seconds: float) -> str:
        """Once for each time that it stands still."""
        task = None
        with suppress(Exception):
            task = asyncio.current_task(self._loop)
        name = self._name_of(task)
        frame = sys._current_frames().get(self._watched)
        stack = "".join(traceback.format_stack(frame)) if frame is not None else "it has no stack"
        self.tell(seconds, name, stack)
        _say(f"the event loop has been held up for {seconds:.1f} s by {name}; it is at\n{stack.rstrip()}")
        return name


def _say(text: str) -> None:
    with suppress(Exception):  # stderr is closed, or has been replaced by something that cannot
        print(f"snakepit: {text}", file=sys.stderr, flush=True)

"""Tells of calls that run for long; see SlowCall in control.proto."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic, sleep
from typing import Protocol

from snakepit._origin import Origin
from snakepit._stacks import AtWork, stack_of

_LEAST_PAUSE = 1e-3

Tell = Callable[[Origin, float, str], None]
"""Which call, for how many seconds it has run, and its stack."""


class Works(Protocol):
    """What is watched. Any thread."""

    def is_busy(self) -> bool:
        """Whether calls run, or have come and will."""

    def at_work(self) -> Iterable[AtWork]:
        """The calls that run."""

    def has_ended(self, call_id: int) -> bool:
        """Whether a call that has begun is over."""


class SlowWatch:
    """A thread that looks when a call may have become slow, and sleeps while there are none.

    A call costs it nothing: one that begins behind a look is not slow before the next, which comes after the same time.
    """

    def __init__(self, seconds: float, works: Works, tell: Tell) -> None:
        self._seconds = seconds
        self._works = works
        self._tell = tell
        self._told: set[int] = set()
        self._bell = threading.Event()
        self._sleeps = False
        threading.Thread(target=self._run, name="snakepit-slow", daemon=True).start()

    def look(self) -> None:
        """Calls have come. Any thread."""
        if self._sleeps:
            self._sleeps = False
            self._bell.set()

    def _run(self) -> None:
        while True:
            pause = self._seconds
            with suppress(Exception):  # no memory left, say: there may be some at the next look
                self._wait_for_calls()
                pause = self._look()
            sleep(max(pause, _LEAST_PAUSE))

    def _wait_for_calls(self) -> None:
        if self._works.is_busy():
            return
        self._sleeps = True
        # Looked at again: what came meanwhile has not rung.
        if not self._works.is_busy():
            self._bell.wait()
        self._bell.clear()
        self._sleeps = False

    def _look(self) -> float:
        """Seconds until the next look."""
        now = monotonic()
        next_look = now + self._seconds
        told: set[int] = set()
        for work in self._works.at_work():
            slow_at = work.since + self._seconds
            if work.call.id in self._told:
                told.add(work.call.id)
            elif slow_at <= now:
                told.add(work.call.id)
                self._tell_of(work, now - work.since)
            else:
                next_look = min(next_look, slow_at)
        self._told = told
        return next_look - monotonic()

    def _tell_of(self, work: AtWork, seconds: float) -> None:
        with suppress(Exception):
            stack = stack_of(work)
            if not self._works.has_ended(work.call.id):  # else the stack may be another call's
                self._tell(work.call, seconds, stack)

"""Questions of running tools to the host, and who waits for the answers.

They travel on the Work stream, which is driven by one thread at a time. While the main thread runs a tool nobody drives
it, so whoever waits for an answer does; when it has its own, another one that waits goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from math import inf

from snakepit._lane import Lane
from snakepit._replies import Replies


class _LoopTurn:
    """As threading.Event, for a task that waits on an event loop."""

    def __init__(self) -> None:
        import asyncio  # modules without async code do without

        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self.wait = self._event.wait
        self.clear = self._event.clear

    def set(self) -> None:
        """Any thread."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._event.set)


class Unanswered(Exception):
    """No answer will come: the call that has asked is over, or the host is gone."""


class _Waiter:
    __slots__ = ("answer", "call_id", "over", "turn")

    def __init__(self, call_id: int, turn: threading.Event | _LoopTurn) -> None:
        self.call_id = call_id
        self.answer: bytes | bytearray | None = None
        self.over = False  # whether nothing more will come
        self.turn = turn  # set when it is over, or when nobody drives the stream

    def end(self, answer: bytes | bytearray | None) -> None:
        self.answer = answer
        self.over = True
        self.turn.set()


class Asks:
    """The questions that are open."""

    def __init__(self, replies: Replies) -> None:
        self._replies = replies
        self._numbers = count(1)
        self._local_numbers = count(1)  # of those who wait without having asked
        self._waiters: dict[int, _Waiter] = {}
        self._driving = threading.Lock()  # held while a thread takes in what comes
        self._lane: Lane | None = None
        self._has_driver = False

    @property
    def has_driver(self) -> bool:
        """See use()."""
        return self._has_driver

    def use(self, lane: Lane, has_driver: bool = False) -> None:
        """Name the lane, before anything is asked.

        has_driver: a thread is at it all the time, so that nobody else has to be.
        """
        self._lane = lane
        self._has_driver = has_driver

    def ask(self, call_id: int, question: bytes, check: Callable[[], None]) -> bytes | bytearray:
        """Wait for the answer. Any thread. Raises Unanswered.

        check: is called now and then by the thread that waits, and may raise to give up.
        """
        lane = self._lane
        assert lane is not None
        number = next(self._numbers)
        waiter = self._waiters[number] = _Waiter(call_id, threading.Event())
        try:
            self._replies.ask(number, call_id, question)
            lane.flush()
            while not waiter.over:
                check()
                self._wait(waiter, lane)
        finally:
            self._waiters.pop(number, None)
            self._pass_on()
        if waiter.answer is None:
            raise Unanswered
        return waiter.answer

    def wait_until(self, call_id: int, is_true: Callable[[], object], check: Callable[[], None]) -> None:
        """Wait until it is, which what comes on the lane may make it: nudge() tells. Otherwise as ask()."""
        lane = self._lane
        assert lane is not None
        number = -next(self._local_numbers)
        waiter = self._waiters[number] = _Waiter(call_id, threading.Event())
        try:
            lane.flush()
            while not is_true():
                if waiter.over:
                    raise Unanswered
                check()
                self._wait(waiter, lane)
        finally:
            self._waiters.pop(number, None)
            self._pass_on()

    async def wait_on_loop(self, call_id: int, is_true: Callable[[], object]) -> None:
        """As wait_until(), for a task, while its loop goes on. Only where somebody drives; ends when cancelled."""
        lane = self._lane
        assert lane is not None
        turn = _LoopTurn()
        number = -next(self._local_numbers)
        waiter = self._waiters[number] = _Waiter(call_id, turn)
        try:
            lane.flush()
            while not is_true():
                if waiter.over:
                    raise Unanswered
                await turn.wait()
                turn.clear()
        finally:
            self._waiters.pop(number, None)

    def nudge(self, call_id: int) -> None:
        """Have those who wait for something of this call look again."""
        for waiter in list(self._waiters.values()):
            if waiter.call_id == call_id:
                waiter.turn.set()

    def _wait(self, waiter: _Waiter, lane: Lane) -> None:
        turn = waiter.turn
        assert isinstance(turn, threading.Event)
        if not self._has_driver and self._driving.acquire(False):
            try:
                if not waiter.over:
                    self._drive(lane)
            finally:
                self._driving.release()
            return
        turn.wait()  # until it is over, or the one who drives has passed that on
        if not waiter.over:
            turn.clear()

    def _drive(self, lane: Lane) -> bool:
        alive = lane.turn()
        if alive:
            lane.flush()  # what could not leave while something was being sent
        else:
            self._end_all()
        return alive

    def _pass_on(self) -> None:
        if self._has_driver:
            return
        for waiter in list(self._waiters.values()):
            if not waiter.over:
                waiter.turn.set()
                return

    def drive(self, lane: Lane, unless: Callable[[], object]) -> bool:
        """Wait until something happens and take it in, unless something has come meanwhile. For the main thread,
        between calls. False: the stream has ended."""
        if not self._driving.acquire(False):
            lane.wake()  # a thread that a tool has left behind is at it
            self._driving.acquire()
        try:
            return bool(unless()) or self._drive(lane)
        finally:
            self._driving.release()

    def take_what_has_come(self, lane: Lane) -> None:
        """Lane.take_what_has_come(), unless somebody else drives, who does it anyway. For the main thread."""
        if self._driving.acquire(False):
            try:
                lane.take_what_has_come()
            finally:
                self._driving.release()

    def flush_all(self, lane: Lane, until: float = inf) -> None:
        """Lane.flush_all(), whoever drives."""
        if not self._has_driver and self._driving.acquire(False):
            try:
                lane.flush_all(until)
            finally:
                self._driving.release()
                self._pass_on()  # who came meanwhile waits for its turn
        else:
            lane.flush()

    def interrupt(self) -> None:
        """Have those who wait look again. Any thread."""
        if self._waiters and self._lane is not None:
            for waiter in list(self._waiters.values()):
                waiter.turn.set()
            self._lane.wake()

    def answered(self, number: int, answer: bytes | bytearray) -> None:
        """The answer to a question; one that nobody waits for any more is forgotten."""
        waiter = self._waiters.get(number)
        if waiter is not None:
            waiter.end(answer)

    def end_of_call(self, call_id: int) -> None:
        """What a call has asked is not answered any more."""
        for waiter in list(self._waiters.values()):
            if waiter.call_id == call_id:
                waiter.end(None)

    def _end_all(self) -> None:
        for waiter in list(self._waiters.values()):
            waiter.end(None)

    def __bool__(self) -> bool:
        return bool(self._waiters)

"""Asking the tool that runs to stop: a signal to the main thread, whose handler raises Cancelled in the tool."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from time import sleep
from types import CodeType, FrameType
from typing import Any, Literal, TypeVar

from snakepit._failure import OWN_DIRECTORY

F = TypeVar("F", bound=Any)

Reason = Literal["cancelled", "expired"]

_ASK = signal.SIGRTMIN + 1
# Between asking and asking again, doubled each time.
_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.02


class Cancelled(BaseException):
    """Raised in a running tool, wherever it is, when nobody wants its result any more.

    Like KeyboardInterrupt it may come between any two steps, and it ends sleeping, waiting and blocking reads.
    `finally` and `with` clean up; `except Exception` does not catch it. A tool may catch it, to let it out later or to
    return all the same. It comes once per request, to the thread that runs the tool and to no other, and not out of a
    C function that does not look for signals. Code that must not be interrupted blocks the signal SIGRTMIN+1 meanwhile,
    with signal.pthread_sigmask().

    In the profile `thread` there is no signal: it comes once per call, when the thread is in Python code again, and
    ends no sleep. `async def` tools get asyncio.CancelledError instead, in every profile, as from Task.cancel().
    """

    def __init__(self, reason: Reason = "cancelled") -> None:
        super().__init__(reason)
        self.reason: Reason = reason
        """Why: "cancelled" by the caller, or by the pool when it stops; "expired": the deadline is over."""

    def __str__(self) -> str:
        return "the deadline is over" if self.reason == "expired" else "the call was cancelled"


class _Expired(Cancelled):
    """For those who can raise a class only, in another thread."""

    def __init__(self) -> None:
        super().__init__("expired")


_Expired.__name__ = _Expired.__qualname__ = Cancelled.__name__


def class_for(reason: Reason) -> type[Cancelled]:
    """Whose instances, made without arguments, have that reason."""
    return _Expired if reason == "expired" else Cancelled


_let_pass: set[CodeType] = set()


def let_pass(function: F) -> F:
    """Marks a function of ours that has the user's code run inside of it: Cancelled, raised there, may pass through."""
    _let_pass.add(function.__code__)
    return function


class Asker:
    """Asks the running call to stop, again and again until its tool has been interrupted or has ended.

    Once is not enough: the signal may come when it must not raise, or just before the tool goes to sleep in a system
    call, which it then does not end.
    """

    def __init__(
        self,
        runs_tools: Collection[CodeType],
        is_open: Callable[[int], bool],
        overdue: Callable[[], bool],
    ) -> None:
        """runs_tools: the functions that call tools, and expect Cancelled while `running` is set.
        is_open: whether a call has begun and not ended. overdue: whether the running one's deadline is over."""
        self.running = 0
        """Id of the call in whose tool the main thread is, or 0. The main thread's to write."""
        self._runs_tools = runs_tools
        self._is_open = is_open
        self._overdue = overdue
        self._unheard = 0  # id of the call that was asked last, until Cancelled is raised in it
        self._asked = threading.Event()
        self._main_thread = 0

    def listen(self) -> None:
        """Take the signal over. Called once, on the main thread."""
        self._main_thread = threading.get_ident()
        signal.signal(_ASK, self._on_signal)
        # It goes to this one thread, so that no other has to block it, and no program that a tool starts inherits that.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {_ASK})
        threading.Thread(target=self._insist, name="snakepit-asker", daemon=True).start()

    def ask(self, call_id: int) -> None:
        """Ask a call that has begun. Nothing happens when it ends meanwhile. Not from two threads at once."""
        self._unheard = call_id
        self._send()
        self._asked.set()

    def is_main_thread(self) -> bool:
        return threading.get_ident() == self._main_thread

    def raise_in_wait(self, call_id: int) -> None:
        """For code of ours that waits for the host on the main thread, where the signal does not raise."""
        if self.running == call_id:
            self._unheard = 0
            raise Cancelled("expired" if self._overdue() else "cancelled")

    def _send(self) -> None:
        with suppress(OSError):  # the tool has blocked it, and the kernel keeps no more
            signal.pthread_kill(self._main_thread, _ASK)

    def _insist(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            pause = _FIRST_PAUSE
            sleep(pause)
            while self._unheard and self._is_open(self._unheard):
                self._send()
                pause = min(2 * pause, _LONGEST_PAUSE)
                sleep(pause)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Between any two instructions of the main thread, whatever these are part of."""
        if self._unheard != self.running or not self.running or not self._may_raise(frame):
            return
        cancelled = Cancelled("expired" if self._overdue() else "cancelled")
        self._unheard = 0
        if frame is not None and frame.f_code in self._runs_tools:
            self.running = 0  # on the way in or out: the tool is over, and no second one may disturb what follows
        raise cancelled

    def _may_raise(self, frame: FrameType | None) -> bool:
        """Whether the tool's code alone would be interrupted, none of ours that the tool has called."""
        innermost = frame
        while frame is not None:
            code = frame.f_code
            if code.co_filename.startswith(OWN_DIRECTORY):
                if code in self._runs_tools:
                    return True
                if frame is innermost or code not in _let_pass:
                    return False
            if code.co_name == "__del__":
                return False  # what is raised there goes nowhere
            frame = frame.f_back
        return True  # the tool's code on a stack of its own, as greenlets have

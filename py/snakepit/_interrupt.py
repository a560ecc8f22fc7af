"""Asking the tool that a thread runs to stop: Cancelled is raised there, by PyThreadState_SetAsyncExc()."""

from __future__ import annotations

import ctypes
import threading

from snakepit._cancel import Reason, class_for

_set_async_exc = ctypes.pythonapi.PyThreadState_SetAsyncExc
_set_async_exc.argtypes = [ctypes.c_ulong, ctypes.py_object]


class Interruptible:
    """One thread that runs tools. Its own, unless a method says otherwise.

    What is raised comes between two instructions of the thread, whatever these are part of. So it is set under a lock
    and only while the thread is in a tool, and whoever leaves the tool, for good or into code of ours, takes the same
    lock first: what was set by then is heard before the thread goes on. Once per call.

    `with` it, code of ours that a tool has called is shielded: what is asked meanwhile is raised at the end of the
    outermost one, or by check().
    """

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._lock = threading.Lock()
        self._call = 0  # id of the call whose tool may be interrupted
        self._shields = 0  # around each other
        self._asked: Reason | None = None
        self._pending = False  # asked while shielded

    @property
    def call(self) -> int:
        """Id of the call whose tool runs, or 0. Any thread."""
        return self._call

    def is_here(self) -> bool:
        """Any thread."""
        return threading.get_ident() == self._thread

    def enter(self, call_id: int) -> None:
        """The tool begins after this."""
        self._shields = 0
        self._pending = False
        self._asked = None
        self._call = call_id

    def leave(self) -> None:
        """The tool is over. May raise what was set at the last moment; then it is to be called again."""
        with self._lock:
            self._call = 0
        _hear()

    def ask(self, call_id: int, reason: Reason) -> None:
        """Have Cancelled raised in the tool of a call, if it runs. Any thread."""
        with self._lock:
            if self._call != call_id or self._asked is not None:
                return
            self._asked = reason
            if self._shields:
                self._pending = True
            else:
                _set_async_exc(self._thread, class_for(reason))

    def __enter__(self) -> None:
        outer = self._shields
        try:
            with self._lock:
                self._shields = outer + 1
            _hear()
        except BaseException:
            self._shields = outer
            raise

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._shields -= 1
        if not self._shields:
            self.check()

    def check(self) -> None:
        """Raise what was asked behind the shield."""
        if self._pending:
            self._pending = False
            raise class_for(self._asked or "cancelled")()


def _hear() -> None:
    """A call, where Python looks for what was set."""

"""Threads that work for the running call."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


def run_in_thread(function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
    """Run a function in a thread of its own, for the running call: snakepit.session() and snakepit.host work there, and
    context variables are those of here. The result is awaited with `.result()`.

    The thread is not stopped when the call ends; sessions and host tools then raise SessionClosed in it.
    """
    future: Future[T] = Future()
    context = contextvars.copy_context()

    def run() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(context.run(function, *args, **kwargs))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name=f"snakepit-{getattr(function, '__name__', 'thread')}", daemon=True).start()
    return future

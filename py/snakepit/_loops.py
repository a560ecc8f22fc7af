"""Event loops: one for each thread that runs async code to its end, and which kind it is."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from snakepit._cancel import Cancelled, Reason

if TYPE_CHECKING:
    import asyncio

_local = threading.local()
_by_thread: dict[int, OwnLoop] = {}


class OwnLoop:
    """A thread's event loop, made when it is wanted: modules without async code do not even import asyncio."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self.why_unwanted: Callable[[], Reason | None] = lambda: None
        """Why the call that this thread runs is to stop; None: it is not. For who runs calls here to set."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The thread's own."""
        if self._loop is None:
            import asyncio

            self._loop = _new_loop()
            asyncio.set_event_loop(self._loop)
        return self._loop

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run it to its end. When it is to stop it is cancelled, as asyncio does it; Cancelled says why."""
        from asyncio import CancelledError

        loop = self.loop
        task = self._task = loop.create_task(coroutine)
        try:
            if self.why_unwanted() is not None:  # or it is asked from now on
                task.cancel()
            return loop.run_until_complete(task)
        except CancelledError:
            reason = self.why_unwanted()
            if reason is None:
                raise
            raise Cancelled(reason) from None
        finally:
            self._task = None

    def finish(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run what tidies up to its end. Nothing of ours that is between lets Cancelled pass: raised in the middle of
        the loop it would leave a generator half closed, until the loop is run the next time."""
        self.loop.run_until_complete(coroutine)

    def stop(self) -> None:
        """What runs here is to stop, as why_unwanted() says by now. Any thread."""
        task, loop = self._task, self._loop
        if task is not None and loop is not None:
            with suppress(RuntimeError):  # closed meanwhile
                loop.call_soon_threadsafe(task.cancel)

    @property
    def loop_if_any(self) -> asyncio.AbstractEventLoop | None:
        """The thread's own, if it was wanted before. Any thread."""
        return self._loop

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """What is being run here to its end. Any thread."""
        return self._task

    @property
    def is_running(self) -> bool:
        """Whether async code is being run here. Any thread."""
        return self._task is not None


def own_loop() -> OwnLoop:
    """This thread's."""
    found: OwnLoop | None = getattr(_local, "loop", None)
    if found is None:
        found = _local.loop = _by_thread[threading.get_ident()] = OwnLoop()
    return found


def task_of(thread: int) -> asyncio.Task[Any] | None:
    """What a thread runs to its end on a loop of its own, or None."""
    own = _by_thread.get(thread)
    return own.task if own is not None else None


def all_loops() -> list[tuple[int, asyncio.AbstractEventLoop]]:
    """With the idents of their threads."""
    return [(thread, own.loop_if_any) for thread, own in list(_by_thread.items()) if own.loop_if_any is not None]


def run_to_end(function: Callable[..., Any]) -> Callable[..., Any]:
    """A plain function that does the same, for an `async def`; any other function as it is."""
    if not inspect.iscoroutinefunction(function):
        return function

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        return own_loop().run(function(*args, **kwargs))

    return run


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        uvloop = import_module("uvloop")
    except ImportError:
        return import_module("asyncio").new_event_loop()  # type: ignore[no-any-return]
    return uvloop.new_event_loop()  # type: ignore[no-any-return]

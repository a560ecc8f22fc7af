"""Where the worker's code is: stacks of threads, and of coroutines that wait on an event loop."""

from __future__ import annotations

import gc
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from time import monotonic
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import Any, NamedTuple

from snakepit import _loops
from snakepit._failure import OWN_DIRECTORY
from snakepit._origin import Origin

_DEEPEST = 200  # frames of one stack: the innermost of a thread, the outermost of a coroutine
_MOST = 200  # stacks of one report

_LIBRARY = os.path.dirname(os.path.abspath(os.__file__))
# What comes before the code for which a thread, or a loop, is there.
_MACHINERY = (OWN_DIRECTORY, *(os.path.join(_LIBRARY, name) for name in ("threading.py", "asyncio", "concurrent")))
_GRPC = f"{os.sep}grpc{os.sep}"
_OWN_THREADS = frozenset(
    f"snakepit-{name}" for name in ("aside", "asker", "batch", "control", "items", "lane", "output", "slow", "watch")
)

_Part = tuple[str, Callable[[], str]]  # whose stack, and the stack


class AtWork(NamedTuple):
    """A call that runs; of a batch, the first."""

    call: Origin
    others: int
    """Calls for which the tool runs beside that one."""
    since: float
    thread: int
    """Where the tool runs, or the loop on which it does."""
    task: Any = None
    """What the call is on that loop, where it shares it with others."""


def stack_of(work: AtWork) -> str:
    """Of the code that runs a call."""
    waiting = _waiting_task(work)
    return _text(_without_machinery(_frames_of_thread(work.thread) if waiting is None else _frames_of_task(waiting)))


def report(at_work: Iterable[AtWork]) -> str:
    """Of everything: of calls first, of what is ours last."""
    parts = list(_Report().parts(at_work))
    text = "\n".join(f"{whose}:\n{stack()}" for whose, stack in parts[:_MOST])
    return text if len(parts) <= _MOST else f"{text}\n({len(parts) - _MOST} more)\n"


class _Report:
    def __init__(self) -> None:
        self._names = {thread.ident: thread.name for thread in threading.enumerate()}
        self._told: set[object] = set()  # tasks, and idents of threads

    def parts(self, at_work: Iterable[AtWork]) -> Iterator[_Part]:
        yield from self._calls(at_work)
        yield from self._tasks()
        yield from self._threads()

    def _calls(self, at_work: Iterable[AtWork]) -> Iterator[_Part]:
        now = monotonic()
        for work in at_work:
            waiting = _waiting_task(work)
            self._told.add(work.thread if waiting is None else waiting)
            verb = "runs" if waiting is None else "awaits"
            others = f" and {work.others} more" if work.others else ""
            what = f"{verb} call {work.call.id}{others} of {work.call.tool!r} for {now - work.since:.1f} s"
            yield f"{self._name_of(work.thread)} {what}", partial(stack_of, work)

    def _tasks(self) -> Iterator[_Part]:
        """Those that wait and are no call's own."""
        if "asyncio" not in sys.modules:
            return
        from asyncio import all_tasks

        for thread, loop in _loops.all_loops():
            for task in all_tasks(loop):
                if task not in self._told and not _is_running(task):
                    whose = f"{self._name_of(thread)} awaits in task {task.get_name()!r}"
                    yield whose, partial(_stack_of_task, task)

    def _threads(self) -> list[_Part]:
        """The others; last of all our own, and gRPC's."""
        theirs: list[_Part] = []
        ours: list[_Part] = []
        for thread, frame in sys._current_frames().items():
            if thread in self._told:
                continue
            name, stack = self._name_of(thread), partial(_stack_of_thread, thread)
            if self._names.get(thread) in _OWN_THREADS:
                ours.append((f"{name}, snakepit's own", stack))
            elif _is_of_grpc(frame):
                ours.append((f"{name}, gRPC's own", stack))
            else:
                theirs.append((name, stack))
        return theirs + ours

    def _name_of(self, thread: int) -> str:
        return f"thread {self._names.get(thread, str(thread))!r}"


def _waiting_task(work: AtWork) -> Any:
    """What the call is on an event loop, if it waits there; None: it is what its thread is at."""
    task = work.task if work.task is not None else _loops.task_of(work.thread)
    return None if task is None or _is_running(task) else task


def _is_running(task: Any) -> bool:
    from asyncio import current_task

    return current_task(task.get_loop()) is task


def _stack_of_thread(thread: int) -> str:
    return _text(_frames_of_thread(thread))


def _stack_of_task(task: Any) -> str:
    return _text(_frames_of_task(task))


def _frames_of_thread(thread: int) -> list[FrameType]:
    frames: list[FrameType] = []
    frame = sys._current_frames().get(thread)
    while frame is not None and len(frames) < _DEEPEST:
        frames.append(frame)
        frame = frame.f_back
    return frames[::-1]


def _frames_of_task(task: Any) -> list[FrameType]:
    """Of its coroutine, of what that awaits, and so on."""
    frames: list[FrameType] = []
    awaited = task.get_coro()
    while awaited is not None and len(frames) < _DEEPEST:
        if isinstance(awaited, CoroutineType):
            frame, following = awaited.cr_frame, awaited.cr_await
        elif isinstance(awaited, AsyncGeneratorType):
            frame, following = awaited.ag_frame, awaited.ag_await
        elif isinstance(awaited, GeneratorType):
            frame, following = awaited.gi_frame, awaited.gi_yieldfrom
        else:
            frame, following = None, _behind(awaited)
        if frame is not None:
            frames.append(frame)
        awaited = following
    return frames


def _behind(awaited: object) -> object:
    """What an object stands for that is written in C: `async for` awaits one, which stands for the generator."""
    from asyncio import Task

    for referred in gc.get_referents(awaited):
        if isinstance(referred, Task):
            return referred.get_coro()
        if isinstance(referred, (CoroutineType, AsyncGeneratorType, GeneratorType)):
            return referred
    return None


def _without_machinery(frames: list[FrameType]) -> list[FrameType]:
    for first, frame in enumerate(frames):
        if not frame.f_code.co_filename.startswith(_MACHINERY):
            return frames[first:]
    return frames


def _is_of_grpc(frame: FrameType | None) -> bool:
    while frame is not None:
        if _GRPC in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


def _text(frames: list[FrameType]) -> str:
    numbered = ((frame, frame.f_lineno or 0) for frame in frames)
    return "".join(traceback.StackSummary.extract(numbered).format()) or "  (no Python code)\n"

"""Exceptions as plain text that can travel, whatever the exception does while it is looked at."""

from __future__ import annotations

import os
import traceback
from dataclasses import dataclass, field
from types import TracebackType

from snakepit._protocol import (
    MAX_CAUSE_MESSAGE_BYTES,
    MAX_CAUSES,
    MAX_MESSAGE_BYTES,
    MAX_TRACEBACK_BYTES,
    MAX_TYPE_BYTES,
)
from snakepit._text import cut, cut_middle

_OWN_DIRECTORY = os.path.dirname(os.path.abspath(__file__)) + os.sep


@dataclass(frozen=True)
class Raised:
    """An exception, described. Sizes are those of Failure in work.proto."""

    type: str
    message: str
    traceback: str
    causes: list[tuple[str, str]] = field(default_factory=list)  # (type, message), nearest first


def describe(error: BaseException) -> Raised:
    """Describe an exception. Never raises: also not for one whose str() does, or when the stack is exhausted."""
    return Raised(
        type=type_name(error),
        message=cut_middle(_message(error), MAX_MESSAGE_BYTES),
        traceback=cut_middle(_traceback(error), MAX_TRACEBACK_BYTES),
        causes=[(type_name(cause), cut(_message(cause), MAX_CAUSE_MESSAGE_BYTES)) for cause in _causes(error)],
    )


def type_name(error: BaseException) -> str:
    """Name of the exception's class, with its module unless it is built in."""
    cls = type(error)
    module, name = str(cls.__module__), str(cls.__qualname__)
    return cut(name if module == "builtins" else f"{module}.{name}", MAX_TYPE_BYTES)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as again:  # SystemExit raised by a __str__ must not end us either
        return f"<str() of it raised {type(again).__qualname__}>"


def _traceback(error: BaseException) -> str:
    try:
        # A MemoryError or RecursionError leaves thousands of frames behind: format prints repeats once.
        return "".join(
            traceback.format_exception(type(error), error, _without_own_frames(error.__traceback__), limit=-200)
        )
    except BaseException as again:
        return f"{type_name(error)}\n<its traceback cannot be printed: {type(again).__qualname__}>\n"


def _without_own_frames(tb: TracebackType | None) -> TracebackType | None:
    """Skip the frames at the top that are ours or the import system's; the rest is the user's."""
    first = tb
    while first is not None:
        name = first.tb_frame.f_code.co_filename
        if not (name.startswith((_OWN_DIRECTORY, "<frozen importlib")) or "/importlib/" in name):
            return first
        first = first.tb_next
    return None


def _causes(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    current = error
    while len(chain) < MAX_CAUSES:
        following = current.__cause__
        if following is None and not current.__suppress_context__:
            following = current.__context__
        if following is None or following is error or following in chain:
            break
        chain.append(following)
        current = following
    return chain

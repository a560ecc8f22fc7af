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

OWN_DIRECTORY = os.path.dirname(os.path.abspath(__file__)) + os.sep


@dataclass(frozen=True)
class Raised:
    """An exception, described. Sizes are those of Failure in work.proto."""

    type: str
    message: str
    traceback: str
    causes: list[tuple[str, str]] = field(default_factory=list)  # (type, message), nearest first


def describe(error: BaseException) -> Raised:
    """Describe an exception. Never raises: also not for one whose str() does, or when the stack is exhausted."""
    try:
        return Raised(
            type=type_name(error),
            message=cut_middle(text_of(error), MAX_MESSAGE_BYTES),
            traceback=cut_middle(_traceback(error), MAX_TRACEBACK_BYTES),
            causes=[(type_name(cause), cut(text_of(cause), MAX_CAUSE_MESSAGE_BYTES)) for cause in _causes(error)],
        )
    except BaseException:  # out of memory, or a hostility that nobody has thought of
        return _INDESCRIBABLE


def type_name(error: BaseException) -> str:
    """Name of the exception's class, with its module unless it is built in."""
    cls = type(error)
    try:
        module, name = _plain(cls.__module__), _plain(cls.__qualname__)
    except BaseException:  # a metaclass may refuse anything, but not this
        module, name = "builtins", vars(type)["__name__"].__get__(cls)
    return cut(name if module == "builtins" else f"{module}.{name}", MAX_TYPE_BYTES)


def text_of(thing: object) -> str:
    """str() of it. Never raises, whatever that does."""
    try:
        return _plain(thing)
    except BaseException as again:  # SystemExit raised by a __str__ must not end us either
        return f"<str() of it raised {type_name(again)}>"


def _plain(thing: object) -> str:
    """str() of it and nothing else: that may be of a subclass, whose methods do what they like."""
    return str.__getitem__(str(thing), slice(None))


def _traceback(error: BaseException) -> str:
    try:
        # A MemoryError or RecursionError leaves thousands of frames behind: format prints repeats once.
        return "".join(
            traceback.format_exception(type(error), error, _without_own_frames(error.__traceback__), limit=-200)
        )
    except BaseException as again:
        return f"{type_name(error)}\n<its traceback cannot be printed: {type_name(again)}>\n"


def _without_own_frames(tb: TracebackType | None) -> TracebackType | None:
    """Skip the frames at the top that are ours or the import system's; the rest is the user's."""
    first = tb
    while first is not None:
        name = first.tb_frame.f_code.co_filename
        if not (name.startswith((OWN_DIRECTORY, "<frozen importlib")) or "/importlib/" in name):
            return first
        first = first.tb_next
    return None


def _causes(error: BaseException) -> list[BaseException]:
    chain = [error]
    while len(chain) <= MAX_CAUSES:
        try:
            following = chain[-1].__cause__
            if following is None and not chain[-1].__suppress_context__:
                following = chain[-1].__context__
            # By identity: == may be the user's.
            if not isinstance(following, BaseException) or any(following is known for known in chain):
                break
        except BaseException:  # raised by a property of the exception's class
            break
        chain.append(following)
    return chain[1:]


_INDESCRIBABLE = Raised("BaseException", "<the exception cannot be described>", "<no traceback>\n")

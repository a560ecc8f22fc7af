"""Values of any size as text of a bounded one, which takes no longer to make than such text does."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from snakepit._failure import text_of, type_name

_DEEPEST = 6  # containers in each other
_BRACKETS: tuple[tuple[Any, str, str], ...] = (
    (list, "[", "]"),
    (tuple, "(", ")"),
    (set, "{", "}"),
    (frozenset, "frozenset({", "})"),
    (deque, "deque([", "])"),
)


def brief(value: object, size: int) -> str:
    """About what str() makes of it, of containers their beginning: so many characters or a few more. Never raises."""
    if isinstance(value, (dict, bytes, bytearray, *(kind for kind, _, _ in _BRACKETS))):
        return _joined(_pieces(value, size, 0), size)
    return text_of(value)


def _joined(pieces: Iterator[str], size: int) -> str:
    made: list[str] = []
    try:
        for piece in pieces:
            made.append(piece)
            size -= len(piece)
            if size < 0:
                made.append("...")
                break
    except BaseException as error:  # changed meanwhile by another thread, or of the user's own kind
        made.append(f"<{type_name(error)}>")
    return "".join(made)


def _pieces(value: Any, size: int, depth: int) -> Iterator[str]:
    if isinstance(value, (str, bytes, bytearray)):
        yield repr(value[:size])
    elif isinstance(value, dict):
        yield from _inside("{", value.items(), "}", size, depth, _pair)
    else:
        for kind, begin, end in _BRACKETS:
            if isinstance(value, kind):
                yield from _inside(begin, value, end, size, depth, _pieces)
                return
        yield repr(value)


def _pair(pair: tuple[Any, Any], size: int, depth: int) -> Iterator[str]:
    yield from _pieces(pair[0], size, depth)
    yield ": "
    yield from _pieces(pair[1], size, depth)


def _inside(begin: str, items: Iterable[Any], end: str, size: int, depth: int, pieces_of: Any) -> Iterator[str]:
    yield begin
    if depth >= _DEEPEST:
        yield "..."
    else:
        between = ""
        for item in items:
            yield between
            yield from pieces_of(item, size, depth + 1)
            between = ", "
    yield end

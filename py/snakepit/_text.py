"""Cutting text to sizes in bytes."""

from __future__ import annotations


def cut(text: str, limit: int) -> str:
    """`text`, its end cut off so that its UTF-8 form has at most `limit` bytes. Lone surrogates become '?'."""
    data = text.encode("utf-8", "replace")
    return data[:limit].decode("utf-8", "ignore") if len(data) > limit else data.decode("utf-8")


def cut_middle(text: str, limit: int) -> str:
    """As cut(), but what is lost is the middle: both ends of a traceback matter.

    The end begins with a whole line, and is left out if it has none: the rest of one may be a secret whose name is cut
    off.
    """
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode("utf-8")
    mark = b"\n  [...]\n"
    room = limit - len(mark)
    end = data[-(room - room // 2) :].partition(b"\n")[2]
    head = room // 2 if end else room
    return data[:head].decode("utf-8", "ignore") + mark.decode() + end.decode("utf-8", "ignore")

"""Where, inside a value, the part is that cannot travel. Slow on purpose: it runs after the packer has failed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from snakepit import _arrays

MAX_DEPTH = 500
BYTE_FORMATS = frozenset(("B", "b", "c", "<B", "<b", "<c"))  # of a memoryview: others would lose what they mean

_INT_MIN = -(2**63)
_INT_MAX = 2**64 - 1

_HINTS = {
    "datetime.datetime": "send .isoformat() or .timestamp()",
    "datetime.date": "send .isoformat()",
    "datetime.time": "send .isoformat()",
    "datetime.timedelta": "send .total_seconds()",
    "decimal.Decimal": "send str() or float() of it",
    "fractions.Fraction": "send str() or float() of it",
    "uuid.UUID": "send str() of it",
    "set": "send list() of it",
    "frozenset": "send list() of it",
    "range": "send list() of it",
    "complex": "send its two parts",
    "generator": "send list() of it",
    "coroutine": "it was never awaited",
}


def find_refused(value: object, root: str) -> str | None:
    """'path: reason' of the first part that cannot travel, or None when all of it can.

    Walks with a stack of its own: a value may be nested deeper than Python may recurse.
    """
    path: list[str] = []
    above: list[int] = []  # identities of the containers that we are inside of
    levels: list[Iterator[tuple[str, object]]] = [iter([("", value)])]
    while levels:
        step = next(levels[-1], None)
        if step is None:
            levels.pop()
            if above:
                above.pop()
                path.pop()
            continue
        label, part = step
        if label == _BAD_KEY:
            return f"{_shown(root, path)}: a key of a map must be text, not {_type_name(part)}"
        if not isinstance(part, (dict, list, tuple)) or _is_ext(part):
            reason = _leaf_problem(part)
            if reason is not None:
                return f"{_shown(root, [*path, label])}{reason}"
            continue
        if id(part) in above:
            return f"{_shown(root, [*path, label])}: a value that contains itself cannot travel"
        if len(above) >= MAX_DEPTH:
            return f"{_shown(root, [*path, label])}: nested more than {MAX_DEPTH} deep"
        path.append(label)
        above.append(id(part))
        levels.append(_parts(part))
    return None


_BAD_KEY = "\0"


def _parts(container: Any) -> Iterator[tuple[str, object]]:
    if not isinstance(container, dict):
        for index, part in enumerate(container):
            yield f"[{index}]", part
        return
    for key, part in container.items():
        if not isinstance(key, str):
            yield _BAD_KEY, key
        elif _has_surrogates(key):
            yield f"[{_quoted(key)}]", key
        else:
            yield f"[{_quoted(key)}]", part


def _leaf_problem(leaf: object) -> str | None:
    """What to print behind the path, or None when the leaf can travel."""
    if leaf is None or isinstance(leaf, (bool, float, bytes, bytearray)):
        return None
    if isinstance(leaf, int):
        if _INT_MIN <= leaf <= _INT_MAX:
            return None
        return f": an int of {leaf.bit_length()} bits cannot travel; 64 are the limit"
    if isinstance(leaf, str):
        return ": text with a lone surrogate cannot travel" if _has_surrogates(leaf) else None
    if isinstance(leaf, memoryview):
        if not leaf.contiguous:
            return ": a memoryview that is not contiguous cannot travel"
        if leaf.format not in BYTE_FORMATS:
            return f": a memoryview of format {leaf.format!r} cannot travel; send .cast('B') or an array of it"
        return None
    try:
        if _arrays.is_array(leaf):
            _arrays.take_apart(leaf)
            return None
        if _arrays.is_scalar(leaf):
            _arrays.plain_scalar(leaf)
            return None
    except _arrays.ArrayError as error:
        return f": {error}"
    if dataclasses.is_dataclass(leaf) and not isinstance(leaf, type):
        inner = _field_problem(leaf)
        if inner is not None:
            return inner
        return f": {_type_name(leaf)} cannot travel; send dataclasses.asdict() of it"
    name = _type_name(leaf)
    hint = _HINTS.get(name) or ("send .to_dict() or .to_numpy() of it" if name.startswith("pandas.") else None)
    return f": {name} cannot travel" + (f"; {hint}" if hint else "")


def _field_problem(instance: Any) -> str | None:
    """The first field that would be refused too: asdict() alone would not be enough."""
    for field in dataclasses.fields(instance):
        part = getattr(instance, field.name, None)
        if not isinstance(part, (dict, list, tuple)) and not dataclasses.is_dataclass(part):
            reason = _leaf_problem(part)
            if reason is not None:
                return f".{field.name}{reason}"
    return None


def _shown(root: str, labels: list[str]) -> str:
    """The path, with the middle of a long one left out."""
    steps = [label for label in labels if label]
    if len(steps) > 24:
        steps = [*steps[:12], "[...]", *steps[-11:]]
    return root + "".join(steps)


def _quoted(key: str) -> str:
    text = json.dumps(key, ensure_ascii=_has_surrogates(key))
    return text if len(text) <= 80 else text[:77] + '..."'


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text) if not text.isascii() else False


def _is_ext(part: object) -> bool:
    return type(part).__module__.partition(".")[0] == "msgpack"  # a namedtuple that the packer treats specially


def _type_name(value: object) -> str:
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"

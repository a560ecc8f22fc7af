"""Values as JSON text without loss, for people and pipes. The C++ command reads and writes the same form.

What JSON lacks is a map with one key: {"$float": "nan"}, {"$bytes": base64}, {"$array": {dtype, shape, base64}}. A map
that has such a form by itself is refused, since it would be read as something else.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from typing import Any, NoReturn

from snakepit import _arrays
from snakepit._refusal import find_refused

_FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class JsonError(ValueError):
    """Text or a value that has no counterpart on the other side."""


def loads(text: str) -> Any:
    """The value that the text stands for. Raises JsonError."""
    try:
        return json.loads(
            text,
            object_hook=_from_form,  # innermost first, without a recursion of ours
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=_finite_float,
        )
    except RecursionError:
        raise JsonError("nested too deeply") from None
    except JsonError:
        raise
    except ValueError as error:  # no JSON, or a number of thousands of digits
        raise JsonError(f"not JSON: {error}") from None


def dumps(value: object, root: str = "result") -> str:
    """The text of a value. Raises JsonError; `root` begins the path in its text."""
    refused = find_refused(value, root)
    if refused is not None:
        raise JsonError(refused)
    return json.dumps(_to_plain(value), ensure_ascii=False, allow_nan=False)


def _integer(text: str) -> int:
    number = int(text)
    if not -(2**63) <= number < 2**64:
        raise JsonError(f"{text[:40]} is an integer of more than 64 bits")
    return number


def _finite_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise JsonError(f"{text[:40]} is out of range")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise JsonError(f'{name} is not JSON: write {{"$float": "nan"}}, "inf" or "-inf"')


def _to_plain(value: Any) -> Any:
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)  # a subclass such as numpy's prints in its own way
        return {"$float": "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"$bytes": _to_base64(value)}
    if isinstance(value, dict):
        if _matches(value):
            raise JsonError(f"a map that looks like {next(iter(value))!r} of the JSON form cannot be written")
        # Loops, not comprehensions: they would take a second frame for each level, and there may be 500.
        plain_map = {}
        for key, part in value.items():
            plain_map[key] = _to_plain(part)
        return plain_map
    if isinstance(value, (list, tuple)):
        plain_list = []
        for part in value:
            plain_list.append(_to_plain(part))
        return plain_list
    if _arrays.is_array(value):
        descr, shape, data = _arrays.take_apart(value)
        return {"$array": {"dtype": descr, "shape": shape, "base64": _to_base64(data)}}
    if _arrays.is_scalar(value) and not isinstance(value, str):
        return _to_plain(_arrays.plain_scalar(value))
    return value


def _from_form(value: dict[str, Any]) -> Any:
    if not _matches(value):
        return value
    ((word, content),) = value.items()
    if word == "$float":
        return _FLOATS[content]
    if word == "$bytes":
        return _from_base64(content)
    try:
        return _arrays.put_together(content["dtype"], content["shape"], _from_base64(content["base64"]))
    except _arrays.ArrayError as error:
        raise JsonError(str(error)) from None


def _matches(value: dict[Any, Any]) -> bool:
    """Whether a map is one of the forms, and not just a map with a strange key."""
    if len(value) != 1:
        return False
    ((word, content),) = value.items()
    if word == "$float":
        return isinstance(content, str) and content in _FLOATS
    if word == "$bytes":
        return isinstance(content, str)
    return word == "$array" and isinstance(content, dict) and content.keys() == {"dtype", "shape", "base64"}


def _to_base64(data: Any) -> str:
    return base64.b64encode(data).decode("ascii")


def _from_base64(text: object) -> bytes:
    if not isinstance(text, str):
        raise JsonError("base64 must be text")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise JsonError(f"not base64: {error}") from None

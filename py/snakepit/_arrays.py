"""numpy arrays and scalars as values. numpy is imported only when a value needs it."""

from __future__ import annotations

import importlib
import math
import sys
import warnings
from typing import Any

ARRAY_EXT_CODE = 1

_FIXED_SIZE_KINDS = frozenset("biufcmMSUV")
_USERS = 2  # in numpy.dtype.isbuiltin: added by an extension, such as ml_dtypes.bfloat16. Its descr is a lie, as "<V2"


class ArrayError(ValueError):
    """An array that cannot travel, or bytes that are no array."""


def is_array(value: object) -> bool:
    """Whether `value` is a numpy array. Does not import numpy: who has an array has imported it."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def is_scalar(value: object) -> bool:
    """Whether `value` is one of numpy's scalars."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.generic)


def plain_scalar(value: Any) -> bool | int | float:
    """The Python value of a numpy scalar, for the kinds that have one without loss."""
    if value.dtype.isbuiltin == _USERS:
        raise ArrayError(f"{_type_name(value)} cannot travel; send float() or int() of it")
    if value.dtype.kind in "biu" or (value.dtype.kind == "f" and value.dtype.itemsize <= 8):
        plain: bool | int | float = value.item()
        return plain
    raise ArrayError(f"{_type_name(value)} cannot travel: wrap it in numpy.asarray()")


def take_apart(array: Any) -> tuple[Any, list[int], Any]:
    """(descr, shape, data): native byte order, C order. `data` is bytes-like."""
    numpy = _numpy()
    if isinstance(array, numpy.ma.MaskedArray):
        raise ArrayError("a masked array cannot travel: its mask would be lost; use .filled()")
    dtype = array.dtype
    if dtype.hasobject or dtype.kind not in _FIXED_SIZE_KINDS:
        raise ArrayError(f"an array of dtype {dtype} cannot travel: its items have no fixed size")
    if _is_foreign(dtype):
        raise ArrayError(f"an array of dtype {dtype} cannot travel: it is not one of numpy's own; use .astype()")
    plain = numpy.asarray(array, dtype=dtype.newbyteorder("<"), order="C")
    try:
        descr = _descr(numpy, plain.dtype)
    except ValueError:  # fields that overlap or are out of order, as in array[["b", "a"]]
        plain = importlib.import_module("numpy.lib.recfunctions").repack_fields(plain, recurse=True)
        dtype = plain.dtype
        try:
            descr = _descr(numpy, dtype)
        except ValueError as error:
            raise ArrayError(f"an array of dtype {dtype} cannot travel: {error}") from None
    if plain.size * dtype.itemsize == 0:
        return descr, list(plain.shape), b""
    # As bytes without a copy: datetimes and some others offer no buffer of their own.
    return descr, list(plain.shape), plain.reshape(-1).view(numpy.uint8).data


def _is_foreign(dtype: Any) -> bool:
    """Whether an extension's dtype is in it, which what we send would not name."""
    if dtype.subdtype is not None:
        return _is_foreign(dtype.base)
    if dtype.names is not None:
        return any(_is_foreign(dtype[name]) for name in dtype.names)
    return bool(dtype.isbuiltin == _USERS)


def _descr(numpy: Any, dtype: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # metadata on a dtype stays behind
        return numpy.lib.format.dtype_to_descr(dtype)


def put_together(descr: object, shape: object, data: object) -> Any:
    """The array that take_apart() took apart, writable. Every part is checked first."""
    try:
        numpy = _numpy()
    except ImportError as error:
        raise ArrayError(f"an array came, but numpy cannot be imported: {error}") from None
    if not isinstance(shape, list) or not all(type(size) is int and 0 <= size < 2**63 for size in shape):
        raise ArrayError("the shape of an array must be a list of sizes")
    if len(shape) > 32:
        raise ArrayError(f"an array of {len(shape)} dimensions: at most 32 are allowed")
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise ArrayError("the data of an array must be bytes")
    dtype = _dtype(numpy, descr)
    expected = math.prod(shape) * dtype.itemsize
    if expected != len(data):
        raise ArrayError(f"an array of {len(data)} bytes: dtype {dtype} and shape {shape} need {expected}")
    try:
        array = numpy.empty(shape, dtype)
        if expected:
            array.reshape(-1).view(numpy.uint8)[:] = numpy.frombuffer(data, numpy.uint8)
    except (ValueError, MemoryError) as error:
        raise ArrayError(f"an array of dtype {dtype} and shape {shape} cannot be made: {error}") from None
    return array


def _dtype(numpy: Any, descr: object) -> Any:
    if not isinstance(descr, (str, list)):
        raise ArrayError("the dtype of an array must be text or a list of fields")
    try:
        dtype = numpy.lib.format.descr_to_dtype(_fields(descr) if isinstance(descr, list) else descr)
    except Exception as error:  # numpy raises many kinds for a bad descr
        raise ArrayError(f"the dtype {str(descr)[:200]} of an array is unknown: {error}") from None
    if isinstance(descr, str) and (dtype.names or dtype.subdtype):
        raise ArrayError(f"the dtype {descr[:200]} of an array must be a list of fields")
    if dtype.hasobject or dtype.kind not in _FIXED_SIZE_KINDS or dtype.newbyteorder("<") != dtype:
        raise ArrayError(f"the dtype {str(descr)[:200]} of an array is not of a fixed size in native byte order")
    return dtype


def _fields(descr: list[Any]) -> list[tuple[Any, ...]]:
    """MessagePack and JSON turn the tuples of a structured descr into lists; numpy wants them back."""
    fields: list[tuple[Any, ...]] = []
    for field in descr:
        if not isinstance(field, (list, tuple)) or not 2 <= len(field) <= 3:
            raise ArrayError("a field of a structured dtype must be [name, dtype] or [name, dtype, shape]")
        name = tuple(field[0]) if isinstance(field[0], list) else field[0]
        fields.append((name, _kind(field[1]), tuple(field[2])) if len(field) == 3 else (name, _kind(field[1])))
    return fields


def _kind(descr: Any) -> Any:
    """The dtype of a field: text, a list of fields, or, for an array of arrays, a pair of dtype and shape."""
    if not isinstance(descr, (list, tuple)):
        return descr
    if len(descr) == 2 and isinstance(descr[1], (list, tuple)) and all(type(size) is int for size in descr[1]):
        return _kind(descr[0]), tuple(descr[1])
    return _fields(list(descr))


def _numpy() -> Any:
    # Untyped on purpose: what its stubs say changes with its versions.
    return importlib.import_module("numpy")


def _type_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"

"""Results of every shape, those that cannot travel among them."""

import collections
import dataclasses
import datetime
import decimal
import enum
import math
import os

import numpy
import snakepit


@dataclasses.dataclass
class Row:
    name: str
    when: datetime.datetime


class Frame:
    """As pandas' own, by name."""


Frame.__module__ = "pandas.core.frame"
Frame.__qualname__ = "DataFrame"


class Nasty:
    """Raises at whatever is asked of it."""

    def __getattribute__(self, name):
        raise RuntimeError(f"do not ask for {name}")


class Colour(enum.IntEnum):
    RED = 1


_WHEN = datetime.datetime(2024, 5, 6)
_CYCLE: list = []
_CYCLE.append(_CYCLE)


def _deep(levels, of=list):
    value = 1
    for _ in range(levels):
        value = [value] if of is list else {"k": value}
    return value


_ODD = {
    "datetime": lambda: {"rows": [{}, {}, {}, {"when": _WHEN}]},
    "date": lambda: _WHEN.date(),
    "timedelta": lambda: [datetime.timedelta(1)],
    "decimal": lambda: {"price": decimal.Decimal("1.5")},
    "set": lambda: [1, {2, 3}],
    "frozenset": lambda: frozenset([1]),
    "dataclass": lambda: [Row("a", _WHEN)],
    "frame": lambda: {"table": Frame()},
    "object": lambda: object(),
    "nasty": lambda: [Nasty()],
    "function": lambda: len,
    "class": lambda: int,
    "module": lambda: os,
    "generator": lambda: (i for i in range(3)),
    "range": lambda: range(3),
    "complex": lambda: 1j,
    "int_key": lambda: {1: "a"},
    "none_key": lambda: {"ok": {None: "a"}},
    "bytes_key": lambda: {b"k": 1},
    "big_int": lambda: {"n": 2**64},
    "small_int": lambda: -(2**63) - 1,
    "surrogate": lambda: ["\ud800"],
    "surrogate_key": lambda: {"\udfff": 1},
    "cycle": lambda: _CYCLE,
    "deep_501": lambda: _deep(501),
    "deep_501_maps": lambda: _deep(501, dict),
    "deep_10000": lambda: _deep(10_000),
    "deep_100000": lambda: _deep(100_000),
    "object_array": lambda: [numpy.array([1, "a", None], dtype=object)],
    "masked_array": lambda: numpy.ma.array([1, 2], mask=[True, False]),
    "numpy_datetime": lambda: {"t": numpy.datetime64("2024-05-06")},
    "tuple": lambda: (1, (2, "x"), ()),
    "namedtuple": lambda: collections.namedtuple("P", "x y")(1, 2),
    "ordered": lambda: collections.OrderedDict(b=1, a=2),
    "defaultdict": lambda: collections.defaultdict(int, a=1),
    "bytearray": lambda: bytearray(b"\x00\xff"),
    "memoryview": lambda: memoryview(b"\x00\xff"),
    "numpy_scalars": lambda: [
        numpy.int64(-5),
        numpy.uint64(2**64 - 1),
        numpy.float32(0.5),
        numpy.bool_(True),
        numpy.int8(1),
    ],
    "int_enum": lambda: Colour.RED,
    "bool": lambda: True,
    "deep_400": lambda: _deep(400),
    "deep_500": lambda: _deep(500),
    "nan": lambda: [math.nan, math.inf, -math.inf, 5e-324, -0.0],
}


@snakepit.tool
def odd(kind):
    return _ODD[kind]()


@snakepit.tool
def echo(value):
    return value


@snakepit.tool
def describe(value):
    """repr() and type, so that C++ sees what Python saw."""
    return [type(value).__name__, repr(value)]


@snakepit.tool
def depth(value):
    n = 0
    while isinstance(value, list):
        value, n = value[0], n + 1
    return n


@snakepit.tool
def size(value):
    return len(value)


@snakepit.tool
def make(size, kind="bytes"):
    return b"b" * size if kind == "bytes" else "t" * size


_ARRAYS = {
    "big_endian": lambda: numpy.array([1, 2, 3], dtype=">i4"),
    "big_endian_struct": lambda: numpy.array([(1, 0.5)], dtype=[("a", ">u2"), ("b", ">f8")]),
    "zero_d": lambda: numpy.array(7.5),
    "empty": lambda: numpy.empty((0, 3), dtype="<f4"),
    "strided": lambda: numpy.arange(12, dtype="<i8").reshape(3, 4)[:, ::2],
    "transposed": lambda: numpy.arange(6, dtype="<i2").reshape(2, 3).T,
    "reversed": lambda: numpy.arange(4, dtype="<u1")[::-1],
    "fortran": lambda: numpy.asfortranarray(numpy.arange(6, dtype="<i4").reshape(2, 3)),
    "broadcast": lambda: numpy.broadcast_to(numpy.array([1, 2], dtype="<i4"), (3, 2)),
    "struct": lambda: numpy.array([(1, 2.5, "ab")], dtype=[("x", "<i4"), ("y", "<f8"), ("s", "<U2")]),
    "read_only": lambda: numpy.frombuffer(b"\x01\x02", dtype="u1"),
}


@snakepit.tool
def an_array(kind):
    return _ARRAYS[kind]()


@snakepit.tool
def array_facts(array):
    return {
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "sum": float(numpy.asarray(array, dtype="c16").sum().real) if array.dtype.kind in "biufc" else None,
        "writeable": bool(array.flags.writeable),
        "contiguous": bool(array.flags.c_contiguous),
    }

from __future__ import annotations

import collections
import ctypes
import dataclasses
import datetime
import decimal
import enum
import importlib
import math
import random
from typing import Any, NamedTuple

import msgpack
import numpy
import pytest
from snakepit import _codec


class Point(NamedTuple):
    x: int
    y: int


def there_and_back(value: object) -> Any:
    return _codec.decode(_codec.encode(value))


def random_value(rng: random.Random, depth: int) -> Any:
    kind = rng.randrange(9 if depth else 7)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind == 1:
        return rng.choice([0, -1, 127, 128, -32, -33, 2**31, 2**63 - 1, -(2**63), 2**64 - 1, rng.getrandbits(62)])
    if kind == 2:
        return rng.choice([0.0, -0.0, 1e308, 5e-324, math.inf, -math.inf, rng.gauss(0, 1e9)])
    if kind == 3:
        return "".join(rng.choice("aé\0\n\u20ac\U0001f40d\u0301") for _ in range(rng.randrange(40)))
    if kind == 4:
        return rng.randbytes(rng.randrange(300))
    if kind == 5:
        return rng.choice([[], {}, "", b""])
    if kind == 6:
        return "x" * rng.choice([31, 32, 255, 256, 65535, 65536])
    if kind == 7:
        return [random_value(rng, depth - 1) for _ in range(rng.randrange(6))]
    return {random_value_key(rng): random_value(rng, depth - 1) for _ in range(rng.randrange(6))}


def random_value_key(rng: random.Random) -> str:
    return "".join(rng.choice("kéy \0") for _ in range(rng.randrange(6)))


def test_random_values_come_back_as_they_were() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # pytest shows it when the test fails
    rng = random.Random(seed)
    for _ in range(300):
        value = random_value(rng, 5)
        back = there_and_back(value)
        assert back == value
        assert repr(back) == repr(value)  # the types too: True is not 1, 1.0 is not 1, -0.0 is not 0.0


def test_nan_comes_back() -> None:
    assert math.isnan(there_and_back(math.nan))


def test_tuples_arrive_as_lists_and_buffers_as_bytes() -> None:
    assert there_and_back((1, (2, 3))) == [1, [2, 3]]
    assert there_and_back([bytearray(b"a"), memoryview(b"bc")]) == [b"a", b"bc"]
    assert there_and_back(memoryview(b"bc").cast("c")) == b"bc"
    assert there_and_back({"k": [memoryview((ctypes.c_ubyte * 2)(1, 2)), [1]]}) == {"k": [b"\1\2", [1]]}
    assert there_and_back(collections.OrderedDict(a=1)) == {"a": 1}
    assert there_and_back(Point(1, 2)) == [1, 2]


def test_subclasses_of_numbers_travel_as_numbers() -> None:
    class Colour(enum.IntEnum):
        RED = 7

    assert there_and_back({"c": Colour.RED}) == {"c": 7}


@dataclasses.dataclass
class Visit:
    who: str
    when: object


MASKED: Any = numpy.ma
CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"rows": [0, 1, 2, Visit("a", datetime.datetime(2020, 1, 1))]}, 'result["rows"][3].when: datetime.datetime'),
        ({"rows": [{"when": datetime.date(2020, 1, 1)}]}, 'result["rows"][0]["when"]: datetime.date cannot travel'),
        (Visit("a", 1), "Visit cannot travel; send dataclasses.asdict()"),
        (decimal.Decimal(1), "result: decimal.Decimal cannot travel"),
        ([{1}], "result[0]: set cannot travel; send list()"),
        ({1: 2}, "result: a key of a map must be text, not int"),
        ([{"a": {b"k": 2}}], 'result[0]["a"]: a key of a map must be text, not bytes'),
        ([msgpack.Timestamp(1)], "Timestamp cannot travel"),
        (msgpack.ExtType(5, b""), "ExtType cannot travel"),
        ({None: 1}, "must be text, not NoneType"),
        ([2**64], "result[0]: an int of 65 bits cannot travel"),
        (-(2**63) - 1, "an int of 64 bits cannot travel"),
        (["\ud800"], "result[0]: text with a lone surrogate"),
        ({"\udfff": 1}, 'result["\\udfff"]: text with a lone surrogate'),
        (CYCLE, "result[0]: a value that contains itself"),
        (object(), "result: object cannot travel"),
        ((x for x in "ab"), "result: generator cannot travel"),
        (1j, "result: complex cannot travel"),
        (memoryview(b"abcd")[::2], "not contiguous"),
        (memoryview(b"abcd").cast("i"), "result: a memoryview of format 'i' cannot travel"),
        ([{"a": memoryview(b"abcd").cast("i")}], "result[0][\"a\"]: a memoryview of format 'i' cannot travel"),
        ({"a": [memoryview(bytes(400_000)).cast("d")]}, "result[\"a\"][0]: a memoryview of format 'd' cannot travel"),
    ],
)
def test_refused_with_the_path(value: object, text: str) -> None:
    with pytest.raises(_codec.Unserializable) as raised:
        _codec.encode(value)
    assert text in str(raised.value)
    assert there_and_back([1]) == [1]  # a failure leaves nothing behind


def nested(depth: int) -> Any:
    value: Any = 1
    for index in range(depth):
        value = [value] if index % 2 else {"k": value}
    return value


def test_nesting_has_the_same_limit_both_ways() -> None:
    assert there_and_back(nested(500)) == nested(500)
    for depth in (501, 511, 512, 1100, 10_000):
        with pytest.raises(_codec.Unserializable, match="nested more than 500 deep"):
            _codec.encode(nested(depth))
        with pytest.raises(_codec.Undecodable, match="nested more than 500 deep"):
            _codec.decode(b"\x91" * depth + b"\x01")


def test_wide_and_large_is_not_deep() -> None:
    value = [[index] for index in range(200_000)]
    assert there_and_back(value) == value


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xc1", b"\x01\x02", b"\x92\x01", b"\x81\x01\x01", b"\x81\xc0\x01", b"\x81\xc4\x01k\x01",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xa1\xff", b"\xc7\x00\x05", b"\xd6\xff\x00\x00\x00\x00",
        b"\xd4\x01\x93", b"\xd4\x01\xc0",
    ],
)  # fmt: skip
def test_bytes_that_are_no_value_are_a_typed_error(data: bytes) -> None:
    with pytest.raises(_codec.Undecodable):
        _codec.decode(data)


def test_random_bytes_never_do_more_than_that() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    good = _codec.encode({"a": [1, 2.5, "x", b"y", numpy.arange(3)]})
    for _ in range(3000):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            _codec.decode(bytes(data[: rng.randrange(len(data) + 1)]))
        except _codec.Undecodable:
            pass


# Arrays

DTYPES = [
    "?", "i1", "u1", "<i2", ">i2", "<u4", ">u4", "<i8", ">u8", "<f2", ">f4", "<f8", "<c8", ">c16",
    "<M8[ns]", ">M8[D]", "<m8[s]", "<U5", ">U3", "S4", "V3",
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3, 4)])
def test_arrays_of_each_dtype_and_shape_come_back(dtype: str, shape: tuple[int, ...]) -> None:
    wanted = numpy.dtype(dtype)
    count = math.prod(shape)
    array = numpy.frombuffer(bytes(i % 2 for i in range(count * wanted.itemsize)), wanted).reshape(shape)
    back = there_and_back([array])[0]
    assert isinstance(back, numpy.ndarray)
    assert back.dtype == wanted.newbyteorder("<")
    assert back.shape == shape
    assert back.flags.writeable
    assert back.tobytes() == array.astype(wanted.newbyteorder("<")).tobytes()


def test_fields_of_arrays_of_arrays_come_back() -> None:
    dtype = numpy.dtype([("a", numpy.dtype(("<f4", (2,))), (3,)), ("b", "<i2")])
    assert there_and_back(numpy.zeros(2, dtype)).dtype == dtype


def test_structured_and_unordered_arrays_come_back() -> None:
    dtype = numpy.dtype([("a", ">i4"), ("b", [("c", "u1"), ("d", "<f8", (2,))])])
    structured = numpy.zeros(3, dtype)
    structured["a"] = [1, 2, 3]
    back = there_and_back(structured)
    assert back["a"].tolist() == [1, 2, 3]
    assert back.dtype["b"]["d"].shape == (2,)
    plain = numpy.arange(12).reshape(3, 4)
    for array in (plain.T, plain[::2, 1::2], plain[::-1], numpy.asfortranarray(plain)):
        assert there_and_back(array).tolist() == array.tolist()


def test_fields_out_of_order_come_back_by_name() -> None:
    structured = numpy.array([(1, 2.5, b"x"), (3, 4.5, b"y")], [("a", "<i4"), ("b", "<f8"), ("c", "S1")])
    back = there_and_back([structured[["c", "a"]]])[0]
    assert back.dtype.names == ("c", "a")
    assert back.tolist() == [(b"x", 1), (b"y", 3)]
    assert back.dtype.itemsize == 5
    overlapping = numpy.dtype({"names": ["low", "all"], "formats": ["<i2", "<i4"], "offsets": [0, 0]})
    assert there_and_back(numpy.array([7], "<i4").view(overlapping)).tolist() == [(7, 7)]
    nested = numpy.zeros(1, [("x", structured[["b", "a"]].dtype)])
    assert there_and_back(nested).dtype["x"].names == ("b", "a")
    with pytest.raises(_codec.Unserializable, match="result: an array of dtype"):
        _codec.encode(numpy.zeros(1, [("x", structured[["b", "a"]].dtype, (2,))]))


def test_dtypes_of_extensions_are_refused() -> None:
    try:
        rational: Any = importlib.import_module("numpy.core._rational_tests").rational
    except ImportError:
        rational = importlib.import_module("numpy._core._rational_tests").rational
    for value in (numpy.zeros(2, rational), numpy.zeros(2, [("a", "<i4"), ("b", rational, (2,))])):
        with pytest.raises(_codec.Unserializable, match=r"^result\[0\]: an array of dtype .* not one of numpy's own"):
            _codec.encode([value])
    with pytest.raises(
        _codec.Unserializable, match=r"^result\[0\]: .*rational cannot travel; send float\(\) or int\(\)"
    ):
        _codec.encode([numpy.zeros(2, rational)[0]])


def test_numpy_scalars_become_plain_values() -> None:
    value = {"b": numpy.bool_(True), "i": numpy.int8(-3), "u": numpy.uint64(2**64 - 1), "f": numpy.float32(0.5)}
    back = there_and_back(value)
    assert back == {"b": True, "i": -3, "u": 2**64 - 1, "f": 0.5}
    assert [type(part) for part in back.values()] == [bool, int, int, float]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (numpy.array([object()]), "dtype object"),
        (numpy.zeros(1, [("a", "O")]), "no fixed size"),
        (numpy.complex64(1), "numpy.complex64 cannot travel: wrap it in numpy.asarray()"),
        (numpy.datetime64("2020-01-01"), "wrap it in numpy.asarray()"),
        (MASKED.array([1], mask=[1]), "masked"),
    ],
)
def test_arrays_and_scalars_that_cannot_travel(value: object, text: str) -> None:
    with pytest.raises(_codec.Unserializable) as raised:
        _codec.encode({"x": value})
    assert str(raised.value).startswith('result["x"]: ')
    assert text in str(raised.value)


@pytest.mark.parametrize(
    "parts",
    [
        ["<f8", [2], b"1234567"],
        ["<f8", [-1], b""],
        ["<f8", [2**40, 2**40], b""],
        ["<f8", [2**62, 0], b"x"],
        ["<f8", [True], b"12345678"],
        ["<f8", 1, b"12345678"],
        ["<f8", [1], "12345678"],
        [">f8", [1], b"12345678"],
        ["O", [1], b"12345678"],
        [[["a", "O"]], [1], b"12345678"],
        ["<f8,<f8", [1], b"1234567812345678"],
        ["nonsense", [1], b"1"],
        [[["a"]], [1], b"1"],
        [7, [1], b"1"],
        ["<f8", [1] * 65, b"12345678"],
        ["<f8", [1]],
        {},
    ],
)
def test_arrays_that_are_not_right_are_a_typed_error(parts: object) -> None:
    with pytest.raises(_codec.Undecodable):
        _codec.decode(msgpack.packb(msgpack.ExtType(1, msgpack.packb(parts))))


def test_an_array_without_numpy_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    data = _codec.encode(numpy.arange(2))
    monkeypatch.setitem(__import__("sys").modules, "numpy", None)
    with pytest.raises(_codec.Undecodable, match="numpy cannot be imported"):
        _codec.decode(data)
    assert there_and_back([1]) == [1]

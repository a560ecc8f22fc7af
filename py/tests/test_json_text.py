from __future__ import annotations

import math
from typing import Any

import numpy
import pytest
from snakepit import _json_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, -2.5, None, True, "é"]}, '{"a": [1, -2.5, null, true, "é"]}'),
        (math.inf, '{"$float": "inf"}'),
        (b"\x00\xff", '{"$bytes": "AP8="}'),
        (2**64 - 1, "18446744073709551615"),
        ({"$float": 5}, '{"$float": 5}'),
        ({"$bytes": "x", "b": 1}, '{"$bytes": "x", "b": 1}'),
        (1e300, "1e+300"),
    ],
)
def test_text_form_both_ways(value: Any, text: str) -> None:
    assert _json_text.dumps(value) == text
    assert _json_text.loads(text) == value


def test_nan_and_arrays_both_ways() -> None:
    assert math.isnan(_json_text.loads(_json_text.dumps([math.nan]))[0])
    array = numpy.array([(1, 2.5)], [("a", "<i4"), ("b", "<f8")])
    text = _json_text.dumps({"x": array})
    assert text.startswith('{"x": {"$array": {"dtype": [["a", "<i4"], ["b", "<f8"]], "shape": [1], "base64": "')
    back = _json_text.loads(text)["x"]
    assert back.dtype == array.dtype
    assert back.tolist() == array.tolist()
    assert _json_text.dumps(numpy.float64(0.5)) == "0.5"


def test_a_map_that_looks_like_a_form_is_refused() -> None:
    for value in ({"$float": "nan"}, {"$bytes": "aGk="}, {"$array": {"dtype": "u1", "shape": [], "base64": ""}}):
        with pytest.raises(_json_text.JsonError, match="looks like"):
            _json_text.dumps(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "NaN",
        "Infinity",
        '{"$bytes": "a"}',
        '{"$bytes": "é"}',
        "[" * 100_000,
        "1" * 5000,
        '{"$array": {"dtype": "<f8", "shape": [1], "base64": ""}}',
        '{"$array": {"dtype": "O", "shape": [1], "base64": 1}}',
    ],
)
def test_bad_text_is_a_typed_error(text: str) -> None:
    with pytest.raises(_json_text.JsonError):
        _json_text.dumps(_json_text.loads(text))  # digits without end are an int to old Pythons


def test_what_cannot_travel_is_refused_with_its_path() -> None:
    with pytest.raises(_json_text.JsonError, match=r"result\[1\]: set cannot travel"):
        _json_text.dumps([1, {2}])


@pytest.mark.parametrize("text", ["1e400", "-1e400", "18446744073709551616", "-9223372036854775809"])
def test_numbers_that_no_value_holds_are_refused(text: str) -> None:
    with pytest.raises(_json_text.JsonError, match=r"out of range|64 bits"):
        _json_text.loads(f"[{text}]")


def test_nesting_up_to_the_limit_of_values_both_ways() -> None:
    value: Any = math.inf
    for index in range(500):
        value = [value] if index % 2 else {"k": value}
    assert _json_text.loads(_json_text.dumps(value)) == value


def test_forms_inside_of_forms_are_ordinary_maps() -> None:
    assert _json_text.loads('{"$float": {"$float": "inf"}}') == {"$float": math.inf}

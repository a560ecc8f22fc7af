from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Command

NAN = ["cli_tools:echo", "--seconds", "nan"]
QUICK = ("--seconds", "0.2", "--workers", "1")


def test_a_table_with_a_line_for_each_number_of_callers(snakepit: Command) -> None:
    code, out, err = snakepit("bench", "cli_tools:echo", "[1]", "--concurrency", "1,4", *QUICK)
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["CALLERS", "CALLS/S", "P50", "P99", "MAX", "ERRORS"]
    assert [line[0] for line in lines[1:]] == ["1", "4"]
    assert all(int(line[1].replace(",", "")) > 0 for line in lines[1:])


def test_json(snakepit: Command) -> None:
    code, out, err = snakepit("bench", "cli_tools:nap", "[0.01]", "--concurrency", "1", "3", "--json", *QUICK)
    assert (code, err) == (0, "")
    one, three = json.loads(out)
    assert (one["concurrency"], three["concurrency"]) == (1, 3)
    assert one["calls_per_second"] < 100
    assert 0.01 <= one["p50"] <= one["p99"] <= one["max"]
    # One worker: three callers wait for each other.
    assert three["p50"] > 2 * 0.01
    assert (one["errors"], one["first_error"]) == (0, None)


def test_more_callers_than_a_queue_has_places_by_default(snakepit: Command) -> None:
    code, out, err = snakepit("bench", "cli_tools:echo", "[1]", "--concurrency", "12000", "--json", *QUICK)
    assert (code, err) == (0, "")
    [many] = json.loads(out)
    assert (many["errors"], many["calls"] >= 12000) == (0, True)


def test_errors_are_counted_and_the_first_is_shown(snakepit: Command) -> None:
    code, out, err = snakepit("bench", "cli_tools:checked", "[3]", "--concurrency", "2", "--json", *QUICK)
    assert code == 1
    [two] = json.loads(out)
    assert two["errors"] == two["calls"] > 0
    assert two["calls_per_second"] == 0
    assert "three is too many" in two["first_error"]
    assert "the first error: " in err
    assert "three is too many" in err


def test_what_cannot_be(snakepit: Command) -> None:
    code, _, err = snakepit("bench", "cli_tools:no_such", "--concurrency", "2", *QUICK)
    assert code == 1
    assert "no_such" in err
    for wrong in (
        ["no_colon"],
        ["cli_tools:echo", "[1"],
        ["cli_tools:echo", "--concurrency", "0"],
        ["no_module:x"],
        NAN,
    ):
        code, out, err = snakepit("bench", *wrong)
        assert (code, out) == (2, "")
        assert err


def test_profiles(snakepit: Command) -> None:
    code, _, err = snakepit("bench", "cli_tools:echo", "[1]", "--profile", "thread", *QUICK)
    assert code == 2
    assert "thread_safe" in err

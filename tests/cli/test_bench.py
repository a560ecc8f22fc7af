from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING

import pytest

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
    assert (two["calls_per_second"], two["p50"], two["max"]) == (0, None, None)
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


MEETING = """
import contextlib, os, time
import snakepit

@snakepit.tool
def meet():
    try:
        os.close(os.open("busy", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        open("met", "w").close()
    time.sleep(0.01)
    with contextlib.suppress(FileNotFoundError):
        os.unlink("busy")
"""


def test_what_was_measured_to_its_end_is_shown_when_a_signal_comes(snakepit: Command) -> None:
    out = interrupted_when("met", snakepit, "meeting:meet", "--concurrency", "1,2,4", "--seconds", "3")
    assert [level["concurrency"] for level in json.loads(out)] == [1]


@pytest.mark.parametrize("seen", ["busy", "met"])  # in the warm-up, of one caller; in the first level, of two
def test_a_signal_ends_it_soon(snakepit: Command, seen: str) -> None:
    out = interrupted_when(seen, snakepit, "meeting:meet", "--concurrency", "2,4", "--seconds", "60")
    assert out == b""


def interrupted_when(seen: str, snakepit: Command, *how: str) -> bytes:
    """What it prints when a signal comes once there is a file of that name."""
    (snakepit.directory / "meeting.py").write_text(MEETING)
    with snakepit.start("bench", *how, "--workers", "2", "--json") as process:
        while not (snakepit.directory / seen).exists():
            assert process.poll() is None
            time.sleep(0.001)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    assert time.monotonic() - sent < 5
    assert process.returncode == 130
    return out

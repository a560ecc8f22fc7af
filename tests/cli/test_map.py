from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Command


def lines(count: int) -> bytes:
    return b"".join(b"%d\n" % i for i in range(count))


def test_results_come_in_the_order_of_the_input(snakepit: Command) -> None:
    code, out, err = snakepit("map", "cli_tools:jittered", "--workers", "3", given=lines(500))
    assert (code, out) == (0, lines(500).decode())
    assert re.search(r"500 lines: 500 ok, 0 failed; .* lines/s\n$", err)


def test_unordered_results_come_as_they_end(snakepit: Command) -> None:
    code, out, _ = snakepit("map", "cli_tools:nap", "--workers", "2", "--unordered", given="1\n0\n0.01\n0.02\n")
    assert code == 0
    assert sorted(out.split()) == ["0", "0.01", "0.02", "1"]
    assert out.split()[0] != "1"


def test_a_hundred_thousand_lines_are_all_there(snakepit: Command) -> None:
    (snakepit.directory / "in.txt").write_bytes(lines(100_000))
    code, out, err = snakepit("map", "cli_tools:echo", "--workers", "2", "--in", "in.txt", "--quiet")
    assert (code, out == lines(100_000).decode(), err) == (0, True, "")


def test_a_line_is_json_when_it_is_json_and_else_text(snakepit: Command) -> None:
    given = (
        '{"a": 1}\n[1, 2]\n[1, 2\n"x" \nplain text\n\n12\n1e999\nNaN\n{"$float": "nan"}\ntrue\nTrue\nwindows\r\nlast'
    )
    code, out, _ = snakepit("map", "cli_tools:echo", given=given)
    assert code == 0
    assert out.splitlines() == [
        *('{"a":1}', "[1,2]", '"[1, 2"', '"x"', '"plain text"', '""', "12", '"1e999"', '"NaN"', '{"$float":"nan"}'),
        *("true", '"True"', '"windows\\r"', '"last"'),
    ]


def test_text_and_json_can_be_said(snakepit: Command) -> None:
    assert snakepit("map", "cli_tools:echo", "--text", "--quiet", given="12\n[1]\n") == (0, '"12"\n"[1]"\n', "")
    code, out, _ = snakepit("map", "cli_tools:echo", "--json", given="12\nword\n\n[1]\n")
    results = [json.loads(line) for line in out.splitlines()]
    assert (code, results[0], results[3]) == (1, 12, [1])
    assert [(line["error"]["code"], line["line"]) for line in results[1:3]] == [
        ("bad_arguments", 2),
        ("bad_arguments", 3),
    ]
    assert results[1]["error"]["message"].startswith("not JSON: ")


def test_what_cannot_travel_fails_alone(snakepit: Command) -> None:
    given = b"99999999999999999999\n\xff\xfe\n" + b"[" * 600 + b"]" * 600 + b'\n"\xff"\nfine\n'
    code, out, _ = snakepit("map", "cli_tools:echo", given=given)
    results = [json.loads(line) for line in out.splitlines()]
    assert (code, results[-1]) == (1, "fine")
    codes = [line["error"]["code"] for line in results[:-1]]
    assert codes == ["bad_arguments", "unserializable", "bad_arguments", "unserializable"]


def test_a_failing_line_does_not_stop_the_others(snakepit: Command) -> None:
    code, out, err = snakepit("map", "cli_tools:checked", "--workers", "2", given=lines(6))
    results = [json.loads(line) for line in out.splitlines()]
    failure = {"error": {"code": "tool_raised", "message": "three is too many", "type": "ValueError"}, "line": 4}
    assert (code, results) == (1, [0, 1, 2, failure, 4, 5])
    assert "6 lines: 5 ok, 1 failed" in err
    assert "the first line that failed is 4" in err
    assert "KeyError: 'deep'" in err


def test_a_worker_that_dies_fails_only_what_it_held(snakepit: Command) -> None:
    code, out, err = snakepit("map", "cli_tools:die", "--workers", "2", given=lines(200))
    results = [json.loads(line) for line in out.splitlines()]
    assert (code, len(results)) == (1, 200)
    failed = [line for line in results if isinstance(line, dict)]
    assert {line["error"]["code"] for line in failed} == {"worker_lost"}
    assert 4 in [line["line"] for line in failed]
    assert f"{200 - len(failed)} ok, {len(failed)} failed" in err


@pytest.mark.parametrize("order", [[], ["--unordered"]])
def test_fail_fast_ends_with_the_first_failure(snakepit: Command, order: list[str]) -> None:
    begun = time.monotonic()
    given = b"0\n1\n2\n3\n" + b"7\n" * 1_000_000
    code, out, err = snakepit(
        "map", "cli_tools:checked", "--workers", "2", "--fail-fast", *order, given_file(snakepit, given)
    )
    results = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert results[-1]["line"] == 4
    assert order or results[:-1] == [0, 1, 2]
    assert ", 1 failed;" in err
    assert time.monotonic() - begun < 20


def given_file(snakepit: Command, data: bytes) -> str:
    (snakepit.directory / "given.txt").write_bytes(data)
    return "--in=given.txt"


def test_an_empty_input_is_fine(snakepit: Command) -> None:
    code, out, err = snakepit("map", "cli_tools:echo")
    assert (code, out) == (0, "")
    assert "0 lines: 0 ok, 0 failed" in err


def test_a_line_over_the_limit_is_an_error_line(snakepit: Command) -> None:
    limit = 64 << 20
    path = snakepit.directory / "huge.txt"
    with path.open("wb") as file:
        file.write(b"first\n")
        file.write(b"x" * (limit + 100_000) + b"\n")
        file.write(b"third\n")
        file.write(b"y" * (limit + 1))
    code, out, _ = snakepit("map", "cli_tools:echo", "--in", "huge.txt", "--workers", "1")
    results = [json.loads(line) for line in out.splitlines()]
    assert (code, results[0], results[2]) == (1, "first", "third")
    assert [(results[i]["error"]["code"], results[i]["line"]) for i in (1, 3)] == [
        ("message_too_large", 2),
        ("message_too_large", 4),
    ]


def test_large_lines_travel(snakepit: Command) -> None:
    given = b"".join(b'"' + b"%d" % i * 500_000 + b'"\n' for i in range(8))
    code, out, _ = snakepit("map", "cli_tools:echo", "--workers", "2", given=given)
    assert (code, out.encode() == given) == (0, True)


def test_a_time_limit_is_a_lines_own(snakepit: Command) -> None:
    # One call at a time per worker: nobody's time passes behind another's.
    given = "0.3\n" * 8
    code, out, _ = snakepit("map", "cli_tools:nap", "--workers", "2", "--timeout", "1", given=given)
    assert (code, out) == (0, given)
    code, out, _ = snakepit("map", "cli_tools:nap", "--workers", "2", "--timeout", "0.5", given="0\n30\n0\n")
    assert code == 1
    assert json.loads(out.splitlines()[1])["error"]["code"] == "deadline_exceeded"


@pytest.mark.parametrize(
    ("tool", "text"),
    [
        ("ecko", "there is no tool 'ecko'; did you mean echo"),
        ("nothing", "takes no arguments"),
    ],
)
def test_a_tool_that_no_line_fits_is_a_usage_error(snakepit: Command, tool: str, text: str) -> None:
    code, out, err = snakepit("map", f"cli_tools:{tool}", given=lines(5))
    assert (code, out) == (2, "")
    assert text in err


def test_each_line_is_answered_when_it_comes(snakepit: Command) -> None:
    with snakepit.start("map", "cli_tools:echo", "--workers", "1", stdin=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        for i in range(3):
            process.stdin.write(b"%d\n" % i)
            process.stdin.flush()
            assert process.stdout.readline() == b"%d\n" % i
        process.stdin.close()
        assert process.wait(timeout=20) == 0


def test_memory_is_bounded_behind_a_slow_line(snakepit: Command) -> None:
    (snakepit.directory / "in.txt").write_bytes(b"2\n" + b'{"pad": "%s"}\n' % (b"x" * 200) * 300_000)
    (snakepit.directory / "slow_first.py").write_text(
        "import snakepit, time\n@snakepit.tool\ndef f(v):\n    if v == 2: time.sleep(2)\n    return v\n"
    )
    with snakepit.start(
        "map", "slow_first:f", "--workers", "2", "--in", "in.txt", stdout=subprocess.DEVNULL
    ) as process:
        peak = 0
        while process.poll() is None:
            try:
                with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
                    found = re.search(r"VmHWM:\s+(\d+) kB", status.read())
            except ProcessLookupError:
                break
            peak = max(peak, int(found[1]) if found else 0)
            time.sleep(0.02)
        process.communicate()
    assert process.returncode == 0
    # AddressSanitizer keeps freed memory and shadows the rest.
    assert 0 < peak < (150_000 if "asan" not in os.environ["SNAKEPIT_COMMAND"] else 1_500_000)


def test_a_slow_reader_holds_up_the_reading(snakepit: Command) -> None:
    """With nobody taking the output, only as much is read as fits into the window and the pipes."""
    reading, writing = os.pipe()
    taken = 0
    with snakepit.start("map", "cli_tools:echo", "--workers", "2", stdin=reading) as process:
        os.close(reading)
        os.set_blocking(writing, False)
        line = b'"' + b"x" * 998 + b'"\n'
        idle_since = time.monotonic()
        while time.monotonic() - idle_since < 1.5:
            try:
                taken += os.write(writing, line * 60)
                idle_since = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
            assert taken < 100_000_000
        os.close(writing)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(out) >= taken - len(line)


class Terminal:
    """A terminal for the command, and all that it showed."""

    def __init__(self) -> None:
        self.leader, self.follower = pty.openpty()
        self.shown = b""
        self.reader = threading.Thread(target=self.read_all)
        self.reader.start()

    def read_all(self) -> None:
        try:
            while data := os.read(self.leader, 4096):
                self.shown += data
        except OSError:  # nobody has the other side open any more
            pass

    def text(self) -> str:
        """When the command has ended."""
        os.close(self.follower)
        self.reader.join()
        os.close(self.leader)
        return self.shown.decode()


def slow_lines(snakepit: Command) -> tuple[str, ...]:
    (snakepit.directory / "in.txt").write_bytes(b"0.2\n" * 12)
    return ("map", "cli_tools:nap", "--workers", "1", "--in", "in.txt")


def test_progress_is_shown_on_a_terminal(snakepit: Command) -> None:
    terminal = Terminal()
    with snakepit.start(*slow_lines(snakepit), stderr=terminal.follower) as process:
        out, _ = process.communicate(timeout=60)
    text = terminal.text()
    assert (process.returncode, out) == (0, b"0.2\n" * 12)
    assert re.search(r"\d+ lines, 0 failed, \d+ lines/s, \d+ %, \d+s left", text)
    assert "12 lines: 12 ok" in text


def test_no_progress_among_results_on_the_same_terminal(snakepit: Command) -> None:
    terminal = Terminal()
    with snakepit.start(*slow_lines(snakepit), stdout=terminal.follower, stderr=terminal.follower) as process:
        process.wait(timeout=60)
    assert re.fullmatch(r"(0\.2\r\n){12}snakepit: 12 lines: 12 ok, .*\r\n", terminal.text())


def test_quiet_shows_no_progress(snakepit: Command) -> None:
    terminal = Terminal()
    with snakepit.start(*slow_lines(snakepit), "--quiet", stderr=terminal.follower) as process:
        out, _ = process.communicate(timeout=60)
    assert (out, terminal.text()) == (b"0.2\n" * 12, "")

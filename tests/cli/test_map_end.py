"""How `snakepit map` ends when somebody ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Command


def started(snakepit: Command, tool: str, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    """Running, and the first line is out."""
    process = snakepit.start("map", tool, *arguments, stdin=subprocess.PIPE, **options)
    assert process.stdin
    assert process.stdout
    process.stdin.write(b"0\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"0\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("lines", [b"", b"60\n60\n60\n"])
def test_a_signal_ends_it_soon(snakepit: Command, number: signal.Signals, lines: bytes) -> None:
    with started(snakepit, "cli_tools:nap", "--workers", "2") as process:
        assert process.stdin
        process.stdin.write(lines)
        process.stdin.flush()
        time.sleep(0.1)  # not for order: so that the calls are probably under way
        sent = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (128 + number, b"")
    assert time.monotonic() - sent < 3
    assert b"1 lines: 1 ok" in err


def test_ctrl_c_in_a_terminal_reaches_all_and_ends_it_cleanly(snakepit: Command) -> None:
    with started(snakepit, "cli_tools:nap", "--workers", "2", start_new_session=True) as process:
        assert process.stdin
        process.stdin.write(b"60\n60\n")
        process.stdin.flush()
        time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err


def test_what_was_done_is_written_when_a_signal_comes(snakepit: Command) -> None:
    (snakepit.directory / "in.txt").write_bytes(b"".join(b"%d\n" % i for i in range(3_000_000)))
    with snakepit.start("map", "cli_tools:echo", "--workers", "2", "--in", "in.txt") as process:
        assert process.stdout
        first = os.read(process.stdout.fileno(), 100_000)  # nothing stays in a buffer
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    out = (first + rest).decode()
    numbers = out.split()
    assert out.endswith("\n")
    assert numbers == [str(i) for i in range(len(numbers))]


def test_a_signal_ends_it_while_nobody_reads(snakepit: Command) -> None:
    (snakepit.directory / "in.txt").write_bytes(b"some text\n" * 300_000)
    with snakepit.start("map", "cli_tools:echo", "--workers", "2", "--in", "in.txt") as process:
        assert process.stdout
        process.stdout.read(10)
        time.sleep(0.5)  # the pipe and the window are full
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
        assert time.monotonic() - sent < 3


def test_a_second_ctrl_c_does_not_wait_for_python(snakepit: Command) -> None:
    (snakepit.directory / "stubborn.py").write_text(
        "import signal, snakepit, time\n"
        "@snakepit.tool\n"
        "def f(v):\n"
        "    if not v: return v\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n"
        "    while True:\n"
        "        try: time.sleep(60)\n"
        "        except BaseException: pass\n"
    )
    with started(snakepit, "stubborn:f", "--workers", "1") as process:
        assert process.stdin
        process.stdin.write(b"1\n")
        process.stdin.flush()
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130
    assert time.monotonic() - sent < 2.5


def test_a_signal_while_it_starts_ends_it(snakepit: Command) -> None:
    (snakepit.directory / "slow_start.py").write_text("open('up', 'w').close()\nimport time\ntime.sleep(60)\n")
    with snakepit.start("map", "slow_start:f") as process:
        while not (snakepit.directory / "up").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, b"")


def test_a_reader_that_goes_away_ends_it(snakepit: Command) -> None:
    (snakepit.directory / "in.txt").write_bytes(b"text\n" * 500_000)
    with snakepit.start("map", "cli_tools:echo", "--workers", "2", "--in", "in.txt") as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == b'"text"\n'
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(timeout=20) == 141
    assert err.startswith(b"snakepit: stopped: nobody reads the output any more\n")


def test_a_full_disk_ends_it(snakepit: Command) -> None:
    with open("/dev/full", "wb") as full:
        code, _, err = snakepit("map", "cli_tools:echo", given="1\n" * 1000, stdout=full)
    assert code == 1
    assert "cannot write the output: No space left on device" in err


def test_the_command_killed_takes_its_workers_along(snakepit: Command) -> None:
    with started(snakepit, "cli_tools:nap", "--workers", "2") as process:
        process.kill()
        process.communicate(timeout=20)
    assert process.returncode == -signal.SIGKILL
    assert snakepit.wait_until_gone() == []
    for left in snakepit.temporary.iterdir():  # nobody was there to remove it
        for file in left.iterdir():
            file.unlink()
        left.rmdir()

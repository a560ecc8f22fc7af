"""How `snakepit map` ends when somebody ends it."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Command


MARKED = '''
import os
import signal
import time

import snakepit


@snakepit.tool
def mark_and_nap(name):
    """Naps behind a file of that name; 0 comes back at once."""
    if name:
        open(name, "w").close()
        time.sleep(60)
    return name


@snakepit.tool
def mark_and_stay(name):
    """As above, and does not go: a second file says that it was asked to by SIGTERM."""
    if name:
        signal.signal(signal.SIGTERM, lambda *_: open(name + ".asked", "w").close())
        open(name, "w").close()
        while True:
            try:
                time.sleep(0.01)
            except BaseException:
                pass
    return name
'''


def started(snakepit: Command, tool: str, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    """Running, and the first line is out."""
    (snakepit.directory / "marked.py").write_text(MARKED)
    process = snakepit.start("map", f"marked:{tool}", *arguments, stdin=subprocess.PIPE, **options)
    assert process.stdin
    assert process.stdout
    process.stdin.write(b"0\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"0\n"
    return process


def until(done: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Waits; the process must not end before."""
    limit = time.monotonic() + 20
    while not done():
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.005)


def call(snakepit: Command, process: subprocess.Popen[bytes], *names: str) -> None:
    """Each of them runs in a worker when this returns."""
    assert process.stdin
    process.stdin.write("".join(f"{name}\n" for name in names).encode())
    process.stdin.flush()
    until(lambda: all((snakepit.directory / name).exists() for name in names), process)


def written(out: bytes, err: bytes) -> int:
    """How many lines the summary has, which are those that came out, each of them whole."""
    found = re.search(rb"([\d,]+) lines: ", err)
    assert found, err
    assert out.endswith(b"\n")
    assert out.count(b"\n") == int(found[1].replace(b",", b""))
    return out.count(b"\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("names", [[], ["one", "two"]])
def test_a_signal_ends_it_soon(snakepit: Command, number: signal.Signals, names: list[str]) -> None:
    with started(snakepit, "mark_and_nap", "--workers", "2") as process:
        call(snakepit, process, *names)
        sent = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (128 + number, b"")
    assert time.monotonic() - sent < 3
    assert b"1 lines: 1 ok" in err


def test_ctrl_c_in_a_terminal_reaches_all_and_ends_it_cleanly(snakepit: Command) -> None:
    with started(snakepit, "mark_and_nap", "--workers", "2", start_new_session=True) as process:
        call(snakepit, process, "one", "two")
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
        rest, err = process.communicate(timeout=20)
    assert process.returncode == 130
    numbers = (first + rest).split()
    assert numbers == [b"%d" % i for i in range(written(first + rest, err))]


def test_a_signal_ends_it_while_nobody_reads(snakepit: Command) -> None:
    (snakepit.directory / "in.txt").write_bytes(b"some text\n" * 300_000)
    reading, writing = os.pipe()
    with snakepit.start("map", "cli_tools:echo", "--workers", "2", "--in", "in.txt", stdout=writing) as process:
        until(lambda: not select.select([], [writing], [], 0)[1], process)  # the pipe is full
        os.close(writing)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert time.monotonic() - sent < 3
    assert process.returncode == 130
    with open(reading, "rb") as rest:
        out = rest.read()
    assert 0 < written(out, err) < 300_000
    assert set(out.splitlines()) == {b'"some text"'}


def pending(process: subprocess.Popen[bytes]) -> bool:
    """Whether a signal waits to be heard: another one like it would be lost."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return any(int(mask, 16) for mask in re.findall(r"(?:Sig|Shd)Pnd:\s*(\w+)", status))


def test_a_second_ctrl_c_does_not_wait_for_python(snakepit: Command) -> None:
    def is_asked(name: str, *, twice: bool) -> bool:
        """Whether the worker, which does not go, gets the SIGTERM for which it has half a second each way."""
        with started(snakepit, "mark_and_stay", "--workers", "1") as process:
            call(snakepit, process, name)
            process.send_signal(signal.SIGINT)
            if twice:
                until(lambda: not pending(process), process)
                process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)
        assert process.returncode == 130
        return (snakepit.directory / f"{name}.asked").exists()

    # A machine that is busy elsewhere may let each half second go by; not every time.
    assert any(is_asked(f"once{i}", twice=False) for i in range(5))
    assert not all(is_asked(f"twice{i}", twice=True) for i in range(5))


def test_a_signal_while_it_starts_ends_it(snakepit: Command) -> None:
    (snakepit.directory / "slow_start.py").write_text("open('up', 'w').close()\nimport time\ntime.sleep(60)\n")
    with snakepit.start("map", "slow_start:f") as process:
        until(lambda: (snakepit.directory / "up").exists(), process)
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
    with started(snakepit, "mark_and_nap", "--workers", "2") as process:
        process.kill()
        process.communicate(timeout=20)
    assert process.returncode == -signal.SIGKILL
    assert snakepit.wait_until_gone() == []
    for left in snakepit.temporary.iterdir():  # nobody was there to remove it
        for file in left.iterdir():
            file.unlink()
        left.rmdir()

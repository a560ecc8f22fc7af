from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator

import pytest
from snakepit import _strays

_MARKED = "import sys; from snakepit import _strays; _strays.put(int(sys.argv[1])); {}"
_DETACHED = (
    "import os, signal; os.fork() or (os.setsid(), os.fork() and os._exit(0)); print('up', flush=True); signal.pause()"
)


def mark(text: str) -> int:
    return (1 << 40) + os.getpid() * 1000 + len(text)


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def start(value: int, code: str) -> subprocess.Popen[bytes]:
    path = os.path.dirname(os.path.dirname(_strays.__file__))
    return subprocess.Popen(
        [sys.executable, "-c", _MARKED.format(code), str(value)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_all_that_descends_is_ended_and_nobody_else(processes: list[subprocess.Popen[bytes]]) -> None:
    own, other = mark("own"), mark("another")
    ended, kept = (start(value, _DETACHED) for value in (own, other))
    processes += [ended, kept]
    for process in processes:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == [b"up\n"] * 2
    assert _strays.of(ended.pid) == own
    _strays.end(own)
    assert ended.stdout is not None
    assert ended.stdout.read() == b"", "the pipe is closed: its detached child has gone too"
    assert ended.wait(5) == -9
    assert kept.poll() is None
    _strays.end(other)
    assert kept.wait(5) == -9


def test_limits_that_people_have_set_are_no_marks() -> None:
    assert _strays.of(os.getpid()) is None
    before = resource.getrlimit(10)
    resource.setrlimit(10, (100, before[1]))
    assert _strays.of(os.getpid()) is None
    resource.setrlimit(10, before)
    assert _strays.of(2**22 + 1) is None, "there is no such process"

"""The command under test, a module of tools for it, and the proof that nothing is left behind."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TOOLS = '''
import os
import random
import time

import numpy
import snakepit


@snakepit.tool
def echo(value):
    """Give it back.

    Whatever it is.
    """
    return value


@snakepit.tool
def add(a: int, b: int = 10, *, c=0) -> int:
    return a + b + c


@snakepit.tool
def odd_values(which: str):
    return {
        "nan": float("nan"),
        "bytes": b"\\x00\\xff",
        "array": numpy.array([1, 2], dtype="<i2"),
        "set": {1},
        "tag": [{"$bytes": "like a tag"}],
    }[which]


@snakepit.tool
def checked(value):
    if value == 3:
        raise ValueError("three is too many") from KeyError("deep")
    return value


@snakepit.tool
def jittered(value):
    time.sleep(random.random() * 0.01)
    return value


@snakepit.tool
def nap(seconds):
    """Sleep that many seconds."""
    time.sleep(seconds)
    return seconds


@snakepit.tool
def speak(text):
    print(text)
    return os.getpid()


@snakepit.tool
def die(value):
    if value == 3:
        os._exit(7)
    return value


@snakepit.tool
def nothing():
    return None


@snakepit.tool
def variables():
    s = snakepit.session()
    return [s.key, dict(sorted(s.items()))]
'''


def processes_with(variable: str) -> list[int]:
    """Every process that has this in its environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if variable.encode() in environment.split(b"\0"):
            found.append(int(entry.name))
    return found


class Command:
    """Runs `snakepit` in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.mark = f"SNAKEPIT_TEST_MARK={directory}"
        self.temporary = directory / "tmp"
        self.temporary.mkdir()
        self.environment = {
            **os.environ,
            "SNAKEPIT_TEST_MARK": str(directory),
            "TMPDIR": str(self.temporary),
        }
        self.environment.pop("XDG_RUNTIME_DIR", None)
        (directory / "cli_tools.py").write_text(TOOLS)

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        environment = {**self.environment, **options.pop("env", {})}
        defaults: dict[str, Any] = {
            "cwd": self.directory,
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        }
        command = [os.environ["SNAKEPIT_COMMAND"], *arguments]
        return subprocess.Popen(command, env=environment, **{**defaults, **options})

    def __call__(self, *arguments: str, given: bytes | str = b"", **options: Any) -> tuple[int, str, str]:
        """(exit code, stdout, stderr)"""
        data = given.encode() if isinstance(given, str) else given
        with self.start(*arguments, stdin=subprocess.PIPE, **options) as process:
            try:
                out, err = process.communicate(data, timeout=60)
            except BaseException:
                process.kill()
                raise
        return process.returncode, (out or b"").decode(), err.decode()

    def wait_until_gone(self) -> list[int]:
        """Processes that are still there a second after they should have gone."""
        limit = time.monotonic() + 1
        while (left := processes_with(self.mark)) and time.monotonic() < limit:
            time.sleep(0.01)
        return left


@pytest.fixture
def snakepit(tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path)
    yield command
    assert command.wait_until_gone() == []
    assert list(command.temporary.iterdir()) == []

"""A pool in a process of its own: `snakepit map`, which waits for its input."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conftest import Command

LIMIT = 30.0


def eventually(holds: Callable[[], Any], what: str) -> Any:
    limit = time.monotonic() + LIMIT
    while not (outcome := holds()):
        assert time.monotonic() < limit, what
        time.sleep(0.02)
    return outcome


class Host:
    """Two workers that call `tool` for each line they are given."""

    def __init__(self, snakepit: Command, tool: str = "cli_tools:echo") -> None:
        self.snakepit = snakepit
        self.process = snakepit.start("map", tool, "--workers", "2", stdin=subprocess.PIPE)
        self.pid = str(self.process.pid)
        eventually(self.is_running, "the pool is running")

    def is_running(self) -> bool:
        code, out, _ = self.snakepit("status", "--pool", self.pid, "--json")
        return code == 0 and json.loads(out)["state"] == "running"

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        return self.snakepit(*arguments, "--pool", self.pid)

    def json(self, *arguments: str) -> Any:
        code, out, err = self(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    def feed(self, *values: object) -> None:
        assert self.process.stdin is not None
        for value in values:
            self.process.stdin.write(json.dumps([value]).encode() + b"\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.communicate(timeout=60)

"""Tools for the chaos run that use their session and note what they see, when they began to look and when they knew."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from typing import Any

import snakepit
from chaos_journal import noted

_BIRTH = "born"  # the first variable of every session: its value is the name of this incarnation
_THOUGHT = 0.002  # seconds between a look and the change that follows from it, so that others get in between


@functools.cache
def _process() -> str:
    """Which process this is, also when its number is another's later. Not asked before a tool runs: forks differ."""
    return f"{os.getpid()} since {time.monotonic_ns()}"


def _count_of(value: str | None) -> int:
    return int(value.rsplit("/", 1)[1]) if value else 0


class _Over(Exception):
    """The session was closed, or has expired: no more steps."""


class _Notes:
    """What was done to the session, in its order: one row for each question."""

    def __init__(self, session: snakepit.Session) -> None:
        self.session = session
        self.rows: list[list[object]] = []

    def note(self, what: str, name: str, how: Callable[[], Any], value: object = None, expected: int = -1) -> Any:
        """Do it. A row: what, variable, from, to, outcome, value, version (-1: not known), expected (-1: whatever)."""
        began = time.monotonic_ns()
        outcome, version, found = "done", -1, None
        try:
            found = how()
        except KeyError:
            outcome = "absent"
        except snakepit.VersionConflict:
            outcome = "conflict"
        except snakepit.SessionClosed:
            outcome = "closed"
        ended = time.monotonic_ns()
        if what == "get":
            value = found
        elif what == "look" and found is not None:
            value, version = found
        elif what in ("set", "compare_and_set") and found is not None:
            version = found
        self.rows.append([what, name, began, ended, outcome, value, version, expected])
        if outcome == "closed":
            raise _Over
        return found if outcome == "done" else None

    def look(self, name: str) -> tuple[Any, int]:
        found: tuple[Any, int] = self.note("look", name, lambda: self.session.get_with_version(name))
        return found

    def compare_and_set(self, name: str, expected: int, value: str) -> bool:
        change = functools.partial(self.session.compare_and_set, name, expected, value)
        return self.note("compare_and_set", name, change, value, expected) is not None

    def find_birth(self, mark: str) -> None:
        """Give the session its name, unless it has one."""
        if self.look(_BIRTH)[1] == 0 and not self.compare_and_set(_BIRTH, 0, mark):
            self.look(_BIRTH)

    def count_up(self, name: str, value: str) -> None:
        """Add one, whoever else does: the number behind the last slash."""
        before, version = self.look(name)
        time.sleep(_THOUGHT)
        while not self.compare_and_set(name, version, f"{value}/{_count_of(before) + 1}"):
            before, version = self.look(name)

    def set_after_thought(self, name: str, value: str) -> None:
        """Set it, unless somebody else does so meanwhile."""
        version = self.look(name)[1]
        time.sleep(_THOUGHT)
        self.compare_and_set(name, version, value)

    def step(self, what: str, name: str, value: Any) -> None:
        session = self.session
        if what == "wait":
            time.sleep(value / 1000)
        elif what == "get":
            self.note("get", name, lambda: session[name])
        elif what == "look":
            self.look(name)
        elif what == "assign":
            self.note("assign", name, lambda: session.__setitem__(name, value), value)
        elif what == "set":
            self.note("set", name, lambda: session.set(name, value), value)
        elif what == "compare_and_set":
            self.set_after_thought(name, value)
        elif what == "count":
            self.count_up(name, value)
        elif what == "erase":
            self.note("erase", name, lambda: session.__delitem__(name))
        elif what == "close":
            self.note("close", "", session.close)
            raise _Over
        else:
            raise ValueError(what)


def _follow(call: int, mark: str, steps: list[Any]) -> dict[str, object]:
    began = time.monotonic_ns()
    notes = _Notes(snakepit.session())
    try:
        notes.find_birth(mark)
        for what, name, value in steps:
            notes.step(what, name, value)
    except _Over:
        pass
    return {"call": call, "process": _process(), "began": began, "rows": notes.rows}


@snakepit.tool
def use_session(call: int, mark: str, steps: list[Any]) -> dict[str, object]:
    with noted(call):
        return _follow(call, mark, steps)


@snakepit.tool(idempotent=True)
def look_at_session(call: int, mark: str, steps: list[Any]) -> dict[str, object]:
    """With steps that change nothing: it may run again when its worker dies."""
    with noted(call):
        return _follow(call, mark, steps)

"""What the host may look at, or change, in a worker that runs: its stacks, and which records of its log it gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from snakepit._aside import Aside
from snakepit._logs import Logs
from snakepit._stacks import AtWork, report


class Works(Protocol):
    """What is looked at. Any thread."""

    def at_work(self) -> Iterable[AtWork]:
        """The calls that run."""


class Observer:
    """See Observed. Nothing of it holds up the control thread: stacks may be many, and logging has locks."""

    def __init__(self, logs: Logs, works: Works) -> None:
        self._logs = logs
        self._works = works
        self._aside = Aside()

    def set_log_level(self, least: int) -> None:
        self._aside.do(lambda: self._logs.set_level(least))

    def tell_stacks(self, tell: Callable[[str], None]) -> None:
        self._aside.do(lambda: tell(report(self._works.at_work())))

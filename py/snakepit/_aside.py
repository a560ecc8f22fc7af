"""What the host asks for that may take a moment, which the control thread has not."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress


class Aside:
    """A thread, from the first thing on that it has to do. It does them one after the other."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def do(self, job: Callable[[], object]) -> None:
        """One thread at a time. What the job raises is lost."""
        self._jobs.put(job)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="snakepit-aside", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            with suppress(Exception):
                job()

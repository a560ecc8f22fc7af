"""What goes up Control, in the order in which it matters."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from math import inf
from time import monotonic

from snakepit._telemetry import Gathered


class Outbox(Iterator[bytes]):
    """The messages, as the iterator that grpcio asks for the next one, on a thread of its own, when the one before has
    left. Telemetry goes when there is nothing else: no pong waits behind more than one message of it."""

    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered
        # Seconds: something is gathered, and may wait so long.
        self._messages: queue.SimpleQueue[bytes | float] = queue.SimpleQueue()
        self._telemetry_at = inf
        self._nudged_for = inf  # the least of these seconds since the last look
        self._flushes: list[threading.Event] = []
        self._is_over = False

    def send_telemetry(self) -> None:
        """Let what is gathered leave as well, from now on."""
        self._gathered.nudge = self._nudge
        if self._gathered:
            self._nudge(0.0)

    def put(self, message: bytes) -> None:
        """Send it as soon as possible. Any thread; does not wait."""
        self._messages.put(message)

    def flush(self, seconds: float) -> None:
        """Wait, no longer than that, until what is gathered has left. Any thread but grpcio's."""
        if not self._gathered or self._is_over:
            return
        left = threading.Event()
        self._flushes.append(left)
        self._nudge(0.0)
        if not self._is_over:
            left.wait(seconds)

    def close(self) -> None:
        """Nothing leaves any more: the stream is over."""
        self._is_over = True
        self._gathered.close()
        self._end_flushes()

    def _nudge(self, seconds: float) -> None:
        # Whoever looks forgets it first: what is gathered after that nudges again.
        if seconds < self._nudged_for:
            self._nudged_for = seconds
            self._messages.put(seconds)

    def __next__(self) -> bytes:
        while True:
            if self._flushes and not self._gathered:
                self._end_flushes()
            try:
                message = self._messages.get(timeout=self._patience())
            except queue.Empty:
                telemetry = self._take()
                if telemetry is not None:
                    return telemetry
                continue
            if isinstance(message, bytes):
                return message
            self._telemetry_at = min(self._telemetry_at, monotonic() + message)

    def _patience(self) -> float | None:
        return None if self._telemetry_at is inf else max(0.0, self._telemetry_at - monotonic())

    def _take(self) -> bytes | None:
        self._nudged_for = inf
        telemetry = self._gathered.take()
        # There may be more than one message has room for.
        self._telemetry_at = monotonic() if self._gathered else inf
        return telemetry

    def _end_flushes(self) -> None:
        while self._flushes:
            self._flushes.pop().set()

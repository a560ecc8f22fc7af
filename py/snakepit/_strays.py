"""A mark by which whatever a worker's tools have started is found, wherever it has gone."""

from __future__ import annotations

import os
import resource
import signal
from contextlib import suppress

# RLIMIT_LOCKS: every process inherits it through fork, exec and setsid, and Linux has not looked at it since 2.4. The
# tree of processes does not say the same: what a tool detaches from its worker becomes the launcher's child, whoever's
# it was.
_RLIMIT_LOCKS = 10
_LEAST = 1 << 32  # what people may have set is below, or RLIM_INFINITY, which is -1


def put(mark: int) -> None:
    """On this process and all that descends from it."""
    with suppress(OSError, ValueError):  # the hard limit was lowered: then nothing is found
        resource.setrlimit(_RLIMIT_LOCKS, (mark, resource.getrlimit(_RLIMIT_LOCKS)[1]))


def of(pid: int) -> int | None:
    """The mark of a process, which may be a zombie."""
    with suppress(OSError):  # gone, or another user's
        mark = resource.prlimit(pid, _RLIMIT_LOCKS)[0]
        return mark if mark >= _LEAST else None
    return None


def end(mark: int) -> None:
    """SIGKILL for everything that has the mark, also for what is forked meanwhile."""
    killed: set[int] = set()
    while True:
        found = {int(name) for name in os.listdir("/proc") if name.isdigit()} - killed
        found = {pid for pid in found if of(pid) == mark}
        if not found:
            return
        for pid in found:
            _kill(pid, mark)
        killed |= found


def _kill(pid: int, mark: int) -> None:
    with suppress(OSError):
        pidfd = os.pidfd_open(pid)
        try:
            if of(pid) == mark:  # looked at again: the pidfd may be of a process that has got the number since
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)

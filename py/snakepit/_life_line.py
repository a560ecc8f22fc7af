"""The kernel ends a worker and its children when the host is gone, even while C code holds the GIL."""

from __future__ import annotations

import fcntl
import os
import signal

_F_SETSIG = 10  # linux/fcntl.h; the constant is missing from some builds of the fcntl module


def arm(life_line: int) -> None:
    """Tie this process group to a pipe whose write end only the host holds.

    A reading thread would never run while an extension holds the GIL, and PR_SET_PDEATHSIG would kill healthy
    workers when their launcher dies; SIGKILL by O_ASYNC has neither fault.
    """
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)  # the launcher does it too: whoever comes first
    fcntl.fcntl(life_line, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(life_line, _F_SETSIG, signal.SIGKILL)
    flags = fcntl.fcntl(life_line, fcntl.F_GETFL)
    fcntl.fcntl(life_line, fcntl.F_SETFL, flags | os.O_ASYNC | os.O_NONBLOCK)
    try:
        if os.read(life_line, 1) == b"":
            os._exit(1)  # the host died before we were armed
    except BlockingIOError:
        pass

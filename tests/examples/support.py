"""What the checks of the examples share: run a program, look at its output, leave no process behind."""

import atexit
import ctypes
import difflib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def fail(why: str) -> None:
    sys.exit(f"FAILED: {why}")


def adopt_orphans() -> None:
    """From here on, whatever our descendants leave behind becomes a child of this process."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        fail(f"prctl: {os.strerror(ctypes.get_errno())}")


def children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "gone"


def expect_no_processes(seconds: float = 5) -> None:
    """Nobody is left: what ends by itself within a moment may do so, what stays is a failure (and is ended)."""
    end = time.monotonic() + seconds
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0] != 0:
                pass
        except ChildProcessError:
            return
        if time.monotonic() > end:
            break
        time.sleep(0.01)
    left = [f"{pid} ({command_of(pid)})" for pid in children()]
    for pid in children():
        os.kill(pid, signal.SIGKILL)
    fail(f"processes left behind: {', '.join(left)}")


def private_temporary() -> str:
    """A directory of our own where everything temporary goes from now on, sockets too."""
    directory = tempfile.mkdtemp(prefix="sp")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    os.environ["TMPDIR"] = directory
    os.environ.pop("XDG_RUNTIME_DIR", None)
    return directory


def expect_nothing_left(temporary: str) -> None:
    """Neither processes nor files."""
    expect_no_processes()
    if left := os.listdir(temporary):
        fail(f"files left behind: {left}")


def expect_log(stderr: str, events: list[str]) -> None:
    """The pool has logged these events, and nobody has written anything else there."""
    lines = stderr.splitlines()
    logged = [line for line, event in zip(lines, events) if f" event={event} " in line]
    if len(logged) != len(lines) or len(lines) != len(events):
        fail(f"expected on stderr are the events {events}; there is:\n{stderr}")


def expect_output(program: str, expected: str, events: list[str] | None = None) -> None:
    """The program ends well, prints exactly this, logs these events alone, and leaves no process."""
    adopt_orphans()
    temporary = private_temporary()
    run = subprocess.run([program], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=50)
    if run.returncode != 0:
        fail(f"{program} ended with {run.returncode}; stderr:\n{run.stderr}\nstdout:\n{run.stdout}")
    if run.stdout != expected:
        diff = difflib.unified_diff(expected.splitlines(), run.stdout.splitlines(), "expected", "printed", lineterm="")
        fail("\n".join(diff))
    expect_log(run.stderr, events or [])
    expect_nothing_left(temporary)
    print(run.stdout, end="")

"""Tools that leave processes behind in every way there is. Each writes its number into the file `held`."""

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time

import snakepit

_HELD = os.path.join(os.environ["SNAKEPIT_TEST_SCRATCH"], "held")
_PROGRAM = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); time.sleep(600)"


def _note():
    with open(_HELD, "a") as file:
        file.write(f"{os.getpid()}\n")


def _stay():
    _note()
    while True:
        time.sleep(600)


def _child(*steps):
    """A child that does the steps and stays."""
    if os.fork() == 0:
        for step in steps:
            step()
        _stay()


def _end_if_parent():
    if os.fork() != 0:
        os._exit(0)


def _litter():
    _child()
    _child(os.setsid)
    _child(os.setsid, _end_if_parent)
    # A program with an empty environment and no descriptor of ours, in a session of its own.
    nothing = subprocess.DEVNULL
    subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, _HELD],
        env={},
        start_new_session=True,
        stdin=nothing,
        stdout=nothing,
        stderr=nothing,
    )


@snakepit.tool
def litter():
    """Four processes that stay."""
    _litter()


@snakepit.tool
def hold(gil=False, litter=True):
    """Busy for ever; five processes with this one, unless it is not to litter."""
    if litter:
        _litter()
    _note()
    if gil:
        ctypes.PyDLL(None).sleep(600)
    while True:
        pass


@snakepit.tool
def rest(seconds):
    """The time of day, as Python sees it before and after."""
    _note()
    before = time.time()
    time.sleep(seconds)
    return [before, time.time()]


@snakepit.tool
def grandchildren(count):
    """As many processes, every tenth in a session of its own."""
    for i in range(count):
        if os.fork() == 0:
            if i % 10 == 0:
                os.setsid()
            signal.pause()
            os._exit(0)


@snakepit.tool
def flee(count, seconds):
    """As many processes, each of which goes on in a child of its own, again and again, for so long at most. While there
    is one, the file `fleeing` is locked."""
    until = time.monotonic() + seconds
    lock = os.open(os.path.join(os.path.dirname(_HELD), "fleeing"), os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_SH)
    for i in range(count):
        if os.fork() == 0:
            if i % 10 == 0:
                os.setsid()
            while time.monotonic() < until:
                if os.fork() != 0:
                    os._exit(0)
            os._exit(0)
    os.close(lock)


@snakepit.tool
def echo(value):
    return value


@snakepit.tool
def pid():
    return os.getpid()


@snakepit.tool
def parent():
    return os.getppid()


@snakepit.tool
def disarm():
    """The life-line no longer ends this process."""
    fcntl.fcntl(4, fcntl.F_SETOWN, 0)
    fcntl.fcntl(4, fcntl.F_SETFL, fcntl.fcntl(4, fcntl.F_GETFL) & ~os.O_ASYNC)


@snakepit.tool
def descriptors():
    """Number to what it is, of this process."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:  # the one that lists the directory
            continue
    return found

"""Tools that keep their worker busy, hang it, or do not want to stop."""

import ctypes
import os
import signal
import threading
import time

import snakepit


@snakepit.tool
def echo(value):
    return value


@snakepit.tool
def pid() -> int:
    return os.getpid()


@snakepit.tool
def crunch(count: int) -> int:
    """Use the processor without letting another thread run: sum() over a range never leaves C."""
    return sum(range(count))


@snakepit.tool
def hang(pipe: str = "") -> None:
    """Wait without letting another thread run and without using the processor; no signal ends it.

    For a byte from the named pipe, or for what never comes."""
    end = os.open(pipe, os.O_RDONLY) if pipe else os.pipe()[0]
    ctypes.PyDLL(None).read(end, ctypes.create_string_buffer(1), 1)
    os.close(end)


@snakepit.tool
def ignore(path: str, seconds: float, sigterm: bool = False) -> bool:
    """Go on whatever the caller wants, from the moment on when the file is there."""
    if sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end = time.monotonic() + seconds
    begun = False
    while True:
        try:
            if not begun:
                with open(path, "w"):
                    begun = True
            while time.monotonic() < end:
                time.sleep(0.01)
            return True
        except BaseException:
            pass


@snakepit.tool
def drag(seconds: float) -> None:
    """Let other threads run for a moment only, every so often; from now on."""

    def hold_on() -> None:
        usleep = ctypes.PyDLL(None).usleep
        while True:
            usleep(int(seconds * 1e6))

    threading.Thread(target=hold_on, daemon=True).start()


@snakepit.tool
def take_a_second() -> None:
    time.sleep(1)


_leaked = []


@snakepit.tool
def leak(size: int) -> None:
    """Keep memory, every page of it in use."""
    _leaked.append(bytearray(os.urandom(4096) * (size // 4096)))

"""Tools that most tests need."""

import os
import signal
import sys
import time

import snakepit

_SCRATCH = os.environ.get("SNAKEPIT_TEST_SCRATCH", "/nonexistent")
_ASK = signal.SIGRTMIN + 1


@snakepit.tool
def echo(value):
    """The value, unchanged."""
    return value


@snakepit.tool
def add(a, b=10):
    return a + b


@snakepit.tool
def names(*args, **kwargs):
    """How the arguments came."""
    return {"args": list(args), "kwargs": kwargs}


@snakepit.tool
def nothing():
    return None


@snakepit.tool
def pid():
    return os.getpid()


@snakepit.tool
def sleep(seconds):
    time.sleep(seconds)
    return seconds


@snakepit.tool
def append(file, text):
    """A side effect that the test can see."""
    with open(os.path.join(_SCRATCH, file), "a") as out:
        out.write(text + "\n")


@snakepit.tool
def hold(name, seconds=60.0):
    """Says that it has begun, then waits until the test makes the file NAME.go; says that it has ended.

    It is not interrupted by a cancel before that.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {_ASK})
    try:
        append("log", f"begin {name}")
        until = time.monotonic() + seconds
        while not os.path.exists(os.path.join(_SCRATCH, f"{name}.go")):
            if time.monotonic() > until:
                raise TimeoutError(name)
            time.sleep(0.002)
        append("log", f"end {name}")
        return name
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {_ASK})


@snakepit.tool
def wait_until_cancelled(name, payload=None):
    try:
        append("log", f"begin {name}")
        time.sleep(30)
        append("log", f"not cancelled {name}")
    except snakepit.Cancelled:
        append("log", f"cancelled {name}")
        raise


@snakepit.tool
def remaining():
    return snakepit.current_call().remaining


@snakepit.tool
def session():
    return snakepit.current_call().session


@snakepit.tool
def translate(points, by):
    return [{"x": p["x"] + by["x"], "y": p["y"] + by["y"]} for p in points]


@snakepit.tool
def say(text, to="stdout", times=1):
    stream = getattr(sys, to)
    for _ in range(times):
        stream.write(text)
    stream.flush()
    return times

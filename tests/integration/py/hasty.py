"""Tools that are slow once, wait for a gate, or end their worker."""

import ctypes
import os
import time

import snakepit


@snakepit.tool(idempotent=True)
def slow_once(directory):
    """The first call of all waits until it is cancelled and says so; the others return at once."""
    try:
        os.close(os.open(os.path.join(directory, "slow"), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return os.getpid()
    try:
        while True:
            time.sleep(0.005)
    except snakepit.Cancelled:
        with open(os.path.join(directory, "cancelled"), "w") as out:
            out.write(str(os.getpid()))
        raise


@snakepit.tool(idempotent=True)
def raises_once_asked_twice(directory):
    """The first call waits until the second one has begun, which raises; both are the same call to their caller."""
    try:
        os.close(os.open(os.path.join(directory, "first"), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        raise ValueError("the second one") from None
    while True:
        time.sleep(0.005)


@snakepit.tool(idempotent=True)
def dies_when_second(directory):
    """The second call ends its worker, and the first one goes on then."""
    try:
        os.close(os.open(os.path.join(directory, "begun"), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        open(os.path.join(directory, "dead"), "w").close()
        os._exit(3)
    while not os.path.exists(os.path.join(directory, "dead")):
        time.sleep(0.005)
    time.sleep(0.05)
    return os.getpid()


@snakepit.tool
def wait_for(file):
    while not os.path.exists(file):
        time.sleep(0.005)


@snakepit.tool
def note(file, text):
    with open(file, "a") as out:
        out.write(text + "\n")


@snakepit.tool
def crash(file):
    """Reads from nowhere, unless the file is there."""
    if os.path.exists(file):
        return os.getpid()
    return ctypes.string_at(0)


@snakepit.tool
def echo(value):
    return value

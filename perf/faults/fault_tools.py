import ctypes
import os
import time

import snakepit


@snakepit.tool
def echo(payload):
    return payload


@snakepit.tool
def echo_after_1_ms(payload):
    time.sleep(0.001)
    return payload


_served = {}


@snakepit.tool
def remember(seconds):
    """Which process this is, and the number of the session's calls that it has served, this one included."""
    time.sleep(seconds)
    key = snakepit.current_call().session
    _served[key] = _served.get(key, 0) + 1
    return [os.getpid(), _served[key]]


@snakepit.tool
def spin(begun):
    """Use the processor for ever; the file says that it has begun."""
    open(begun, "w").close()
    while True:
        pass


@snakepit.tool
def hold_gil(begun):
    """Stay in C without letting another thread run."""
    open(begun, "w").close()
    ctypes.PyDLL(None).sleep(1000)


@snakepit.tool
def wait(begun):
    """Wait, and leave a process behind that waits too."""
    if os.fork() == 0:
        open(begun, "w").close()
    time.sleep(1000)

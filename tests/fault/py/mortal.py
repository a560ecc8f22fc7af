"""A worker that can be made to end in every way."""

import ctypes
import os
import signal
import sys
import threading
import time

import snakepit

_SCRATCH = os.environ["SNAKEPIT_TEST_SCRATCH"]


def _ready_to_die():
    sys.stderr.write("last words\n")
    sys.stderr.flush()
    with open(os.path.join(_SCRATCH, "died_at"), "w") as file:
        file.write(str(time.monotonic_ns()))


_WAYS = {
    "exit 0": lambda: os._exit(0),
    "exit 3": lambda: os._exit(3),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "term": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "abort": os.abort,
    "segfault": lambda: ctypes.string_at(0),
    "bus": lambda: os.kill(os.getpid(), signal.SIGBUS),
    "float": lambda: os.kill(os.getpid(), signal.SIGFPE),
    "illegal": lambda: os.kill(os.getpid(), signal.SIGILL),
    "thread": lambda: threading.Thread(target=os._exit, args=(4,)).start() or time.sleep(60),
}


@snakepit.tool
def die(way):
    _ready_to_die()
    _WAYS[way]()


@snakepit.tool
def fork_and_die(way):
    """A child that outlives its parent, in a session of its own, holding whatever it has inherited."""
    child = os.fork()
    if child == 0:
        os.setsid()
        time.sleep(60)
        os._exit(0)
    die(way)


@snakepit.tool
def fork_and_return(value):
    """The child comes back from the tool too; it must not serve calls."""
    return [value, os.fork() != 0]


@snakepit.tool
def begin(name, seconds=60.0):
    """Leaves a mark; each call once."""
    with open(os.path.join(_SCRATCH, "begun"), "a") as file:
        file.write(f"{name}\n")
    until = time.monotonic() + seconds
    while time.monotonic() < until and not os.path.exists(os.path.join(_SCRATCH, "go")):
        time.sleep(0.002)
    return name


@snakepit.tool
def echo(value):
    return value


@snakepit.tool
def pid():
    return os.getpid()


@snakepit.tool
def parent():
    return os.getppid()


def _mark(name):
    descriptor = os.open(os.path.join(_SCRATCH, "marks"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, f"{name}\n".encode())
    os.close(descriptor)


@snakepit.tool
def mark(name):
    _mark(name)
    return name


@snakepit.tool
def die_if(condition):
    """Quick, as far as anybody knows who has seen it run."""
    if condition:
        os.kill(os.getpid(), signal.SIGKILL)


@snakepit.tool(idempotent=True)
def die_in_the_first(times):
    """Leave a mark; the first runs end their workers."""
    _mark("run")
    with open(os.path.join(_SCRATCH, "marks")) as marks:
        runs = len(marks.readlines())
    if runs <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return runs


@snakepit.tool
def die_once():
    return die_in_the_first(1)


@snakepit.tool
def eat(megabytes):
    """Take memory, until somebody minds."""
    eaten = []
    for _ in range(megabytes):
        eaten.append(b"x" * (1 << 20))
    return len(eaten)


@snakepit.tool
def eat_if_hungry():
    """For a warm-up that takes more memory than there is, once a file says so."""
    if os.path.exists(os.path.join(_SCRATCH, "hungry")):
        eat(1_000)

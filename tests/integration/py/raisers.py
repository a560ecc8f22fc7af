"""Tools that raise in every way there is."""

import os
import sys

import snakepit


class Missing(Exception):
    pass


class NoStr(Exception):
    def __str__(self):
        raise ValueError("not even a message")


class ExitStr(Exception):
    def __str__(self):
        sys.exit(9)


class NoRepr:
    def __repr__(self):
        raise ValueError("no repr")


def _inner():
    raise KeyError("the root")


def _chain():
    try:
        _inner()
    except KeyError as error:
        raise Missing("it is missing") from error


def _context():
    try:
        _inner()
    except KeyError:
        return 1 / 0


def _recursion(n=0):
    return _recursion(n + 1) + 1


def _long_chain():
    error = None
    for i in range(50):
        new = ValueError(f"link {i}")
        new.__cause__ = error
        error = new
    raise error


def _cycle():
    a, b = ValueError("a"), ValueError("b")
    a.__cause__, b.__cause__ = b, a
    raise a


def _raise(error):
    raise error


_KINDS = {
    "chain": _chain,
    "context": _context,
    "no_str": lambda: _raise(NoStr()),
    "exit_str": lambda: _raise(ExitStr()),
    "system_exit": lambda: sys.exit(3),
    "exit": lambda: exit(),
    "keyboard": lambda: _raise(KeyboardInterrupt()),
    "memory": lambda: _raise(MemoryError("none left")),
    "real_memory": lambda: bytearray(1 << 60),
    "recursion": _recursion,
    "generator_exit": lambda: _raise(GeneratorExit()),
    "stop_iteration": lambda: next(iter(())),
    "long_message": lambda: _raise(ValueError("x" * 1_000_000)),
    "not_utf8": lambda: _raise(ValueError("\ud800 lone")),
    "nul": lambda: _raise(ValueError("a\0b")),
    "long_chain": _long_chain,
    "cycle": _cycle,
    "group": lambda: _raise(ExceptionGroup("several", [ValueError("one"), TypeError("two")])),  # noqa: F821  # since 3.11
    "type_error": lambda: len(1),
    "os_error": lambda: open("/no/such/file"),
    "no_repr": lambda: _raise(ValueError(NoRepr())),
}


@snakepit.tool
def fail(kind):
    return _KINDS[kind]()


@snakepit.tool
def pid():
    return os.getpid()


@snakepit.tool
def takes(a, b=2, *, c=3):
    return [a, b, c]


@snakepit.tool
def only_positions(a, b, /):
    return [a, b]


@snakepit.tool
def needs_name(a, *, key):
    return [a, key]


@snakepit.tool
def anything(*args, **kwargs):
    return [list(args), kwargs]

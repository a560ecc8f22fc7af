"""Tools for the chaos run: what people's tools do, and what they should not. Each notes when it begins and is done."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import subprocess
import sys
import time

import snakepit
from chaos_batch_tools import together, together_later
from chaos_journal import noted
from chaos_session_tools import look_at_session, use_session
from chaos_stream_tools import gather, gather_async, produce, produce_async, relay, relay_async

__all__ = [
    "gather",
    "gather_async",
    "look_at_session",
    "produce",
    "produce_async",
    "relay",
    "relay_async",
    "together",
    "together_later",
    "use_session",
]

__snakepit_thread_safe__ = True


@snakepit.tool
def echo(call: int, payload: object) -> object:
    with noted(call):
        return payload


@snakepit.tool
def work(call: int, milliseconds: int) -> int:
    """Wait, as for a disk or another machine."""
    with noted(call):
        time.sleep(milliseconds / 1000)
        return call


@snakepit.tool
async def nap(call: int, milliseconds: int) -> int:
    """Wait, and let others on the loop go on."""
    with noted(call):
        await asyncio.sleep(milliseconds / 1000)
        return call


@snakepit.tool
def hurry(call: int, milliseconds: int) -> int:
    """Take no time, except when it does: nobody expects that."""
    with noted(call):
        if milliseconds:
            time.sleep(milliseconds / 1000)
        return call


@snakepit.tool(idempotent=True)
def look_up(call: int, milliseconds: int) -> int:
    """Change nothing: it may run again when its worker dies."""
    with noted(call):
        time.sleep(milliseconds / 1000)
        return call


@snakepit.tool
def crunch(call: int, milliseconds: int) -> int:
    """Use the processor."""
    with noted(call):
        until = time.monotonic() + milliseconds / 1000
        while time.monotonic() < until:
            sum(range(1000))
        return call


@snakepit.tool
def where(call: int, milliseconds: int) -> int:
    """Which process this is, after a while: long enough that each worker has to take its share."""
    with noted(call):
        time.sleep(milliseconds / 1000)
        return os.getpid()


@snakepit.tool
def fail(call: int, _: int) -> None:
    with noted(call):
        raise ValueError(f"call {call} was to fail")


@snakepit.tool
def leave(call: int, code: int) -> None:
    with noted(call):
        os._exit(code)


@snakepit.tool
def hang(call: int, _: int) -> None:
    with noted(call):
        while True:
            time.sleep(60)


@snakepit.tool
def ignore_cancel(call: int, _: int) -> None:
    with noted(call):
        while True:
            with contextlib.suppress(BaseException):
                time.sleep(0.01)


@snakepit.tool
def hang_in_c(call: int, _: int) -> None:
    """Wait without letting another thread run, for what never comes."""
    with noted(call):
        ends = os.pipe()
        ctypes.PyDLL(None).read(ends[0], ctypes.create_string_buffer(1), 1)


@snakepit.tool
def hold_gil(call: int, milliseconds: int) -> int:
    with noted(call):
        ctypes.PyDLL(None).usleep(milliseconds * 1000)
        return call


@snakepit.tool
async def block_loop(call: int, milliseconds: int) -> int:
    """Let nobody else on the loop go on."""
    with noted(call):
        time.sleep(milliseconds / 1000)
        return call


@snakepit.tool
def flood_stderr(call: int, kibibytes: int) -> int:
    with noted(call):
        for _ in range(kibibytes):
            sys.stderr.write("x" * 1023 + "\n")
        return call


_leaked: list[bytearray] = []


@snakepit.tool
def leak(call: int, mebibytes: int) -> int:
    """Keep memory, every page of it in use."""
    with noted(call):
        _leaked.append(bytearray(os.urandom(4096) * (mebibytes * 256)))
        return call


_children: list[subprocess.Popen[bytes]] = []


@snakepit.tool
def leave_child(call: int, seconds: int) -> int:
    """A process that nobody waits for, out of reach of signals to the worker's group."""
    with noted(call):
        _children.append(subprocess.Popen(["sleep", str(seconds)], start_new_session=True))
        return call

"""Tools that run beside each other, in threads or on an event loop."""

import asyncio
import os
import threading
import time

import snakepit

__snakepit_thread_safe__ = True

_SCRATCH = os.environ["SNAKEPIT_TEST_SCRATCH"]
_met = {}
_lock = threading.Lock()


def _path(name):
    return os.path.join(_SCRATCH, name)


def _note(name):
    with _lock, open(_path("begun"), "a") as file:
        file.write(f"{name}\n")


@snakepit.tool
def pid():
    return os.getpid()


@snakepit.tool
def echo(value):
    return value


@snakepit.tool
def meet(count):
    """Returns when so many are here at once."""
    with _lock:
        event = _met.setdefault(count, [0, threading.Event()])
        event[0] += 1
        if event[0] == count:
            event[1].set()
    if not event[1].wait(20):
        raise TimeoutError(f"{event[0]} of {count} came")
    return snakepit.current_call().id


@snakepit.tool
async def meet_async(count):
    event = _met.setdefault(count, [0, asyncio.Event()])
    event[0] += 1
    if event[0] == count:
        event[1].set()
    await asyncio.wait_for(event[1].wait(), 20)
    return snakepit.current_call().id


@snakepit.tool
def begin(name):
    """Until it may go."""
    _note(name)
    while not os.path.exists(_path("go")):
        time.sleep(0.001)
    return name


@snakepit.tool
async def begin_async(name):
    _note(name)
    while not os.path.exists(_path("go")):
        await asyncio.sleep(0.001)
    return name


@snakepit.tool(main_thread=True)
def begin_main(name):
    return begin(name)


@snakepit.tool
async def block_loop():
    """Until it may go."""
    return begin("block")


@snakepit.tool(idempotent=True)
def begin_again(name):
    return begin(name)


@snakepit.tool
def never_stops(name):
    """Whatever it is asked."""
    _note(name)
    while True:
        try:
            while True:
                time.sleep(0.001)
        except snakepit.Cancelled:
            pass


@snakepit.tool
async def never_stops_async(name):
    _note(name)
    while True:
        try:
            while True:
                await asyncio.sleep(0.001)
        except asyncio.CancelledError:
            pass


@snakepit.tool
def remember(name, value):
    session = snakepit.session()
    before = session.get(name, 0)
    session[name] = value
    return [before, session[name]]


@snakepit.tool
async def remember_async(name, value):
    return await asyncio.to_thread(remember, name, value)


@snakepit.tool
def ask_host(value):
    return snakepit.host.back(value)


@snakepit.tool
async def ask_host_async(value):
    return await asyncio.to_thread(snakepit.host.back, value)


@snakepit.tool
def nest(depth):
    """So deep: each level calls the pool through the host."""
    return snakepit.host.again(depth)


@snakepit.tool
async def nest_async(depth):
    return await asyncio.to_thread(nest, depth)

"""Tools of three groups: without a name, "io" and "threads"."""

import asyncio
import os
import threading

import snakepit

_made = []
_warm = False


@snakepit.tool
def compute(value):
    return [value * 2, os.getpid()]


@snakepit.tool
def remember(name, value):
    snakepit.session()[name] = value


@snakepit.tool
def hold_until(file):
    while not os.path.exists(file):
        threading.Event().wait(0.005)
    return os.getpid()


@snakepit.tool
def adapters():
    return _made


@snakepit.tool(group="io")
async def fetch(value):
    await asyncio.sleep(0)
    return [value, os.getpid()]


@snakepit.tool(group="io")
async def recall(name):
    return snakepit.session().get(name)


@snakepit.tool(group="io")
async def adapters_of_io():
    return _made


_inside = 0
_all_there = None


@snakepit.tool(group="io")
async def meet(count):
    """Ends when so many calls of it run at once."""
    global _inside, _all_there
    if _inside == 0:
        _all_there = asyncio.Event()
    _inside += 1
    there = _all_there
    if _inside == count:
        _inside = 0
        there.set()
    await there.wait()
    return os.getpid()


@snakepit.tool(group="io", thread_safe=True)
def die():
    os._exit(3)


@snakepit.tool(group="io")
async def warm():
    global _warm
    _warm = True


@snakepit.tool(group="io")
async def is_warm():
    return _warm


@snakepit.tool(group="threads", thread_safe=True)
def thread_name():
    return threading.current_thread().name


class Ours(snakepit.Adapter):
    def setup(self):
        _made.append("Ours")

    @snakepit.tool
    def of_ours(self):
        return True


class Theirs(snakepit.Adapter):
    def setup(self):
        _made.append("Theirs")

    @snakepit.tool(group="io", thread_safe=True)
    def of_theirs(self):
        return True


class Everybodys(snakepit.Adapter):
    def setup(self):
        _made.append("Everybodys")

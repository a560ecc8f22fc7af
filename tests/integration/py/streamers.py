"""Tools that yield, and tools that read what C++ sends."""

import asyncio
import os
import time
from pathlib import Path

import snakepit

__snakepit_thread_safe__ = True

met = {}  # how many are there, by what they have said


@snakepit.tool
def echo(x):
    return x


@snakepit.tool
def count(n, pause=0.0):
    """Counts to n; returns how many there were."""
    for i in range(n):
        if pause:
            time.sleep(pause)
        yield i
    return {"counted": n}


@snakepit.tool
async def count_async(n, pause=0.0):
    for i in range(n):
        await asyncio.sleep(pause)
        yield i


@snakepit.tool
def same(items):
    yield from items
    return len(items)


@snakepit.tool
def sizes(sizes):
    """A text of each size."""
    for size in sizes:
        yield "x" * size


@snakepit.tool
def fails_after(n):
    yield from range(n)
    raise ValueError("enough")


@snakepit.tool
def yields_a_set():
    yield 1
    yield {1, 2}


@snakepit.tool
def flood(path, total, piece):
    """Yields `total` bytes in pieces, and says in a file how many it has got rid of."""
    text = "x" * piece
    done = 0
    try:
        while done < total:
            yield text
            done += piece
            Path(path).write_text(str(done))
        return done
    finally:
        Path(path + ".end").write_text("closed")


@snakepit.tool
def forever(path, first=3):
    """Yields a few, then sleeps for ever, a little at a time: no cancel ends the sleep of a thread."""
    try:
        yield from range(first)
        Path(path).write_text("sleeping")
        while True:
            time.sleep(0.01)
    finally:
        Path(path + ".end").write_text("closed")


@snakepit.tool
async def forever_async(path, first=3):
    try:
        for i in range(first):
            yield i
        Path(path).write_text("sleeping")
        while True:
            await asyncio.sleep(60)
    finally:
        Path(path + ".end").write_text("closed")


@snakepit.tool
def spin_after(path, n):
    """Yields, then computes for ever without letting go."""
    try:
        yield from range(n)
        while not Path(path).exists():
            pass
        return "went on"
    finally:
        Path(path + ".end").write_text("closed")


@snakepit.tool
def die_after(n):
    yield from range(n)
    time.sleep(0.2)
    os.kill(os.getpid(), 9)


@snakepit.tool(idempotent=True)
def die_once(path, first):
    """Dies when it is run for the first time, before or after its first item."""
    if first:
        yield 0
        time.sleep(0.2)
    if not Path(path).exists():
        Path(path).write_text("was here")
        os.kill(os.getpid(), 9)
    yield 1


@snakepit.tool(input="numbers")
def total(start, numbers):
    for n in numbers:
        start += n
    return start


@snakepit.tool(input="numbers")
def first_of(numbers, how_many):
    return [n for n, _ in zip(numbers, range(how_many))]


@snakepit.tool(input="lines")
def shout(*, lines, mark="!"):
    for line in lines:
        yield line.upper() + mark
    return "done"


@snakepit.tool(input="lines")
async def shout_async(lines):
    async for line in lines:
        yield line.upper()


@snakepit.tool(input="texts")
def mirror(texts):
    yield from texts


@snakepit.tool(input="texts")
def swallow(path, texts):
    """Reads one, and then no more until a file is there."""
    try:
        it = iter(texts)
        read = len(next(it))
        Path(path).write_text("one")
        while not Path(path + ".go").exists():
            time.sleep(0.01)
        for text in it:
            read += len(text)
        return read
    finally:
        Path(path + ".end").write_text("closed")


@snakepit.tool(input="texts")
def waits_for_input(path, texts):
    try:
        Path(path).write_text("waiting")
        return list(texts)
    finally:
        Path(path + ".end").write_text("closed")


@snakepit.tool
async def flood_async(path, total, piece):
    """As flood; it never waits by itself."""
    text = "x" * piece
    done = 0
    try:
        while done < total:
            yield text
            done += piece
            Path(path).write_text(str(done))
    finally:
        Path(path + ".end").write_text("closed")


@snakepit.tool
def meet(name, n):
    """Says that it is there; goes on when n are."""
    met[name] = met.get(name, 0) + 1
    yield "here"
    while met[name] < n:
        time.sleep(0.001)
    yield "all"


@snakepit.tool
async def meet_async(name, n):
    met[name] = met.get(name, 0) + 1
    yield "here"
    while met[name] < n:
        await asyncio.sleep(0.001)
    yield "all"


@snakepit.tool(input="numbers")
async def total_async(start, numbers):
    async for n in numbers:
        start += n
    return start


@snakepit.tool(input="numbers")
async def total_held_up(start, numbers):
    for n in numbers:
        start += n
    return start


@snakepit.tool(input="texts")
async def waits_for_input_async(path, texts):
    try:
        Path(path).write_text("waiting")
        return [text async for text in texts]
    finally:
        Path(path + ".end").write_text("closed")


@snakepit.tool(input="texts")
async def mirror_async(texts):
    async for text in texts:
        yield text


@snakepit.tool(main_thread=True)
def count_on_main(n):
    yield from range(n)


@snakepit.tool
def remembers(n):
    session = snakepit.session()
    for i in range(n):
        session["at"] = i
        yield [session["at"], snakepit.host.twice(i)]


@snakepit.tool
def memory():
    """Resident bytes of this worker."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@snakepit.tool
def pid():
    return os.getpid()

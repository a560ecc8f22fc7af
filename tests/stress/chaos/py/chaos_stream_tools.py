"""Tools for the chaos run that yield, and that read what C++ sends.

An item says which call it belongs to, and which item of it it is. Async generators return nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Generator, Iterable
from itertools import islice
from typing import Any

import snakepit
from chaos_journal import noted


def _item(call: int, number: int, size: int) -> list[Any]:
    return [call, number, "x" * size]


def _fail(call: int) -> None:
    raise ValueError(f"call {call} was to fail")


@snakepit.tool
def produce(
    call: int, how_many: int, size: int, milliseconds: int, fails: bool
) -> Generator[list[Any], None, list[int]]:
    """Milliseconds: now and then, between two items."""
    with noted(call):
        for i in range(how_many):
            if milliseconds and i % 5 == 4:
                time.sleep(milliseconds / 1000)
            yield _item(call, i, size)
        if fails:
            _fail(call)
        return [call, how_many]


@snakepit.tool
async def produce_async(
    call: int, how_many: int, size: int, milliseconds: int, fails: bool
) -> AsyncIterator[list[Any]]:
    with noted(call):
        for i in range(how_many):
            if milliseconds and i % 5 == 4:
                await asyncio.sleep(milliseconds / 1000)
            yield _item(call, i, size)
        if fails:
            _fail(call)


@snakepit.tool(input="items")
def relay(call: int, items: Iterable[list[Any]]) -> Generator[list[Any], None, list[int]]:
    """Give back each item as it comes."""
    with noted(call):
        count = 0
        for item in items:
            yield item
            count += 1
        return [call, count]


@snakepit.tool(input="items")
async def relay_async(call: int, items: AsyncIterable[list[Any]]) -> AsyncIterator[list[Any]]:
    with noted(call):
        async for item in items:
            yield item


@snakepit.tool(input="items")
def gather(call: int, most: int, items: Iterable[list[Any]]) -> list[Any]:
    """Which items have come; it wants no more than so many."""
    with noted(call):
        return [call, [number for _, number, _ in islice(items, most)]]


@snakepit.tool(input="items")
async def gather_async(call: int, most: int, items: AsyncIterable[list[Any]]) -> list[Any]:
    with noted(call):
        numbers: list[int] = []
        if most > 0:
            async for _, number, _ in items:
                numbers.append(number)
                if len(numbers) == most:
                    break
        return [call, numbers]

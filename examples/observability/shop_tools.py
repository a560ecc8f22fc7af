"""Tools of many kinds: quick ones, slow ones, some that fail, one that takes its worker with it."""

import math
import os
import random
import time

import snakepit


@snakepit.tool(thread_safe=True)
def price(item: int) -> float:
    return round(math.sqrt(item) * 9.99, 2)


@snakepit.tool(thread_safe=True)
def search(words: int) -> int:
    time.sleep(random.lognormvariate(-4.2, 0.6))  # about 15 ms, sometimes five times that
    return words * 7


@snakepit.tool(thread_safe=True)
def report(days: int) -> float:
    return sum(math.sin(i) ** 2 for i in range(days * 2_000))


@snakepit.tool(thread_safe=True)
def order(item: int) -> str:
    if item % 20 == 0:
        raise ValueError(f"item {item} is sold out")
    return f"order of {item}"


@snakepit.tool(thread_safe=True)
def crash() -> None:
    os.abort()

"""Tools that take their time."""

import time

import snakepit


@snakepit.tool
def square(n: int) -> int:
    return n * n


@snakepit.tool
def wait_for_news(seconds: float) -> str:
    """Waits. When nobody wants the answer any more, snakepit.Cancelled ends the wait."""
    time.sleep(seconds)
    return "no news"

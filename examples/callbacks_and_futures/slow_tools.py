"""Tools that take their time."""

import time

import snakepit


@snakepit.tool
def square(n: int) -> int:
    return n * n


@snakepit.tool
def wait_for_news(seconds: float) -> str:
    """Waits, and looks now and then whether anybody still wants the answer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not snakepit.current_call().cancelled:
        time.sleep(0.01)
    return "no news"

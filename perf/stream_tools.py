"""What perf/stream.cpp streams."""

import snakepit


@snakepit.tool
def echo(x):
    return x


@snakepit.tool
def numbers(n):
    yield from range(n)


@snakepit.tool
def texts(n, size):
    text = "x" * size
    for _ in range(n):
        yield text

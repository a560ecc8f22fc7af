"""Tools that take as long as they are told, to be measured."""

import time

import snakepit


@snakepit.tool
def spin(us):
    """Uses the processor."""
    end = time.perf_counter_ns() + us * 1000
    while time.perf_counter_ns() < end:
        pass


@snakepit.tool
def rest(ms):
    """Leaves the processor to others."""
    time.sleep(ms / 1000)


@snakepit.tool
def sometimes(ms):
    """Mostly as fast as nothing, or as slow as it is told."""
    if ms:
        time.sleep(ms / 1000)

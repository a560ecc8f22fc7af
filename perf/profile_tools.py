"""Tools for perf/profiles.cpp."""

import asyncio
import time

import snakepit

__snakepit_thread_safe__ = True


@snakepit.tool
def sleep(seconds):
    time.sleep(seconds)


@snakepit.tool
async def sleep_async(seconds):
    await asyncio.sleep(seconds)


@snakepit.tool
def echo(value):
    return value


@snakepit.tool
async def echo_async(value):
    return value

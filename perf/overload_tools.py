"""Tools that take their time without the processor."""

import os
import time

import snakepit


@snakepit.tool
def serve():
    time.sleep(0.004)


@snakepit.tool
def serve_as(slow):
    """Ten times as long in the process of that number."""
    time.sleep(0.02 if os.getpid() == slow else 0.002)

"""Tools for the chaos run that get the calls that are there as one list."""

from __future__ import annotations

import time

import snakepit
from chaos_journal import noted

_UNLUCKY = 13  # milliseconds


def _together(items: list[list[int]]) -> list[object]:
    with noted(*(call for call, _ in items)):
        time.sleep(max(milliseconds for _, milliseconds in items) / 1000)
        return [
            ValueError(f"call {call} was to fail") if milliseconds == _UNLUCKY else call for call, milliseconds in items
        ]


@snakepit.tool(batch=True, max_batch=8)
def together(items: list[list[int]]) -> list[object]:
    return _together(items)


@snakepit.tool(batch=True, max_batch=8, max_wait_ms=10)
def together_later(items: list[list[int]]) -> list[object]:
    """Wait for more of them."""
    return _together(items)

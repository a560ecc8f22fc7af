"""Batch tools: what is agreed upon for one, and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

MAX_BATCH = 4096  # as many calls as may be outstanding at one worker
MAX_WAIT_MS = 60_000
DEFAULT_BATCH = 64


ONE_CALL_ONLY = (
    "a batch tool runs for several calls at once: snakepit.current_batch() describes them; sessions and host tools "
    "are for tools that run for one"
)


class BatchTerms(NamedTuple):
    """How many calls a batch tool gets at once, and how long it waits for them."""

    max_batch: int
    max_wait: float  # seconds
    function: Callable[..., Any]
    async_function: Callable[..., Any]  # the same, if it is one


class BatchResultError(Exception):
    """A batch tool has returned no list, or one of another length than its batch."""

    __module__ = "snakepit"


def check_terms(batch: object, max_batch: object, max_wait_ms: object) -> None:
    """Raise TypeError or ValueError when @snakepit.tool cannot be meant like this."""
    if not isinstance(batch, bool):
        raise TypeError(f"@snakepit.tool: batch must be True or False, not {batch!r}")
    if not batch and (max_batch != DEFAULT_BATCH or max_wait_ms != 0):
        raise TypeError("@snakepit.tool: max_batch and max_wait_ms are for batch=True")
    if not isinstance(max_batch, int) or isinstance(max_batch, bool):
        raise TypeError(f"@snakepit.tool: max_batch must be an int, not {max_batch!r}")
    if not 1 <= max_batch <= MAX_BATCH:
        raise ValueError(f"@snakepit.tool: max_batch must be 1 to {MAX_BATCH}, not {max_batch}")
    if not isinstance(max_wait_ms, (int, float)) or isinstance(max_wait_ms, bool):
        raise TypeError(f"@snakepit.tool: max_wait_ms must be a number, not {max_wait_ms!r}")
    if not 0 <= max_wait_ms <= MAX_WAIT_MS:
        raise ValueError(f"@snakepit.tool: max_wait_ms must be 0 to {MAX_WAIT_MS}, not {max_wait_ms}")


def argument_of(arguments: Any) -> Any:
    """The one argument of a call of a batch tool, which has been found to fit."""
    if type(arguments) is dict:
        return next(iter(arguments.values()))
    return arguments[0] if type(arguments) is list else arguments


def results_of(returned: Any, wanted: int, name: str) -> Any:
    """What a batch tool has returned for so many calls. Raises BatchResultError."""
    if not isinstance(returned, (list, tuple)):
        raise BatchResultError(
            f"{name} returned {type(returned).__name__} for a batch of {wanted}: a list of {wanted} was wanted"
        )
    if len(returned) != wanted:
        raise BatchResultError(f"{name} returned {len(returned)} results for a batch of {wanted}")
    return returned


def one_at_a_time(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A batch tool as a function of one argument, for who has one call."""

    def single(*args: Any, **kwargs: Any) -> Any:
        (result,) = results_of(function([*args, *kwargs.values()]), 1, name)
        if isinstance(result, BaseException):
            raise result
        return result

    return single

"""Snakepit for tool authors: mark functions as tools, and C++ can call them."""

from typing import TYPE_CHECKING, Any

from snakepit._after_fork import after_fork
from snakepit._batch import BatchResultError
from snakepit._cancel import Cancelled
from snakepit._context import CurrentCall, current_batch, current_call
from snakepit._shield import shielded
from snakepit._threads import run_in_thread
from snakepit._tools import Adapter, tool
from snakepit._version import __version__

if TYPE_CHECKING:
    from snakepit._host_errors import (
        BadHostArguments,
        HostError,
        HostToolError,
        InvalidName,
        RemoteError,
        SessionClosed,
        SessionError,
        SessionLimit,
        UnknownHostTool,
        VersionConflict,
        WouldDeadlock,
    )
    from snakepit._host_tools import host
    from snakepit._session import Session, session

__all__ = [
    "Adapter",
    "BadHostArguments",
    "BatchResultError",
    "Cancelled",
    "CurrentCall",
    "HostError",
    "HostToolError",
    "InvalidName",
    "RemoteError",
    "Session",
    "SessionClosed",
    "SessionError",
    "SessionLimit",
    "UnknownHostTool",
    "VersionConflict",
    "WouldDeadlock",
    "__version__",
    "after_fork",
    "current_batch",
    "current_call",
    "host",
    "run_in_thread",
    "session",
    "tool",
]

_ON_DEMAND = {
    "Session": "_session",
    "host": "_host_tools",
    "session": "_session",
}


@shielded
def __getattr__(name: str) -> Any:
    # What speaks protobuf is loaded when it is used: a module that only marks its tools is imported quickly, also where
    # protobuf is not installed.
    if name not in __all__:
        raise AttributeError(f"module 'snakepit' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"snakepit.{_ON_DEMAND.get(name, '_host_errors')}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

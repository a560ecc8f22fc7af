"""Snakepit for tool authors: mark functions as tools, and C++ can call them."""

from snakepit._after_fork import after_fork
from snakepit._cancel import Cancelled
from snakepit._context import CurrentCall, current_call
from snakepit._tools import Adapter, tool
from snakepit._version import __version__

__all__ = ["Adapter", "Cancelled", "CurrentCall", "__version__", "after_fork", "current_call", "tool"]

"""What a tool gets when the host says no."""

from __future__ import annotations

from snakepit.v1 import work_pb2


class HostError(Exception):
    """The host did not do what a tool has asked of it. Nothing was changed."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason: str = reason
        """The error's name in C++, such as "version_conflict"."""


class SessionError(HostError):
    """A session would not."""


class SessionClosed(SessionError):
    """The session was closed or has expired, or the call that used it is over."""


class VersionConflict(SessionError):
    """The variable does not have the version that was expected: somebody was faster."""


class SessionLimit(SessionError):
    """Too many sessions or variables, or too large a value."""


class InvalidName(SessionError, ValueError):
    """The name of a variable is empty, longer than 200 bytes, or no UTF-8."""


class HostToolError(HostError):
    """A host tool failed, or could not be called. `__cause__` is what a Python tool raised that it has called, if one
    did."""


class UnknownHostTool(HostToolError, AttributeError):
    """There is no host tool of this name."""


class BadHostArguments(HostToolError, TypeError):
    """The arguments are not those that the host tool takes, or cannot travel."""


class WouldDeadlock(HostToolError):
    """All workers would wait for each other: the host tool called the pool, whose workers all wait for host tools."""


class RemoteError(Exception):
    """What another worker's tool raised, as text."""

    def __init__(self, type_: str, message: str, traceback: str) -> None:
        super().__init__(f"{type_}: {message}\n\n{traceback}" if traceback else f"{type_}: {message}")
        self.type: str = type_
        """Qualified name of the exception's class."""
        self.traceback: str = traceback
        """As Python prints it."""


_CLASSES: dict[str, type[HostError]] = {
    "session_closed": SessionClosed,
    "version_conflict": VersionConflict,
    "invalid_name": InvalidName,
    "too_many_sessions": SessionLimit,
    "too_many_variables": SessionLimit,
    "value_too_large": SessionLimit,
    "session_too_large": SessionLimit,
    "unknown_tool": UnknownHostTool,
    "bad_arguments": BadHostArguments,
    "would_deadlock": WouldDeadlock,
}


def error_of(refusal: work_pb2.Refusal, otherwise: type[HostError]) -> HostError:
    """The exception for a refusal. otherwise: for reasons that have no class of their own."""
    error = _CLASSES.get(refusal.reason, otherwise)(refusal.message, refusal.reason)
    if refusal.HasField("raised"):
        raised = refusal.raised
        error.__cause__ = RemoteError(raised.type, raised.message, raised.traceback)
    return error

"""Records of Python's logging, on their way to the host."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from snakepit import _origin
from snakepit._brief import brief
from snakepit._cancel import let_pass
from snakepit._failure import text_of
from snakepit._protocol import MAX_FIELD_VALUE_BYTES, MAX_TELEMETRY_FIELDS
from snakepit._shield import shielded
from snakepit._telemetry import Gathered, Log

NONE = 100
"""The level from which on no record is wanted."""

_DEFAULT_LEVEL = logging.WARNING  # of the root logger
_BURST = 200
_PER_SECOND = 100.0
_KNOWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_formatter = logging.Formatter()


class _Level(int):
    """A level of the root logger that we have set: another object than any that others set, even if it is equal."""


class Logs:
    """Takes what a handler of the root logger would be given, without being one.

    A handler there would make logging.basicConfig() do nothing, would itself be dropped by dictConfig(), and would keep
    warnings of modules that have not configured anything away from stderr. So the step before the handlers is replaced,
    Logger.callHandlers(), and everything else goes on as before. As with a handler, what a logger's level or filters
    stop does not come here, nor what does not propagate to the root logger.

    Which records are there to be taken is for the module to say: a root logger that has handlers, or another level than
    the default (WARNING), is left as it is. Where nobody has configured logging, the root logger's level follows the
    host's, so that a pool that logs `info` gets what its tools log at that level; handlers of other loggers, and
    stderr, still get nothing below WARNING from those that have no level of their own. During setup() nobody knows the
    host's level yet: it is taken to be INFO, and what is not wanted is forgotten afterwards.

    What comes too fast, at more than 100 records per second after a burst of 200, is left out and counted.
    """

    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered
        self._least: float = NONE
        self._lowered: _Level | None = None
        self._takes = threading.local()
        # Reentrant: a signal handler of the user's may log wherever the main thread is.
        self._lock = threading.RLock()
        self._allowance = float(_BURST)
        self._earned_at = monotonic()

    def install(self) -> None:
        """Begin to take records, before the host has said which."""
        logging.Logger.callHandlers = self._in_place_of(logging.Logger.callHandlers)  # type: ignore[assignment]
        self._least = logging.INFO
        self._follow()

    def welcome(self, least: int) -> None:
        """The host has said which."""
        self.set_level(least)
        self._gathered.keep_logs_from(least)

    def set_level(self, least: int) -> None:
        """Take records from this level on. One thread at a time."""
        self._least = least
        self._follow()

    def _follow(self) -> None:
        """Have the root logger's level follow, if that is for us to say."""
        root = logging.root
        is_ours = self._lowered is not None and root.level is self._lowered
        is_configured = bool(root.handlers) or not (is_ours or root.level == _DEFAULT_LEVEL)
        if not is_configured and self._least < _DEFAULT_LEVEL:
            self._lowered = _Level(self._least)
            root.setLevel(self._lowered)
        elif is_ours:
            root.setLevel(_DEFAULT_LEVEL)

    def _in_place_of(
        self, call_handlers: Callable[[logging.Logger, logging.LogRecord], None]
    ) -> Callable[[logging.Logger, logging.LogRecord], None]:
        @let_pass  # handlers may be slow, and are the user's code
        def take_and_call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
            if record.levelno >= self._least:
                self._take(logger, record)
            if record.levelno < _DEFAULT_LEVEL and self._is_let_in_by_us(logger):
                return
            call_handlers(logger, record)

        return take_and_call_handlers

    def _is_let_in_by_us(self, logger: logging.Logger) -> bool:
        """Whether what the logger has below the default comes through only because we have lowered the root's level."""
        lowered = self._lowered
        if lowered is None or logging.root.level is not lowered:
            return False
        named: logging.Logger | None = logger
        while named is not None and not named.level:
            named = named.parent
        return named is logging.root

    @shielded
    def _take(self, logger: logging.Logger, record: logging.LogRecord) -> None:
        # What we ask for its text may log.
        if getattr(self._takes, "one", False) or not _propagates(logger):
            return
        self._takes.one = True
        try:
            if self._is_allowed():
                self._gathered.add_log(_log_of(record), record.levelno >= logging.ERROR)
            else:
                self._gathered.drop_log()
        except Exception:  # a record of the user's own kind may be anything; whoever logs is not to hear of it
            self._gathered.drop_log()
        finally:
            self._takes.one = False

    def _is_allowed(self) -> bool:
        if self._gathered.is_closed:  # a fork's child: it may have inherited the lock as another thread held it
            return True
        with self._lock:
            now = monotonic()
            self._allowance = min(float(_BURST), self._allowance + (now - self._earned_at) * _PER_SECOND)
            self._earned_at = now
            if self._allowance < 1.0:
                return False
            self._allowance -= 1.0
            return True


def _propagates(logger: logging.Logger) -> bool:
    named: logging.Logger | None = logger
    while named is not None and named is not logging.root:
        named = named.parent if named.propagate else None
    return named is not None


def _log_of(record: logging.LogRecord) -> Log:
    call = _origin.here() or _origin.NONE
    return Log(
        level=max(0, record.levelno),
        logger=str(record.name),
        message=_message_of(record),
        time_us=int(record.created * 1e6),
        call=call.id,
        tool=call.tool,
        trace_id=call.trace_id,
        span_id=call.span_id,
        fields=_fields_of(record),
    )


def _message_of(record: logging.LogRecord) -> str:
    """As a formatter makes it, with the traceback."""
    try:
        parts = [record.getMessage()]
    except Exception as error:  # the arguments do not fit, or do not let themselves be printed
        parts = [f"{text_of(record.msg)} [{type(error).__name__}: {text_of(error)}]"]
    if record.exc_info:
        parts.append(record.exc_text or _formatter.formatException(record.exc_info))
    elif record.exc_text:
        parts.append(record.exc_text)
    if record.stack_info:
        parts.append(record.stack_info)
    return "\n".join(parts)


def _fields_of(record: logging.LogRecord) -> list[tuple[str, str]]:
    """`extra`."""
    extra: list[tuple[Any, Any]] = [item for item in vars(record).items() if item[0] not in _KNOWN]
    return [(text_of(key), brief(value, MAX_FIELD_VALUE_BYTES)) for key, value in extra[:MAX_TELEMETRY_FIELDS]]

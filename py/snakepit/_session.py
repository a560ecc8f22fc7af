"""What a session remembers from call to call, as the host keeps it."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, MutableMapping, ValuesView
from typing import Any, Protocol

from snakepit import _codec
from snakepit._host_errors import SessionClosed, SessionError, error_of
from snakepit.v1 import work_pb2


class Host(Protocol):
    """Who passes a question on."""

    def __call__(self, call_id: int, question: work_pb2.Question) -> work_pb2.Finding:
        """Raises SessionClosed when the call is over."""


class Session(MutableMapping[str, Any]):
    """The variables of the session in which a call runs.

    They live in the host, so each access asks there: many at once take as long as one (get_many(), update_many()).
    Values are what arguments and results of tools may be. What one has written, one reads; others may write at the same
    time, which compare_and_set() notices. Good as long as the call runs, in any of its threads; then every use raises
    SessionClosed, as it does when the session was closed or has expired.
    """

    def __init__(self, key: str, call_id: int, host: Host) -> None:
        self.key: str = key
        """The session's name."""
        self._call_id = call_id
        self._host = host

    # Reading

    def __getitem__(self, name: str) -> Any:
        (variable,) = self._read([name])
        if not variable.HasField("value"):
            raise KeyError(name)
        return _codec.decode(variable.value)

    def get_many(self, names: Iterable[str]) -> dict[str, Any]:
        """Variables as of one moment; those that do not exist are left out."""
        wanted = list(names)
        found = zip(wanted, self._read(wanted))
        return {name: _codec.decode(variable.value) for name, variable in found if variable.HasField("value")}

    def version(self, name: str) -> int:
        """Number of the variable's last change, which only grows; 0: there is no such variable."""
        (variable,) = self._read([name])
        version: int = variable.version
        return version

    def get_with_version(self, name: str) -> tuple[Any, int]:
        """Value and version as of one moment; (None, 0): there is no such variable."""
        (variable,) = self._read([name])
        return (_codec.decode(variable.value), variable.version) if variable.HasField("value") else (None, 0)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.version(name) != 0

    def items(self) -> ItemsView[str, Any]:
        """All variables as of one moment."""
        return self.get_many(self._names()).items()

    def values(self) -> ValuesView[Any]:
        """All values as of one moment."""
        return self.get_many(self._names()).values()

    # Writing

    def __setitem__(self, name: str, value: object) -> None:
        self.set(name, value)

    def set(self, name: str, value: object) -> int:
        """Set a variable; its new version."""
        (version,) = self._write([_change(name, value)])
        return version

    def update_many(self, values: Mapping[str, object]) -> None:
        """Set several variables at one moment: all, or none when one of them cannot be."""
        self._write([_change(name, value) for name, value in values.items()])

    def compare_and_set(self, name: str, expected: int, value: object) -> int:
        """Set a variable if it has the version `expected`, 0: if it does not exist. Its new version.

        Raises VersionConflict.
        """
        change = _change(name, value)
        change.expected = expected
        (version,) = self._write([change])
        return version

    def update(self, *others: Any, **values: object) -> None:
        """As dict.update(), with one question to the host."""
        merged: dict[str, object] = {}
        merged.update(*others, **values)
        self.update_many(merged)

    def __delitem__(self, name: str) -> None:
        if self._write([work_pb2.Change(name=name)])[0] == 0:
            raise KeyError(name)

    def clear(self) -> None:
        """Erase all variables that there are at this moment."""
        self._write([work_pb2.Change(name=name) for name in self._names()])

    # The session itself

    def expire_after(self, seconds: float) -> None:
        """From now on the session expires when it has not been used for so long. 0: never."""
        if not seconds >= 0.0:
            raise ValueError(f"{seconds!r} is not a number of seconds from 0")
        milliseconds = max(1, int(seconds * 1000)) if seconds else 0
        self._ask(work_pb2.Question(expire_after=work_pb2.ExpireAfter(milliseconds=milliseconds)))

    def close(self) -> None:
        """End the session: its variables are gone, and this object is of no more use."""
        self._ask(work_pb2.Question(close=work_pb2.Close()))

    def __repr__(self) -> str:
        return f"<session {self.key!r}>"

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def _read(self, names: list[str]) -> Any:
        return self._ask(work_pb2.Question(read=work_pb2.Read(names=names))).variables

    def _write(self, changes: list[work_pb2.Change]) -> list[int]:
        return list(self._ask(work_pb2.Question(write=work_pb2.Write(changes=changes))).versions)

    def _names(self) -> list[str]:
        return list(self._ask(work_pb2.Question(names=work_pb2.Names())).names)

    def _ask(self, question: work_pb2.Question) -> work_pb2.Finding:
        finding = self._host(self._call_id, question)
        if finding.HasField("refusal"):
            raise error_of(finding.refusal, SessionError)
        return finding


def _change(name: str, value: object) -> work_pb2.Change:
    try:
        return work_pb2.Change(name=name, value=_codec.encode(value, f"session[{name!r}]"))
    except _codec.Unserializable as error:
        raise TypeError(str(error)) from None


# Asked only when a tool wants one.
_provider: Callable[[], Session | None] | None = None


def set_provider(provider: Callable[[], Session | None]) -> None:
    """Name who knows the running call's session."""
    global _provider
    _provider = provider


def session() -> Session:
    """The session of the call that is running now.

    Raises RuntimeError outside of a call, and SessionClosed in a call that was made without a session.
    """
    if _provider is None:
        raise RuntimeError("snakepit.session() works only while a tool runs for a caller")
    found = _provider()
    if found is None:
        raise SessionClosed('this call was made without a session: call_options().session("name")', "no_session")
    return found

"""What a session remembers from call to call, as the host keeps it."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, MutableMapping, ValuesView
from typing import Any, Protocol

from snakepit import _codec
from snakepit._host_errors import SessionClosed, SessionError, error_of
from snakepit._lease import Known, Lease
from snakepit._shield import shielded, shielded_methods
from snakepit.v1 import work_pb2


class Host(Protocol):
    """Who passes questions on."""

    def ask(self, call_id: int, question: work_pb2.Question) -> work_pb2.Finding:
        """Raises SessionClosed when the call is over."""

    def post(self, call_id: int, changes: list[tuple[str, bytes]]) -> None:
        """Have variables set, without an answer. The call's own thread, while it runs."""


@shielded_methods
class Session(MutableMapping[str, Any]):
    """The variables of the session in which a call runs.

    They live in the host. What a tool has read before comes along with its next calls, and is read without asking as
    long as nobody else has changed the session; everything else asks, and many at once take as long as one
    (get_many(), update_many()). What one has written, one reads; others may write at the same time, which
    compare_and_set() notices.

    Assignments are not waited for while the session has room and nobody else changes it: they are made before the
    call's caller has its reply, and in order. Should one be refused after all, because others have changed the session
    at the same moment, then the call fails. What raises at once in any case is set().

    Values are what arguments and results of tools may be. Good as long as the call runs, in any of its threads; then
    every use raises SessionClosed, as it does when the session was closed or has expired.
    """

    def __init__(self, key: str, call_id: int, host: Host, lease: Lease | None = None) -> None:
        self.key: str = key
        """The session's name."""
        self._call_id = call_id
        self._host = host
        self._lease = lease

    # Reading

    def __getitem__(self, name: str) -> Any:
        ((value, version),) = self._read([name])
        if version == 0:
            raise KeyError(name)
        return _codec.decode(value)

    def get_many(self, names: Iterable[str]) -> dict[str, Any]:
        """Variables as of one moment; those that do not exist are left out."""
        wanted = list(names)
        found = zip(wanted, self._read(wanted))
        return {name: _codec.decode(value) for name, (value, version) in found if version != 0}

    def version(self, name: str) -> int:
        """Number of the variable's last change, which only grows; 0: there is no such variable."""
        ((_, version),) = self._read([name], True)
        assert version is not None
        return version

    def get_with_version(self, name: str) -> tuple[Any, int]:
        """Value and version as of one moment; (None, 0): there is no such variable."""
        ((value, version),) = self._read([name], True)
        assert version is not None
        return (_codec.decode(value), version) if version else (None, 0)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._read([name])[0][1] != 0

    def items(self) -> ItemsView[str, Any]:
        """All variables as of one moment."""
        return self.get_many(self._names()).items()

    def values(self) -> ValuesView[Any]:
        """All values as of one moment."""
        return self.get_many(self._names()).values()

    # Writing

    def __setitem__(self, name: str, value: object) -> None:
        self._put({name: value})

    def set(self, name: str, value: object) -> int:
        """Set a variable, and wait until it is; its new version."""
        (version,) = self._write([work_pb2.Change(name=name, value=_encode(name, value))])
        return version

    def update_many(self, values: Mapping[str, object]) -> None:
        """Set several variables at one moment: all, or none when one of them cannot be."""
        self._put(values)

    def compare_and_set(self, name: str, expected: int, value: object) -> int:
        """Set a variable if it has the version `expected`, 0: if it does not exist. Its new version.

        Raises VersionConflict.
        """
        (version,) = self._write([work_pb2.Change(name=name, value=_encode(name, value), expected=expected)])
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

    def _read(self, names: list[str], with_versions: bool = False) -> list[Known]:
        known = self._lease.find(names) if self._lease is not None else None
        if known is not None and not (with_versions and any(version is None for _, version in known)):
            return known
        found = self._ask(work_pb2.Question(read=work_pb2.Read(names=names))).variables
        return [(v.value, v.version) for v in found]

    def _put(self, values: Mapping[str, object]) -> None:
        encoded = [(name, _encode(name, value)) for name, value in values.items()]
        if self._lease is not None and self._lease.may_write(encoded):
            self._host.post(self._call_id, encoded)
            self._lease.wrote(encoded)
        else:
            self._write([work_pb2.Change(name=name, value=value) for name, value in encoded])

    def _write(self, changes: list[work_pb2.Change]) -> list[int]:
        return list(self._ask(work_pb2.Question(write=work_pb2.Write(changes=changes))).versions)

    def _names(self) -> list[str]:
        return list(self._ask(work_pb2.Question(names=work_pb2.Names())).names)

    def _ask(self, question: work_pb2.Question) -> work_pb2.Finding:
        finding = self._host.ask(self._call_id, question)
        if finding.HasField("refusal"):
            raise error_of(finding.refusal, SessionError)
        return finding


def _encode(name: str, value: object) -> bytes:
    try:
        return _codec.encode(value, f"session[{name!r}]")
    except _codec.Unserializable as error:
        raise TypeError(str(error)) from None


# Asked only when a tool wants one.
_provider: Callable[[], Session | None] | None = None


def set_provider(provider: Callable[[], Session | None]) -> None:
    """Name who knows the running call's session."""
    global _provider
    _provider = provider


@shielded
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

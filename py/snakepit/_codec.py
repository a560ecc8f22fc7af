"""Values as MessagePack bytes, and back."""

from __future__ import annotations

import math
import threading
from typing import Any, NoReturn

import msgpack

from snakepit import _arrays
from snakepit._refusal import BYTE_FORMATS, MAX_DEPTH, find_refused

# Results of up to this size are looked through for keys that are no text, for nesting between our limit and the
# packer's, and for buffers that are more than bytes; a walk in Python costs as much as packing. What larger ones hide
# is refused by the host, with the path; but not such buffers, so larger ones of few parts are looked through too.
_WALK_BYTES = 16 * 1024
_WALK_PARTS = 256

_CONTAINERS = frozenset((dict, list, tuple))
_FOREIGN = frozenset((msgpack.Timestamp, msgpack.ExtType))  # the packer and unpacker let them pass by themselves
_SINGLE = _FOREIGN | {memoryview}
_LOOKED_INTO = _CONTAINERS | _SINGLE
_disjoint = _LOOKED_INTO.isdisjoint
_join = "".join

# Bytes that begin a map or an array in MessagePack; all else is deleted to count them.
_NOT_HEADERS = bytes(b for b in range(256) if not (0x80 <= b <= 0x9F or 0xDC <= b <= 0xDF))
_COUNT_BYTES = 1024 * 1024


class Unserializable(Exception):
    """A value that cannot travel. The text begins with the path inside it."""


class Undecodable(Exception):
    """Bytes that are no value."""


class _Refused(Exception):
    """Ends the packer; the path is found afterwards."""


def _pack_other(value: object) -> object:
    if _arrays.is_array(value):
        return msgpack.ExtType(_arrays.ARRAY_EXT_CODE, _pack_plain(_arrays.take_apart(value)))
    if _arrays.is_scalar(value):
        return _arrays.plain_scalar(value)
    raise _Refused


def _new_packer() -> Any:
    return msgpack.Packer(default=_pack_other, use_bin_type=True, autoreset=True)


class _Packers(threading.local):
    """One for each thread: a packer calls Python back, and another thread may be given its turn then."""

    idle: Any = None
    """None while it packs, and when it has failed, at whatever moment that was."""

    def pack(self, value: object) -> Any:
        packer, self.idle = self.idle or _new_packer(), None
        packed = packer.pack(value)
        self.idle = packer
        return packed


_packer = _new_packer()
_pack = _packer.pack


def use_in_threads() -> None:
    """From now on, several may encode at once."""
    global _pack
    _pack = _Packers().pack


def _pack_plain(parts: object) -> bytes:
    # Not the shared packer: it is in the middle of the value that holds this array.
    packed: bytes = msgpack.packb(parts, use_bin_type=True)
    return packed


def encode(value: object, root: str = "result") -> bytes:
    """The bytes of a value. Raises Unserializable; `root` begins the path in its text."""
    try:
        packed: bytes = _pack(value)
    except BaseException as error:
        _fresh_packer()
        if isinstance(error, MemoryError) or not isinstance(error, Exception):
            raise
        _refuse(value, root, error)
    if type(value) in _LOOKED_INTO:
        # No value has more parts than bytes.
        if not _is_plain(value, _WALK_BYTES if len(packed) <= _WALK_BYTES else _WALK_PARTS):
            _refuse(value, root, None)
    return packed


def _fresh_packer() -> None:
    # A packer that failed may keep what it had written, depending on its version.
    global _packer, _pack
    if _pack == _packer.pack:  # else each thread sees to its own
        _packer = _new_packer()
        _pack = _packer.pack


def _refuse(value: object, root: str, error: Exception | None) -> NoReturn:
    reason = find_refused(value, root)
    if reason is None:
        reason = f"{root}: {error}"
    raise Unserializable(reason) from None


def _is_plain(value: Any, most_parts: float = math.inf) -> bool:
    """No key but text, no foreign types, and not nested too deeply. Level by level: recursion costs more.

    Values of more than `most_parts` parts are believed to be, wherever the walk has got to.
    """
    if type(value) in _SINGLE:
        return _is_bytes(value)
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for container in level:
            most_parts -= len(container)
            if most_parts < 0:
                return True
            if isinstance(container, dict):
                try:
                    _join(container)  # the quickest way to ask whether all keys are text
                except TypeError:
                    return False
                container = container.values()
            if not _disjoint(map(type, container)):
                inner = [part for part in container if type(part) in _LOOKED_INTO]
                if not _SINGLE.isdisjoint(map(type, inner)):
                    if not all(_is_bytes(part) for part in inner if type(part) in _SINGLE):
                        return False
                    inner = [part for part in inner if type(part) in _CONTAINERS]
                below += inner
        if not below:
            return True
        level = below
    return False


def _is_bytes(single: Any) -> bool:
    return type(single) is memoryview and single.format in BYTE_FORMATS


def _unpack_ext(code: int, data: bytes) -> Any:
    if code != _arrays.ARRAY_EXT_CODE:
        raise Undecodable(f"MessagePack extension type {code} is unknown")
    parts = _unpack_plain(data)
    if not isinstance(parts, list) or len(parts) != 3:
        raise Undecodable("an array must be [dtype, shape, data]")
    try:
        return _arrays.put_together(*parts)
    except _arrays.ArrayError as error:
        raise Undecodable(str(error)) from None


def _no_ext(code: int, data: bytes) -> NoReturn:
    raise Undecodable("an array holds another extension type")


def _unpack_plain(data: bytes) -> Any:
    return msgpack.unpackb(data, raw=False, strict_map_key=True, ext_hook=_no_ext)


_unpackb = msgpack.unpackb


def decode(data: bytes | bytearray) -> Any:
    """The value in `data`. Raises Undecodable, whatever the bytes are. Limits follow the size of `data`."""
    try:
        value = _unpackb(data, raw=False, strict_map_key=True, ext_hook=_unpack_ext)
    except Undecodable:
        raise
    except MemoryError:
        raise
    except RecursionError:
        raise Undecodable(f"nested more than {MAX_DEPTH} deep") from None
    except msgpack.StackError:
        raise Undecodable(f"nested more than {MAX_DEPTH} deep") from None
    except msgpack.ExtraData:
        raise Undecodable("bytes are left over behind the value") from None
    except Exception as error:  # what the extension raises differs between its versions
        raise Undecodable(f"not MessagePack: {type(error).__name__}: {error}") from None
    kind = type(value)
    if kind not in _LOOKED_INTO or (kind is list and len(data) <= MAX_DEPTH and b"\xff" not in data):
        return value  # as _may_be_strange() would find, for what most calls bring
    if (_may_be_strange(data) or not _has_text_keys(value)) and not _is_plain(value):
        raise Undecodable(find_refused(value, "arguments") or "arguments that cannot travel")
    return value


def _has_text_keys(value: object) -> bool:
    # The unpacker lets keys of bytes pass. Only on top do they matter, where keys are the names of parameters.
    if type(value) is dict:
        try:
            _join(value)
        except TypeError:
            return False
    return True


def _may_be_strange(data: bytes | bytearray) -> bool:
    """Whether the value must be walked: cheap, and false for most."""
    size = len(data)
    if size > _COUNT_BYTES:
        return True
    if size > MAX_DEPTH and len(data.translate(None, _NOT_HEADERS)) > MAX_DEPTH:
        return True  # as many containers as a value needs to be nested too deeply
    # Time stamps are extension type -1, of 4, 8 or 12 bytes; the unpacker makes them without asking.
    return b"\xff" in data and (b"\xd6\xff" in data or b"\xd7\xff" in data or b"\xc7\x0c\xff" in data)

"""What Python code of a worker prints: every line says which call it comes from, and no line is waited for.

The tag is the byte 0x1D, the call's id, ";", its tool, ";", its trace (32 hex digits, or nothing), 0x1D. The host takes
it off. Lines from outside of calls, and whatever is written to the descriptor by others, have none.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import select
import stat
import sys
import threading
from contextlib import suppress
from typing import Any

from snakepit import _origin
from snakepit._origin import Origin
from snakepit._shield import shielded

_LONGEST = 8 * 1024  # bytes of a line that has not ended, until it is written all the same
_F_SETPIPE_SZ = 1031  # linux/fcntl.h; the constant is missing from some builds of the fcntl module
_PIPE_BYTES = 256 * 1024
_SEPARATORS = str.maketrans("\x1d;\n", "???")


class HostPipe(io.FileIO):
    """The descriptor of a stream, written to without ever waiting while it is the pipe from which the host reads.

    What there is no room for is left out, in whole lines, and "(N lines left out)" is written once there is some. The
    descriptor itself stays as it is: children have it too, and expect to wait. If somebody puts another file in its
    place, that is written to as any other.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.begin_anew()
        self.follow()

    def follow(self) -> None:
        """The descriptor is what the host has given, from now on."""
        self._identity: tuple[int, int] | None = None
        with suppress(OSError):  # there is none
            status = os.fstat(self.fileno())
            if stat.S_ISFIFO(status.st_mode):
                self._identity = status.st_dev, status.st_ino

    def begin_anew(self) -> None:
        """In another process: what the parent had not written is the parent's to write."""
        # Reentrant: a signal handler of the user's may print wherever the main thread is.
        self._lock = threading.RLock()
        # Not the parent's: it may have been in use by another thread, and would say so forever.
        self._poll = select.poll()
        if not self.closed:
            self._poll.register(self.fileno(), select.POLLOUT)
        self._ends_inside_line = False  # what is in the pipe
        self._skips_line = False  # its beginning has not been written, or not all of what came after that
        self._left_out = 0
        self._waits_for_room = False
        self._is_enlarged = False
        self.is_inside_line = False
        """Whether what was written here, or left out, ends in the middle of a line."""

    def is_the_hosts(self) -> bool:
        """Whether the host reads what is written here."""
        if self._identity is None:
            return False
        try:
            status = os.fstat(self.fileno())
        except OSError:  # closed
            return False
        return (status.st_dev, status.st_ino) == self._identity

    def write(self, data: Any, /) -> int:
        if not self.is_the_hosts():
            return super().write(data)
        text = bytes(data)
        if text:
            self.put(text)
        return len(text)

    def put(self, text: bytes) -> None:
        """Write to the host, which is the one to read here: whoever calls has looked."""
        with self._lock:
            self._put(text)
            self.is_inside_line = not text.endswith(b"\n")

    def put_elsewhere(self, data: bytes) -> None:
        """Write all of it to what is not the host's, as any stream does."""
        left = memoryview(data)
        while left:
            written = super().write(left)
            if written is None:  # the descriptor does not wait
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), len(data) - len(left))
            left = left[written:]

    def _put(self, text: bytes) -> None:
        if self._skips_line:
            end = text.find(b"\n") + 1
            if not end:
                return
            self._skips_line = False
            text = text[end:]
        while text and (not self._left_out or self._tell_left_out()) and (self._poll.poll(0) or self._has_room()):
            size = len(text)
            if size > select.PIPE_BUF:
                size = text.rfind(b"\n", 0, select.PIPE_BUF) + 1 or select.PIPE_BUF
            self._write_now(text[:size])
            text = text[size:]
        if text:
            self._leave_out(text)

    def _leave_out(self, text: bytes) -> None:
        self._skips_line = not text.endswith(b"\n")
        self._left_out += text.count(b"\n") + self._skips_line
        if not self._waits_for_room:
            self._waits_for_room = True
            with suppress(RuntimeError):  # no more threads: then the next line tells
                threading.Thread(target=self._wait_for_room, name="snakepit-output", daemon=True).start()

    def _wait_for_room(self) -> None:
        with suppress(OSError, ValueError):  # nobody reads any more, or the stream is closed
            room = select.poll()
            room.register(self.fileno(), select.POLLOUT)
            while True:
                room.poll()
                with self._lock:
                    if self._tell_left_out():
                        self._waits_for_room = False
                        return
        self._waits_for_room = False

    def _tell_left_out(self) -> bool:
        """Whether nothing is missing that has not been told."""
        if self._left_out:
            if not self._has_room():
                return False
            end_of_line = "\n" if self._ends_inside_line else ""
            self._write_now(f"{end_of_line}({self._left_out} lines left out)\n".encode())
            self._left_out = 0
        return True

    def _has_room(self) -> bool:
        """For so much as a write to a pipe takes as one."""
        if self._poll.poll(0):
            return True
        if self._is_enlarged:
            return False
        # Not before it is needed: what all of a user's pipes may have together is limited.
        self._is_enlarged = True
        with suppress(OSError):
            fcntl.fcntl(self.fileno(), _F_SETPIPE_SZ, _PIPE_BYTES)
        return bool(self._poll.poll(0))

    def _write_now(self, text: bytes) -> None:
        os.write(self.fileno(), text)
        self._ends_inside_line = not text.endswith(b"\n")


class _Bytes(io.BufferedIOBase):
    """What TaggedOutput has as its `buffer`, for those who write bytes.

    Not io.BufferedWriter: its lock stays locked in a child that is forked while another thread writes, and it refuses
    what a signal handler prints meanwhile.
    """

    raw: HostPipe

    def __init__(self, pipe: HostPipe) -> None:
        self.raw = pipe
        self.name = pipe.name
        self.mode = pipe.mode
        self.begin_anew()

    def begin_anew(self) -> None:
        """See HostPipe."""
        self._lock = threading.RLock()
        self.kept = bytearray()
        """What was written and not flushed."""

    def writable(self) -> bool:
        return self.raw.writable()

    def fileno(self) -> int:
        return self.raw.fileno()

    def isatty(self) -> bool:
        return self.raw.isatty()

    @property
    def closed(self) -> bool:
        return self.raw.closed

    @shielded
    def write(self, data: Any, /) -> int:
        if self.closed:
            raise ValueError("write to closed file")
        size = memoryview(data).nbytes
        with self._lock:
            self.kept += data
            if len(self.kept) > _LONGEST:
                self._write_kept()
        return size

    @shielded
    def flush(self) -> None:
        if self.closed:
            raise ValueError("flush of closed file")
        if self.kept:
            with self._lock:
                self._write_kept()

    def close(self) -> None:
        if not self.closed:
            try:
                self.flush()
            finally:
                self.raw.close()

    def _write_kept(self) -> None:
        nothing = bytearray()
        kept, self.kept = self.kept, nothing  # no call in between: a signal handler that prints flushes too
        data = bytes(kept)
        if self.raw.is_the_hosts():
            self.raw.put(data)
        else:
            self.raw.put_elsewhere(data)


class TaggedOutput(io.TextIOWrapper):
    """sys.stdout or sys.stderr of a worker: an ordinary text stream, whose lines are tagged on their way.

    A line is written when it ends, when it is flushed, and when it is long; until then its pieces are kept, apart for
    each call, so that calls that run at once do not mix their lines. Of a line that was flushed before its end the rest
    is a line of its own, if another call's text has come between.
    """

    def __init__(self, replaced: io.TextIOWrapper, descriptor: int) -> None:
        pipe = HostPipe(descriptor)
        pipe.name = replaced.name
        self._bytes = _Bytes(pipe)
        super().__init__(
            self._bytes,  # type: ignore[arg-type]  # any io.BufferedIOBase does
            encoding=replaced.encoding,
            errors=replaced.errors,
            newline="\n",
            line_buffering=True,
            write_through=replaced.write_through,
        )
        self.mode = "w"  # type: ignore[misc]  # as Python itself does
        self.pipe = pipe
        self.begin_anew()

    def begin_anew(self) -> None:
        """See HostPipe."""
        self.pipe.begin_anew()
        self._bytes.begin_anew()
        self._lock = threading.RLock()
        self._begun: dict[int, tuple[Origin, bytes]] = {}  # lines, by the call's id
        self._open: int | None = None  # id of the call whose line has been written without its end
        self._last_tag: tuple[Origin, bytes] = _origin.NONE, b""

    @shielded
    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if not text:
            return 0  # print() writes an empty `end` too
        data = text.encode(self.encoding, self.errors or "strict")
        call = _origin.here() or _origin.NONE
        with self._lock:
            begun = self._begun.pop(call.id, None)
            if begun is not None:
                data = begun[1] + data
            end = len(data) if self.write_through or len(data) > _LONGEST else data.rfind(b"\n") + 1
            if end < len(data):
                self._begun[call.id] = call, data[end:]
            if end:
                self._write_lines(call, data[:end])
        return len(text)

    @shielded
    def flush(self) -> None:
        """Write this call's line, as far as it is there; outside of calls, all lines."""
        call = _origin.here()
        with self._lock:
            for begun, data in list(self._begun.values()):
                if call is None or begun.id == call.id or _origin.has_ended(begun.id):
                    self._begun.pop(begun.id, None)
                    self._put(begun, data)
        super().flush()

    def _write_lines(self, call: Origin, data: bytes) -> None:
        if self._begun:
            self._write_what_ended_calls_have_begun(call)
        self._put(call, data)

    def _write_what_ended_calls_have_begun(self, call: Origin) -> None:
        for begun, rest in list(self._begun.values()):
            if begun.id not in (0, call.id) and _origin.has_ended(begun.id):
                self._begun.pop(begun.id, None)
                self._put(begun, rest)

    def _put(self, call: Origin, data: bytes) -> None:
        # Past `buffer`, in which there is only what others have written there before.
        if self._bytes.kept:
            self._bytes.flush()
        is_the_hosts = self.pipe.is_the_hosts()
        if is_the_hosts:
            data = self._tagged(call, data)
        self._open = None if data.endswith(b"\n") else call.id
        if is_the_hosts:
            self.pipe.put(data)
        else:
            self.pipe.put_elsewhere(data)

    def _tag(self, call: Origin) -> bytes:
        if not call.id:
            return b""
        last, tag = self._last_tag
        if last is not call:
            tool = call.tool.translate(_SEPARATORS)
            tag = f"\x1d{call.id};{tool};{call.trace_id}\x1d".encode("utf-8", "replace")
            self._last_tag = call, tag
        return tag

    def _tagged(self, call: Origin, data: bytes) -> bytes:
        tag = self._tag(call)
        if not self.pipe.is_inside_line:
            begin = tag
        else:
            # A line that others have begun, in another way, is theirs to end.
            begin = b"" if self._open in (None, call.id) else b"\n" + tag
        last = len(data) - 1
        if not tag or data.find(b"\n") in (-1, last):  # one line
            return begin + data
        return begin + data[:last].replace(b"\n", b"\n" + tag) + data[last:]


_pipes: dict[int, HostPipe] = {}  # by their descriptors


def install() -> None:
    """Replace this process's stdout and stderr. For a process that the host has started, before the user's code."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and "\x1d\n".encode(stream.encoding) == b"\x1d\n":
            tagged = TaggedOutput(stream, descriptor)
            _pipes[descriptor] = tagged.pipe
            setattr(sys, name, tagged)
            setattr(sys, f"__{name}__", tagged)
            os.register_at_fork(after_in_child=tagged.begin_anew)


def follow(descriptor: int) -> None:
    """The host has put another pipe in the place of this process's stdout (1) or stderr (2)."""
    # Not that of sys.stdout: the user's module may have put something around it.
    pipe = _pipes.get(descriptor)
    if pipe is not None and not pipe.closed:
        pipe.follow()

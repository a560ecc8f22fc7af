"""The parent of all workers of one pool: single-threaded, starts them on request, tells how they end."""

from __future__ import annotations

import argparse
import ctypes
import errno
import fcntl
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

from snakepit import _probe

_PACKET_BYTES = 64 * 1024
_PR_SET_CHILD_SUBREAPER = 36
_PASSED = ("launch", "life line", "stdout", "stderr")
_ADOPTED_SECONDS = 5.0  # between two looks for zombies that workers have left to us
_EXIT_NO_EXEC = 127


class _BadRequest(Exception):
    """A packet that is no request."""


class Launcher:
    """Serves one socket until its other end closes."""

    def __init__(self, host: socket.socket) -> None:
        self._host = host
        self._selector = selectors.DefaultSelector()
        self._selector.register(host, selectors.EVENT_READ)
        self._children: dict[int, tuple[Any, int]] = {}  # pid: (request id, pidfd)
        self._boot = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_boot.py")

    def serve(self) -> None:
        """Return when the host is gone, with every descendant ended."""
        try:
            while True:
                ready = {key.fd for key, _ in self._selector.select(_ADOPTED_SECONDS if self._children else None)}
                # Ends first: their pids must be told before the kernel gives them to new workers.
                self._reap()
                if self._host.fileno() in ready and not self._take_packet():
                    break
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.ECONNRESET):
                raise
        finally:
            self._end_all()

    def _take_packet(self) -> bool:
        packet, descriptors, _, _ = socket.recv_fds(self._host, _PACKET_BYTES, len(_PASSED) + 1)
        if not packet and not descriptors:
            return False
        request_id: Any = None
        try:
            request = _parse(packet)
            request_id = request["id"]
            self._spawn(request, descriptors)
        except (_BadRequest, OSError) as error:
            self._tell({"failed": request_id, "message": str(error)})
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True

    def _spawn(self, request: dict[str, Any], descriptors: list[int]) -> None:
        if request.get("op") != "spawn":
            raise _BadRequest(f"unknown op {str(request.get('op'))[:40]!r}")
        if len(descriptors) != len(_PASSED):
            raise _BadRequest(f"{len(descriptors)} descriptors came; needed are {', '.join(_PASSED)}")
        arguments = [sys.executable, self._boot, "worker", "--launch-fd", "3", "--life-line-fd", "4"]
        pid = os.fork()
        if pid == 0:
            _become_worker(arguments, descriptors)
        with suppress(OSError):  # the child does it too: whoever comes first
            os.setpgid(pid, pid)
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:  # out of descriptors: nobody could watch it
            os.kill(pid, signal.SIGKILL)
            raise
        self._children[pid] = (request["id"], pidfd)
        self._selector.register(pidfd, selectors.EVENT_READ)
        self._tell({"spawned": request["id"], "pid": pid}, pidfd)

    def _reap(self) -> None:
        """Collect who has ended: workers, whose ends are told, and orphans that they have left to us."""
        while True:
            try:
                ended: Any = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            pid = ended.si_pid
            if pid in self._children:
                # While the worker is a zombie its group's number cannot be anybody else's.
                _kill_group(pid)
            _, status = os.waitpid(pid, 0)
            if pid in self._children:
                request_id, pidfd = self._children.pop(pid)
                self._selector.unregister(pidfd)
                os.close(pidfd)
                self._tell({"exited": request_id, "pid": pid, "status": status})

    def _tell(self, message: dict[str, Any], *descriptors: int) -> None:
        socket.send_fds(self._host, [json.dumps(message).encode()], descriptors, socket.MSG_NOSIGNAL)

    def _end_all(self) -> None:
        for pid in self._children:
            _kill_group(pid)
        # As subreaper we inherit what the workers leave, also processes that have left their group.
        while True:
            for pid in _own_children():
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                return


def main(arguments: Sequence[str]) -> NoReturn:
    """Entry point; ends the process."""
    parser = argparse.ArgumentParser(prog="snakepit launcher", description=__doc__)
    parser.add_argument("--fd", type=int, required=True)
    host_descriptor = parser.parse_args(arguments).fd
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the host's to handle
    _close_all_but(0, 1, 2, host_descriptor)
    os.set_inheritable(host_descriptor, False)
    with suppress(OSError):
        os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    found = _probe.look()
    with socket.socket(fileno=host_descriptor) as host:
        try:
            host.send(json.dumps(found).encode(), socket.MSG_NOSIGNAL)
        except OSError:  # the host went away while we were looking
            sys.exit(0)
        if "unfit" in found:
            sys.exit(_probe.EXIT_UNFIT)
        Launcher(host).serve()
    sys.exit(0)


def _parse(packet: bytes) -> dict[str, Any]:
    try:
        request = json.loads(packet)
    except (ValueError, RecursionError) as error:
        raise _BadRequest(f"not JSON: {error}") from None
    if not isinstance(request, dict) or not isinstance(request.get("id"), int):
        raise _BadRequest("a request is a map with an id")
    return request


def _become_worker(arguments: list[str], descriptors: list[int]) -> NoReturn:
    """In the child, until exec. Nothing may get out of here."""
    try:
        os.setpgid(0, 0)
        null = os.open(os.devnull, os.O_RDONLY)
        launch, life_line, out, err = descriptors
        # Out of the way first: what came may already have the numbers that are wanted.
        for number, source in enumerate([_high(fd) for fd in (null, out, err, launch, life_line)]):
            os.dup2(source, number)
        _close_all_but(0, 1, 2, 3, 4)
        for number in range(1, signal.NSIG):
            with suppress(OSError, ValueError):  # SIGKILL, SIGSTOP, and those that libc keeps for itself
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execv(arguments[0], arguments)
    except BaseException as error:
        with suppress(BaseException):
            os.write(2, f"snakepit launcher: cannot start {arguments[0]}: {error}\n".encode())
    finally:
        os._exit(_EXIT_NO_EXEC)


def _close_all_but(*kept: int) -> None:
    # Not os.closerange() up to the limit: that can be a thousand million, one call each before Python 3.10.
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            with suppress(OSError):  # the one that listed the directory
                os.close(int(name))


def _high(descriptor: int) -> int:
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 16)


def _kill_group(pid: int) -> None:
    with suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


def _own_children() -> list[int]:
    own = os.getpid()
    children: list[int] = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as stat:
                parent = int(stat.read().rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):  # it has ended meanwhile
            continue
        if parent == own:
            children.append(int(name))
    return children

"""The parent of all workers of one pool: single-threaded, starts processes on request, tells how they end."""

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
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from snakepit import _grpc_settings, _probe, _requests, _strays, _zygote

_PR_SET_CHILD_SUBREAPER = 36
_ORPHAN_SECONDS = 5.0  # between two looks for zombies that nobody watches
_EXIT_NO_START = 127


class Launcher:
    """Serves one socket until its other end closes."""

    def __init__(self, host: socket.socket) -> None:
        self._host = host
        self._selector = selectors.DefaultSelector()
        self._selector.register(host, selectors.EVENT_READ)
        self._watched: dict[int, Any] = {}  # pidfd: id of the request
        self._orphans: set[int] = set()  # zombies at the last look that nobody watched
        self._boot = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_boot.py")

    def serve(self) -> None:
        """Return when the host is gone, with every descendant ended."""
        try:
            next_look = 0.0
            while True:
                # Not for as long again after each event: the looks would be up to twice as far apart.
                rest = max(0.0, next_look - time.monotonic())
                events = self._selector.select(rest if self._watched else None)
                ready = {key.fd for key, _ in events}
                # Ends first: their pids must be told before the kernel gives them to new workers.
                for pidfd in ready & self._watched.keys():
                    self._tell_end(pidfd)
                if time.monotonic() >= next_look:
                    self._reap_orphans()
                    next_look = time.monotonic() + _ORPHAN_SECONDS
                if self._host.fileno() in ready and not _requests.take(self._host, self._obey):
                    break
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.ECONNRESET):
                raise
        finally:
            _end_all()

    def _obey(self, request: dict[str, Any], descriptors: list[int]) -> None:
        if request.get("op") == "watch":
            _requests.check_passed(descriptors, ("pidfd",))
            self._watch(request["id"], descriptors[0])
            descriptors.clear()
        else:
            self._start(request, descriptors)

    def _start(self, request: dict[str, Any], descriptors: list[int]) -> None:
        ways = {"spawn": self._exec_worker, "zygote": _zygote.main}
        try:
            become = ways[request["op"]]
        except (KeyError, TypeError):
            raise _requests.unknown(request) from None
        _requests.check_passed(descriptors)
        pid = os.fork()
        if pid == 0:
            self._be_child(descriptors, become)
        with suppress(OSError):  # the child does it too: whoever comes first
            os.setpgid(pid, pid)
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:  # out of descriptors: nobody could watch it
            os.kill(pid, signal.SIGKILL)
            raise
        self._watch(request["id"], pidfd)
        _requests.tell(self._host, {"spawned": request["id"], "pid": pid}, pidfd)

    def _watch(self, request_id: int, pidfd: int) -> None:
        self._selector.register(pidfd, selectors.EVENT_READ)
        self._watched[pidfd] = request_id

    def _tell_end(self, pidfd: int) -> None:
        request_id = self._watched.pop(pidfd)
        self._selector.unregister(pidfd)
        status = None
        with suppress(OSError):  # it was not our child
            ended = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is not None:
                # While the worker is a zombie its group's number cannot be anybody else's.
                _kill_group(ended.si_pid)
                mark = _strays.of(ended.si_pid)
                if mark is not None:
                    _strays.end(mark)
                _, status = os.waitpid(ended.si_pid, 0)
                self._orphans.discard(ended.si_pid)
        os.close(pidfd)
        _requests.tell(self._host, {"exited": request_id, "status": status})

    def _reap_orphans(self) -> None:
        """Collect what workers have left to us, at the second look: a worker that has just been forked and has died
        at once is still to be watched."""
        dead: set[int] = set()
        with suppress(ChildProcessError):
            if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                dead = {pid for pid, state in _own_children() if state == "Z"}
        for pid in dead & self._orphans:
            os.waitpid(pid, 0)
        self._orphans = dead - self._orphans

    def _be_child(self, descriptors: list[int], become: Callable[[], NoReturn]) -> NoReturn:
        """Nothing may get out of here."""
        try:
            os.setpgid(0, 0)
            # What is the launcher's: the objects go now, not when their descriptors' numbers have new owners.
            self._selector.close()
            self._host.detach()
            null = os.open(os.devnull, os.O_RDONLY)
            launch, life_line, page, out, err = descriptors
            # Out of the way first: what came may already have the numbers that are wanted.
            for number, source in enumerate([_high(fd) for fd in (null, out, err, launch, life_line, page)]):
                os.dup2(source, number)
            _close_all_but(0, 1, 2, 3, 4, 5)
            signal.signal(signal.SIGINT, signal.default_int_handler)  # as when Python starts
            become()
        except BaseException as error:
            with suppress(BaseException):
                os.write(2, f"snakepit launcher: cannot start a process: {error}\n".encode())
        finally:
            os._exit(_EXIT_NO_START)

    def _exec_worker(self) -> NoReturn:
        passed = ("--launch-fd", "3", "--life-line-fd", "4", "--page-fd", "5")
        arguments = [sys.executable, self._boot, "worker", *passed]
        for number in range(1, signal.NSIG):
            with suppress(OSError, ValueError):  # SIGKILL, SIGSTOP, and those that libc keeps for itself
                signal.signal(number, signal.SIG_DFL)
        os.execve(arguments[0], arguments, _grpc_settings.environment_without())


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
    _grpc_settings.put()  # before the probe imports grpc, for the zygote and its workers
    found = _probe.look()
    sys.stdout.flush()  # or every process that is forked says it again
    with socket.socket(fileno=host_descriptor) as host:
        try:
            host.send(json.dumps(found).encode(), socket.MSG_NOSIGNAL)
        except OSError:  # the host went away while we were looking
            sys.exit(0)
        if "unfit" in found:
            sys.exit(_probe.EXIT_UNFIT)
        Launcher(host).serve()
    sys.exit(0)


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


def _own_children() -> list[tuple[int, str]]:
    """(pid, state) of each."""
    own = os.getpid()
    children: list[tuple[int, str]] = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", errors="replace") as stat:
                state, parent = stat.read().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):  # it has ended meanwhile
            continue
        if int(parent) == own:
            children.append((int(name), state))
    return children


def _end_all() -> None:
    # As subreaper we inherit what the workers leave, also processes that have left their group.
    while True:
        for pid, _ in _own_children():
            _kill_group(pid)
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
            while os.waitpid(-1, os.WNOHANG)[0]:  # all that are there: a look at /proc for each would take seconds
                pass
        except ChildProcessError:
            return

"""Imports the user's module once, and forks workers that have it.

Between zygote and worker there is a process that ends at once: so the worker becomes a child of the launcher, the
nearest subreaper, which tells how it ended, also when the zygote has died.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import sys
import threading
import time
import warnings
from contextlib import suppress
from types import ModuleType
from typing import Any, NoReturn

from snakepit import _after_fork, _grpc_settings, _life_line, _output, _requests, _worker
from snakepit._failure import describe
from snakepit._launch import Launch, failure_report
from snakepit._leave import leave
from snakepit._module import import_module
from snakepit._protocol import EXIT_BROKEN, EXIT_START

_ORDER_BYTES = 256 * 1024
_AT_ONCE = 32
_LINGER_SECONDS = 0.1  # how long the kernel may show a thread that has ended
_LAUNCH, _LIFE_LINE, _PAGE = 3, 4, 5  # the numbers under which a process is born with them, zygote and worker alike

# grpcio imports these when the first channel is made: more than 1 MB in each worker that does not have them before.
_IMPORTED_BY_CHANNELS = ("grpc._channel", "grpc.experimental")

_Request = tuple[int, list[int]]  # its id, its descriptors


def main() -> NoReturn:
    """The whole life of the process, from the launcher's fork on."""
    _worker.prepare_process(_LAUNCH, _LIFE_LINE, _PAGE)
    code = EXIT_BROKEN
    last_words: str | BaseException = ""
    try:
        host = socket.socket(fileno=_LAUNCH)
        streams = {number: _identity(number) for number in (1, 2)}
        try:
            module = _import(host.recv(_ORDER_BYTES))
        except _worker.StartFailed as failure:
            code = EXIT_START
            host.send(failure_report(failure.stage, describe(failure.cause)))
        else:
            code = 0
            unsafe = _why_not_to_fork(module.__name__)
            if unsafe:
                with suppress(Exception):  # as in _flush()
                    print(f"snakepit: {unsafe}; so each worker is spawned", file=sys.stderr, flush=True)
            _requests.tell(host, {"unsafe": unsafe} if unsafe else {"ready": module.__name__})
            if not unsafe:
                Zygote(host, module, streams).serve()
    except BaseException as error:
        code, last_words = EXIT_BROKEN, error
    finally:
        leave(code, last_words)


def _import(order: bytes) -> ModuleType:
    _grpc_settings.put()
    with _worker.stage("grpc"):
        _worker.import_for_all()
    for name in _IMPORTED_BY_CHANNELS:
        with suppress(ImportError):  # of another grpcio
            importlib.import_module(name)
    with _worker.stage("connect"):
        fields = json.loads(order)
        module, python_path = str(fields["module"]), [str(entry) for entry in fields["python_path"]]
    with _worker.stage("grpc"):
        for profile in fields.get("profiles", ("process",)):
            _worker.import_for(str(profile))
    sys.argv = [module]
    with _worker.stage("import"):
        return import_module(module, python_path)


def _why_not_to_fork(module: str) -> str:
    """Threads do not survive a fork, and what they have locked stays locked. Empty: all is well."""
    if _threads() > 1 and threading.active_count() == 1:
        # Some libraries, OpenBLAS among them, end their threads when their process forks.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            os._exit(0)
        _wait_for(pid)
    end = time.monotonic() + _LINGER_SECONDS
    while (count := _threads()) > 1:
        if time.monotonic() > end:
            names = ", ".join(t.name for t in threading.enumerate() if t is not threading.main_thread())
            return (
                f"module {module} leaves {count} threads running{names and f' ({names})'}, which a fork does not copy; "
                "if they belong to a numerical library, OPENBLAS_NUM_THREADS=1 or its like may help"
            )
        time.sleep(0.001)
    return ""


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


class Zygote:
    """Serves one socket until its other end closes."""

    def __init__(self, host: socket.socket, module: ModuleType, streams: dict[int, Any]) -> None:
        self._host = host
        self._module = module
        self._streams = streams  # what stdout and stderr were at birth
        self._requests: list[_Request] = []
        gc.collect()
        gc.freeze()  # the collector must not write to what is shared
        _flush()  # or every worker says again what was said during the import
        # The module's signal handlers are its workers' business.
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())

    def serve(self) -> None:
        """Return when the host has gone."""
        # What has come meanwhile too: one process in between does for all.
        while _requests.take(self._host, self._obey):
            with suppress(BlockingIOError):
                while len(self._requests) < _AT_ONCE and _requests.take(self._host, self._obey, socket.MSG_DONTWAIT):
                    pass
            self._fork()

    def _obey(self, request: dict[str, Any], descriptors: list[int]) -> None:
        if request.get("op") != "fork":
            raise _requests.unknown(request)
        _requests.check_passed(descriptors)
        self._requests.append((request["id"], descriptors.copy()))
        descriptors.clear()

    def _fork(self) -> None:
        """Answer the requests that are there."""
        problem = "the process in between was killed"
        try:
            answers = self._fork_workers()
        except OSError as error:
            answers, problem = [], f"cannot fork: {error}"
        for packet, pidfds in answers:
            socket.send_fds(self._host, [packet], pidfds)
            _close(pidfds)
        for request_id, _ in self._requests[len(answers) :]:
            _requests.tell(self._host, {"failed": request_id, "message": problem})
        for _, descriptors in self._requests:
            _close(descriptors)
        self._requests.clear()

    def _fork_workers(self) -> list[tuple[bytes, list[int]]]:
        """The answers, in the order of the requests; fewer when the process in between has died."""
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with near:
            with far:
                middle = os.fork()
                if middle == 0:
                    near.close()
                    self._be_in_between(far)
            answers: list[tuple[bytes, list[int]]] = []
            while len(answers) < len(self._requests) and (answer := _requests.receive(near)) is not None:
                answers.append(answer)
        _wait_for(middle)  # before anybody hears of the workers: only now are they the launcher's children
        return answers

    def _be_in_between(self, zygote: socket.socket) -> NoReturn:
        try:
            for request_id, descriptors in self._requests:
                try:
                    pid = os.fork()
                    if pid == 0:
                        zygote.close()
                        self._be_worker(descriptors)
                    # Nobody reaps our children, so this is the worker and no other process, even when it has died.
                    # Out of the zygote's group before anybody hears of it: that group may end at any moment then.
                    with suppress(OSError):  # the worker does it too: whoever comes first
                        os.setpgid(pid, pid)
                    pidfd = os.pidfd_open(pid)
                except OSError as error:  # a worker that has no pidfd is never told what to do, and goes
                    _requests.tell(zygote, {"failed": request_id, "message": f"cannot fork: {error}"})
                else:
                    _requests.tell(zygote, {"spawned": request_id, "pid": pid}, pidfd)
                    os.close(pidfd)
        finally:
            os._exit(0)

    def _be_worker(self, descriptors: list[int]) -> NoReturn:
        try:
            launch, life_line, page, out, err = descriptors
            _life_line.arm(life_line)
            # The zygote's own were closed as in every child, and with them what is to be closed in this one's children.
            self._host.detach()
            os.dup2(launch, _LAUNCH, inheritable=False)
            os.dup2(life_line, _LIFE_LINE, inheritable=False)
            os.dup2(page, _PAGE, inheritable=False)
            _worker.dump_stacks_to(_PAGE)
            for number, source in ((1, out), (2, err)):
                if _identity(number) == self._streams[number]:  # else the module has turned it elsewhere
                    os.dup2(source, number)
                    _output.follow(number)
            for _, passed in self._requests:
                _close(passed)
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            _worker.run(_LAUNCH, _PAGE, self._obtain)
        finally:
            os._exit(EXIT_BROKEN)

    def _obtain(self, launch: Launch) -> ModuleType:
        with _worker.stage("after_fork"):
            _after_fork.begin_anew()
        return self._module


def _identity(descriptor: int) -> object:
    try:
        status = os.fstat(descriptor)
    except OSError:  # closed
        return None
    return status.st_dev, status.st_ino


def _wait_for(child: int) -> None:
    with suppress(ChildProcessError):  # the module has SIGCHLD ignored, or reaps by itself
        os.waitpid(child, 0)


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # closed, or replaced by something that cannot
            stream.flush()

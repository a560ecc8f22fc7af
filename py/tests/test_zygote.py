from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Callable

import pytest
from fake_host import new_page, until
from test_launcher import WAIT, Host, ended, watch

TOOL = "import os, snakepit\n@snakepit.tool\ndef f(): ...\n"
GO = {"address": "unix:/none", "worker": "w0", "incarnation": 1, "token": "00", "module": "user_tools"}


class Zygote:
    """A host's end of a zygote, and of the launcher that is its parent."""

    def __init__(self, package: Path, directory: Path, source: str) -> None:
        (directory / "user_tools.py").write_text(source)
        self.output = directory / "output"
        self.host = Host(package)
        self.host.receive()
        self.pid, self.pidfd, self.socket, self.life_line = self.host.spawn(1, "zygote")
        self.socket.settimeout(WAIT)
        self.open: list[int] = []
        order = {"module": "user_tools", "python_path": [str(directory)]}
        self.socket.send(json.dumps(order).encode())

    def receive(self) -> tuple[dict[str, Any], list[int]]:
        packet, fds, _, _ = socket.recv_fds(self.socket, 256 * 1024, 4)
        self.open += fds
        message: dict[str, Any] = json.loads(packet) if packet else {}
        return message, fds

    def ask(self, request_id: int) -> socket.socket:
        """The host's end of the launch socket."""
        launch, far = socket.socketpair()
        life_read, life_write = os.pipe()
        with open(self.output, "a") as output, far:
            request = json.dumps({"op": "fork", "id": request_id}).encode()
            page = new_page()
            socket.send_fds(self.socket, [request], [far.fileno(), life_read, page, output.fileno(), output.fileno()])
            os.close(page)
        os.close(life_read)
        self.open.append(life_write)
        launch.settimeout(WAIT)
        return launch

    def fork(self, request_id: int) -> tuple[int, int, socket.socket]:
        """(pid, pidfd, launch socket)"""
        launch = self.ask(request_id)
        message, (pidfd,) = self.receive()
        assert message == {"spawned": request_id, "pid": message["pid"]}
        return message["pid"], pidfd, launch

    def run(self, request_id: int) -> int:
        """Fork a worker, let it go until its end; how it ended, as the launcher tells."""
        _, pidfd, launch = self.fork(request_id)
        with launch:
            with suppress(BrokenPipeError):  # it has ended by itself
                launch.sendall(json.dumps(GO).encode() + b"\n")
            assert ended(pidfd)
        watch(self.host, 100 + request_id, pidfd)
        message, _ = self.host.receive()
        assert message["exited"] == 100 + request_id
        return os.waitstatus_to_exitcode(message["status"])

    def close(self) -> None:
        self.socket.close()
        assert self.host.close() == 0
        for descriptor in self.open:
            with suppress(OSError):
                os.close(descriptor)


@pytest.fixture
def start(package: Path, tmp_path: Path) -> Iterator[Callable[[str], Zygote]]:
    made: list[Zygote] = []

    def begin(source: str) -> Zygote:
        made.append(Zygote(package, tmp_path, source))
        return made[-1]

    yield begin
    for zygote in made:
        zygote.close()


Start = Callable[[str], Zygote]


def stat_of(pid: int) -> list[str]:
    """State, parent, group, ..."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def test_workers_are_born_with_what_they_need_and_no_more(start: Start) -> None:
    zygote = start(TOOL)
    assert zygote.receive()[0] == {"ready": "user_tools"}
    workers = [zygote.fork(number) for number in range(3)]
    for pid, _, launch in workers:
        until(partial(reads_its_launch_socket, pid))
        assert descriptors(pid) == {"0", "1", "2", "3", "4", "5"}
        assert os.readlink(f"/proc/{pid}/fd/1") == str(zygote.output)
        assert os.readlink(f"/proc/{pid}/fd/3") == f"socket:[{inode_of_peer(launch)}]"
        assert stat_of(pid)[1:3] == [str(zygote.host.process.pid), str(pid)], "the launcher's child, its own group"
        launch.close()
    until(lambda: descriptors(zygote.pid) == {"0", "1", "2", "3", "4", "5"})
    assert stat_of(zygote.pid)[2] == str(zygote.pid)


def reads_its_launch_socket(pid: int) -> bool:
    return Path(f"/proc/{pid}/syscall").read_text().split()[1:2] == ["0x3"]


def descriptors(pid: int) -> set[str]:
    return set(os.listdir(f"/proc/{pid}/fd"))


def inode_of_peer(one: socket.socket) -> int:
    """Of a pair, the two ends have numbers in a row."""
    return os.fstat(one.fileno()).st_ino + 1


def test_many_at_once(start: Start) -> None:
    zygote = start(TOOL)
    os.kill(zygote.pid, signal.SIGSTOP)
    launches = [zygote.ask(number) for number in range(16)]
    os.kill(zygote.pid, signal.SIGCONT)
    assert zygote.receive()[0] == {"ready": "user_tools"}
    answers = [zygote.receive()[0] for _ in launches]
    assert [answer["spawned"] for answer in answers] == list(range(16))
    assert len({answer["pid"] for answer in answers}) == 16
    for launch in launches:
        launch.close()


@pytest.mark.parametrize(
    ("source", "stage", "type_", "text"),
    [
        ("1 / 0", "import", "ZeroDivisionError", "division by zero"),
        ("import sys; sys.exit(4)", "import", "ImportError", "called sys.exit(4)"),
        ("raise KeyboardInterrupt", "import", "KeyboardInterrupt", ""),
        ("raise ValueError('\\u00e9' * 100000)", "import", "ValueError", "\u00e9"),
    ],
)
def test_imports_that_fail_are_told(start: Start, source: str, stage: str, type_: str, text: str) -> None:
    zygote = start(source)
    failure, _ = zygote.receive()
    assert (failure["stage"], failure["type"]) == (stage, type_)
    assert text in failure["message"]
    assert ended(zygote.pidfd)
    assert os.WEXITSTATUS(zygote.host.receive()[0]["status"]) == 78


def test_threads_make_it_unsafe(start: Start) -> None:
    zygote = start(TOOL + "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n")
    unsafe = zygote.receive()[0]["unsafe"]
    assert "user_tools leaves 2 threads running (Thread-1" in unsafe
    assert ended(zygote.pidfd)


def test_threads_that_have_ended_do_not(start: Start) -> None:
    source = "import concurrent.futures as c\nwith c.ThreadPoolExecutor(8) as e: list(e.map(str, range(99)))\n"
    assert start(TOOL + source).receive()[0] == {"ready": "user_tools"}


def test_bad_packets_are_answered_and_survived(start: Start) -> None:
    zygote = start(TOOL)
    zygote.receive()
    for packet in (
        b"nonsense",
        b"[]",
        b'{"op":"fork"}',
        b'{"op":"spawn","id":4}',
        b'{"op":"fork","id":5}',
        b"[" * 60000,
    ):
        zygote.socket.send(packet)
        assert "failed" in zygote.receive()[0]
    with open(os.devnull) as null:
        socket.send_fds(zygote.socket, [b'{"op":"fork","id":5}'], [null.fileno()] * 6)
    assert "descriptors came" in zygote.receive()[0]["message"]
    zygote.fork(6)[2].close()


@pytest.mark.parametrize("order", [b"nonsense", b"[]", b'{"module":"user_tools"}', b""])
def test_orders_that_are_none(package: Path, order: bytes) -> None:
    host = Host(package)
    host.receive()
    _, pidfd, launch, _ = host.spawn(1, "zygote")
    with launch:
        launch.settimeout(WAIT)
        launch.send(order)
        assert json.loads(launch.recv(65536))["stage"] == "connect"
        assert ended(pidfd)
    assert host.close() == 0


def test_the_end_of_a_worker_that_dies_at_once_is_known(start: Start) -> None:
    zygote = start(
        TOOL + "os.register_at_fork(after_in_child=lambda: None)\n@snakepit.after_fork\ndef g(): os._exit(7)"
    )
    zygote.receive()
    assert [zygote.run(number) for number in range(3)] == [7, 7, 7]


def test_hooks_run_in_the_worker_alone(start: Start) -> None:
    zygote = start(TOOL + "@snakepit.after_fork\ndef g(): print('hook', os.getpid(), flush=True)\n")
    zygote.receive()
    assert zygote.run(1) == 78  # nobody is at the address
    words = zygote.output.read_text().split()
    assert words[0] == "hook"
    assert words.count("hook") == 1
    assert words[1] != str(zygote.pid)


def test_hooks_have_to_be_callable() -> None:
    import snakepit

    with pytest.raises(TypeError, match="goes on functions"):
        snakepit.after_fork(3)  # type: ignore[type-var]


def test_orphans_of_workers_are_reaped(start: Start) -> None:
    zygote = start(
        TOOL + "import time\n@snakepit.after_fork\ndef g():\n"
        "  if os.fork() == 0:\n    os.setsid()\n    os._exit(0) if os.fork() else (time.sleep(0.3), os._exit(0))\n"
    )
    zygote.receive()
    zygote.run(1)
    until(lambda: [name for name in os.listdir("/proc") if is_child(name, zygote)] == [str(zygote.pid)], 3 * WAIT)


def is_child(name: str, zygote: Zygote) -> bool:
    with suppress(OSError, ValueError):
        return stat_of(int(name))[1] == str(zygote.host.process.pid)
    return False


def test_the_life_line_ends_the_zygote_and_not_its_workers(start: Start) -> None:
    zygote = start(TOOL)
    zygote.receive()
    pid, pidfd, launch = zygote.fork(1)
    zygote.host.open.remove(zygote.life_line)
    os.close(zygote.life_line)
    assert ended(zygote.pidfd)
    assert os.WTERMSIG(zygote.host.receive()[0]["status"]) == signal.SIGKILL
    with launch:
        assert stat_of(pid)[0] in "SR"
        watch(zygote.host, 2, pidfd)
        os.kill(pid, signal.SIGKILL)
        assert zygote.host.receive()[0] == {"exited": 2, "status": signal.SIGKILL}


def test_a_worker_that_is_not_yet_awake_outlives_its_zygote(start: Start) -> None:
    zygote = start(TOOL + "import time\nos.register_at_fork(after_in_child=lambda: time.sleep(0.2))\n")
    zygote.receive()
    pid, _, launch = zygote.fork(1)
    zygote.host.open.remove(zygote.life_line)
    os.close(zygote.life_line)
    assert ended(zygote.pidfd)
    assert zygote.host.receive()[0]["status"] == signal.SIGKILL
    with launch:
        until(partial(reads_its_launch_socket, pid))


@pytest.mark.parametrize("around", ["Around(sys.stdout)", "io.TextIOWrapper(sys.stdout.buffer)"])
def test_output_is_followed_also_behind_what_the_module_has_put_around_it(start: Start, around: str) -> None:
    source = f"""
import io, os, sys, snakepit

class Around:
    def __init__(self, stream):
        self.stream = stream
    def write(self, text):
        return self.stream.write(text)
    def flush(self):
        self.stream.flush()

sys.stdout = {around}

@snakepit.after_fork
def flood():
    for _ in range(5_000):
        print("x" * 100)
    os._exit(7)
"""
    zygote = start(source)
    zygote.receive()
    reader, writer = os.pipe()  # which nobody reads
    zygote.output = Path(f"/proc/self/fd/{writer}")
    assert zygote.run(1) == 7
    os.close(reader)
    os.close(writer)

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from fake_host import new_page

WAIT = 10.0


class Host:
    """The host's end of a launcher's socket."""

    def __init__(self, package: Path, python: str = sys.executable) -> None:
        self.socket, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(WAIT)
        self.process = subprocess.Popen(
            [python, str(package / "_boot.py"), "launcher", "--fd", str(far.fileno())], pass_fds=[far.fileno()]
        )
        far.close()
        self.open: list[int] = []

    def receive(self) -> tuple[dict[str, Any], list[int]]:
        packet, fds, _, _ = socket.recv_fds(self.socket, 65536, 4)
        self.open += fds
        message: dict[str, Any] = json.loads(packet)
        return message, fds

    def spawn(self, request_id: int, op: str = "spawn") -> tuple[int, int, socket.socket, int]:
        """(pid, pidfd, launch socket, write end of the life-line)"""
        kind = socket.SOCK_SEQPACKET if op == "zygote" else socket.SOCK_STREAM
        launch, far = socket.socketpair(socket.AF_UNIX, kind)
        life_read, life_write = os.pipe()
        with open(os.devnull, "w") as null:
            request = json.dumps({"op": op, "id": request_id}).encode()
            page = new_page()
            fds = [far.fileno(), life_read, page, null.fileno(), null.fileno()]
            socket.send_fds(self.socket, [request], fds)
            os.close(page)
        far.close()
        os.close(life_read)
        self.open.append(life_write)
        message, (pidfd,) = self.receive()
        assert message == {"spawned": request_id, "pid": message["pid"]}
        return message["pid"], pidfd, launch, life_write

    def close(self) -> int:
        self.socket.close()
        code = self.process.wait(WAIT)
        for fd in self.open:
            os.close(fd)
        return code


@pytest.fixture
def host(package: Path) -> Iterator[Host]:
    host = Host(package)
    yield host
    if host.process.returncode is None:
        assert host.close() == 0


def ended(pidfd: int) -> bool:
    return bool(select.select([pidfd], [], [], WAIT)[0])


def test_ready_names_versions(host: Host) -> None:
    message, _ = host.receive()
    ready = message["ready"]
    assert ready["executable"] == sys.executable
    assert {"python", "grpc", "protobuf", "protobuf_implementation", "msgpack", "numpy"} <= ready.keys()
    assert ready["numpy"] == numpy.__version__


def test_it_has_one_thread(host: Host) -> None:
    host.receive()
    assert os.listdir(f"/proc/{host.process.pid}/task") == [str(host.process.pid)]


def test_workers_start_clean_and_their_ends_are_told(host: Host) -> None:
    host.receive()
    pid, pidfd, launch, _ = host.spawn(7)
    with launch:
        until_it_waits_for_its_launch(pid)
        assert os.getpgid(pid) == pid
        assert sorted(os.listdir(f"/proc/{pid}/fd"), key=int) == ["0", "1", "2", "3", "4", "5"]
        assert os.readlink(f"/proc/{pid}/fd/0") == os.devnull
        assert str(host.process.pid) == Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
        os.kill(pid, signal.SIGSEGV)
        assert ended(pidfd)
        message, _ = host.receive()
    assert message["exited"] == 7
    assert os.WTERMSIG(message["status"]) == signal.SIGSEGV


def until_exec(pid: int) -> None:
    end = time.monotonic() + WAIT
    while b"worker" not in Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < end
        time.sleep(0.002)


def until_it_waits_for_its_launch(pid: int) -> None:
    until_exec(pid)
    end = time.monotonic() + WAIT
    # The system call's number comes first, then its arguments: a read of descriptor 3.
    while Path(f"/proc/{pid}/syscall").read_text().split()[1:2] != ["0x3"]:
        assert time.monotonic() < end
        time.sleep(0.002)


def test_a_start_failure_travels_from_worker_to_host(host: Host) -> None:
    host.receive()
    _, pidfd, launch, _ = host.spawn(1)
    with launch:
        launch.sendall(
            b'{"address":"unix:/none","worker":"w0","incarnation":1,"token":"00","module":"no_such_module"}\n'
        )
        launch.settimeout(WAIT)
        assert json.loads(launch.makefile().readline())["stage"] == "import"
        assert ended(pidfd)
        message, _ = host.receive()
        assert os.WEXITSTATUS(message["status"]) == 78


def test_bad_packets_are_answered_and_survived(host: Host) -> None:
    host.receive()
    for packet in (
        b"nonsense",
        b"[]",
        b'{"op":"spawn"}',
        b'{"op":"fly","id":4}',
        b'{"op":[],"id":4}',
        b'{"op":"spawn","id":5}',
        b'{"op":"zygote","id":5}',
        b'{"op":"watch","id":5}',
        b"[" * 60000,
    ):
        host.socket.send(packet)
        message, _ = host.receive()
        assert "failed" in message
    with open(os.devnull) as null:
        socket.send_fds(host.socket, [b'{"op":"spawn","id":5}'], [null.fileno()])
    assert host.receive()[0] == {
        "failed": 5,
        "message": "1 descriptors came; needed are launch, life line, page, stdout, stderr",
    }
    _, _, launch, _ = host.spawn(6)
    launch.close()


def watch(host: Host, request_id: int, *descriptors: int) -> None:
    socket.send_fds(host.socket, [json.dumps({"op": "watch", "id": request_id}).encode()], descriptors)


def test_only_children_can_be_watched(host: Host) -> None:
    host.receive()
    with open(os.devnull) as null:
        watch(host, 1, null.fileno())
    assert host.receive()[0].keys() == {"failed", "message"}
    read, write = os.pipe()
    watch(host, 2, read)
    os.close(write)
    assert host.receive()[0] == {"exited": 2, "status": None}
    os.close(read)
    with subprocess.Popen(["true"]) as ours:
        pidfd = os.pidfd_open(ours.pid)
        watch(host, 3, pidfd)
        assert host.receive()[0] == {"exited": 3, "status": None}
        os.close(pidfd)
        assert ours.wait() == 0, "the launcher has not reaped it"
    watch(host, 4, 0, 1)
    assert host.receive()[0] == {"failed": 4, "message": "2 descriptors came; needed are pidfd"}


def test_what_nobody_watches_is_reaped_at_the_second_look() -> None:
    from snakepit._launcher import Launcher

    near, far = socket.socketpair()
    with near, far:
        launcher = Launcher(near)
        pid = os.fork()
        if pid == 0:
            os._exit(7)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        launcher._reap_orphans()
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        assert ended is not None
        assert ended.si_status == 7, "it may still be asked for"
        launcher._reap_orphans()
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, 0)


def test_no_event_puts_the_next_look_off(monkeypatch: pytest.MonkeyPatch) -> None:
    from snakepit import _launcher

    now = 100.0
    waits: list[float | None] = []

    class Selector:
        """Something comes every three seconds."""

        def register(self, *_: object) -> None:
            pass

        def select(self, timeout: float | None) -> list[Any]:
            nonlocal now
            waits.append(timeout)
            if len(waits) == 5:
                raise BrokenPipeError
            now += min(3.0, timeout or 0.0)
            return []

    monkeypatch.setattr(_launcher.selectors, "DefaultSelector", Selector)
    monkeypatch.setattr(_launcher.time, "monotonic", lambda: now)
    monkeypatch.setattr(_launcher, "_end_all", lambda: None)
    near, far = socket.socketpair()
    with near, far:
        launcher = _launcher.Launcher(near)
        launcher._watched[-1] = 1
        with pytest.raises(BrokenPipeError):
            launcher.serve()
    assert waits == [0.0, 5.0, 2.0, 5.0, 2.0]


def test_when_the_host_goes_everything_goes(host: Host) -> None:
    host.receive()
    workers = [host.spawn(number) for number in range(3)]
    for pid, _, _, _ in workers:
        until_exec(pid)
    assert host.close() == 0
    for pid, _, launch, _ in workers:
        launch.close()
        assert not Path(f"/proc/{pid}").exists()


def test_the_life_line_ends_a_worker_that_waits(host: Host) -> None:
    host.receive()
    pid, pidfd, launch, life_line = host.spawn(1)
    with launch:
        until_exec(pid)
        host.open.remove(life_line)
        os.close(life_line)
        assert ended(pidfd)


def test_interrupts_are_the_hosts_business(host: Host) -> None:
    host.receive()
    os.kill(host.process.pid, signal.SIGINT)
    _, _, launch, _ = host.spawn(1)
    launch.close()


def test_probe_prints_the_same(package: Path) -> None:
    done = subprocess.run([sys.executable, str(package / "_boot.py"), "probe"], capture_output=True, text=True)
    assert done.returncode == 0
    assert json.loads(done.stdout)["ready"]["executable"] == sys.executable


@pytest.mark.parametrize("missing", ["grpc", "google", "msgpack"])
def test_a_python_that_lacks_something_is_unfit(package: Path, tmp_path: Path, missing: str) -> None:
    (tmp_path / missing).mkdir()
    (tmp_path / missing / "__init__.py").write_text("raise ImportError('broken on purpose')")
    done = subprocess.run(
        [sys.executable, str(package / "_boot.py"), "probe"],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 78
    reason = json.loads(done.stdout)["unfit"]["reason"]
    assert "broken on purpose; install python3-" in reason
    assert "-m pip install" in reason

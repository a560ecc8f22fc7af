"""Operators' commands, for a pool in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from operator_host import Host, eventually

if TYPE_CHECKING:
    from conftest import Command


@pytest.fixture
def host(snakepit: Command) -> Iterator[Host]:
    made = Host(snakepit)
    yield made
    made.end()


def test_ps_lists_the_pool(host: Host) -> None:
    code, out, err = host.snakepit("ps")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    header = ["PID", "USER", "MODULE", "WORKERS", "IN", "FLIGHT", "QUEUED", "UPTIME", "STATE", "SOCKET"]
    assert lines[0].split() == header
    [line] = [one.split() for one in lines[1:] if one.split()[0] == host.pid]
    user = pwd.getpwuid(os.geteuid()).pw_name
    assert line[1:4] == [user, "cli_tools", "2/2"]
    assert line[7] == "running"
    code, out, err = host.snakepit("ps", "--json")
    [one] = [each for each in json.loads(out) if each["pid"] == host.process.pid]
    assert (one["module"], one["workers"], one["state"]) == ("cli_tools", {"all": 2, "ready": 2}, "running")
    assert one["user"] == user
    assert os.path.exists(one["socket"])


def test_a_pool_whose_process_is_stopped_is_silent(host: Host) -> None:
    host.process.send_signal(signal.SIGSTOP)
    try:
        _, out, _ = host.snakepit("ps", "--json")
        code, _, err = host("status")
    finally:
        host.process.send_signal(signal.SIGCONT)
    [one] = [each for each in json.loads(out) if each["pid"] == host.process.pid]
    assert one["state"] == "silent"
    assert "does not answer" in one["trouble"]
    assert code == 1
    assert "does not answer" in err


def test_a_module_may_be_that_of_a_pool_that_does_not_answer(host: Host) -> None:
    second = Host(host.snakepit)
    second.process.send_signal(signal.SIGSTOP)
    try:
        code, _, err = host.snakepit("kill", "w0", "--pool", "cli_tools")
        by_pid, _, _ = host("drain")
    finally:
        second.process.send_signal(signal.SIGCONT)
        second.end()
    assert code == 2
    assert "does not answer" in err
    assert second.pid in err
    assert by_pid == 0


def test_what_takes_long_is_not_begun_by_a_pool_that_does_not_answer(host: Host) -> None:
    host.process.send_signal(signal.SIGSTOP)
    try:
        for arguments in (("recycle", "--all"), ("resize", "3"), ("stack", "w0")):
            code, _, err = host(*arguments)
            assert code == 1
            assert "does not answer" in err
    finally:
        host.process.send_signal(signal.SIGCONT)


class FakePool:
    """A socket for operators whose pool says what it is told to say, to each connection."""

    def __init__(self, snakepit: Command, answer: Callable[[int, bytes], bytes]) -> None:
        self.directory = snakepit.temporary / "snakepit-fake"
        self.directory.mkdir(mode=0o700)
        self.answer = answer
        self.door = socket.socket(socket.AF_UNIX)
        self.door.bind(str(self.directory / "0.admin"))
        self.door.listen()
        self.ended = threading.Event()
        self.threads: list[threading.Thread] = []
        self.begin(self.accept)

    def begin(self, what: Callable[..., None], *arguments: object) -> None:
        self.threads.append(threading.Thread(target=what, args=arguments))
        self.threads[-1].start()

    def accept(self) -> None:
        self.door.settimeout(0.1)
        number = 0
        while not self.ended.is_set():
            try:
                peer, _ = self.door.accept()
            except TimeoutError:
                continue
            self.begin(self.serve, peer, number)
            number += 1

    def serve(self, peer: socket.socket, number: int) -> None:
        with peer, peer.makefile("rb") as lines:
            for line in lines:
                try:
                    peer.sendall(self.answer(number, line))
                except OSError:
                    return

    def end(self) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join()
        self.door.close()
        (self.directory / "0.admin").unlink()
        self.directory.rmdir()


def test_a_late_answer_is_not_taken_for_that_to_the_next_request(snakepit: Command) -> None:
    def answer(number: int, line: bytes) -> bytes:
        if json.loads(line)["command"] != "status":
            return b'{"ok": true, "level": "right"}\n'
        time.sleep(2.2)  # longer than it is waited for
        return b'{"ok": true, "level": "that of the status"}\n'

    pool = FakePool(snakepit, answer)
    try:
        assert snakepit("loglevel", "--pool", str(os.getpid())) == (0, "right\n", "")
    finally:
        pool.end()


def test_a_pool_that_lets_nobody_in_any_more_says_so_itself(snakepit: Command) -> None:
    why = {"code": "too_many_connections", "message": "32 operators are \x1b[31mconnected"}
    pool = FakePool(snakepit, lambda number, line: json.dumps({"ok": False, "error": why}).encode() + b"\n")
    try:
        for arguments in (("drain",), ("workers",), ("events",), ("top", "--once")):
            code, out, err = snakepit(*arguments, "--pool", str(os.getpid()), "--json")
            assert (code, json.loads(out)) == (1, {"ok": False, "error": why})
            assert err == "snakepit: 32 operators are ?[31mconnected (too_many_connections)\n"
    finally:
        pool.end()


def test_a_pool_that_takes_no_more_connections_holds_nobody_up(snakepit: Command) -> None:
    path = snakepit.directory / "full.admin"
    with contextlib.ExitStack() as open_ones:
        door = open_ones.enter_context(socket.socket(socket.AF_UNIX))
        door.bind(str(path))
        door.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                peer = open_ones.enter_context(socket.socket(socket.AF_UNIX))
                peer.setblocking(False)
                peer.connect(str(path))
        code, _, err = snakepit("status", "--pool", str(path))
    assert code == 2
    assert "does not answer" in err


def test_an_answer_that_lacks_something_is_told(snakepit: Command) -> None:
    pool = FakePool(snakepit, lambda number, line: b'{"ok": true}\n')
    try:
        for arguments in (("status",), ("workers",), ("stack", "w0"), ("top", "--once")):
            code, out, err = snakepit(*arguments, "--pool", str(os.getpid()))
            assert (code, out) == (1, "")
            assert "not found" in err
        assert " unknown " in snakepit("ps")[1]
    finally:
        pool.end()


def test_status_in_words_and_as_json(host: Host) -> None:
    host.feed(1, 2, 3)
    said = eventually(lambda: (s := host.json("status"))["calls"]["succeeded"] == 3 and s, "three calls")
    assert (said["module"], said["pid"], said["log_level"]) == ("cli_tools", host.process.pid, "warning")
    code, out, err = host("status")
    assert (code, err) == (0, "")
    assert "cli_tools" in out
    assert "2 of 2 take calls" in out
    assert "3 succeeded, 0 failed" in out


def test_workers_in_words_and_as_json(host: Host) -> None:
    code, out, err = host("workers")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == ["ID", "w0", "w1"]
    both = host.json("workers")["workers"]
    assert [one["id"] for one in both] == ["w0", "w1"]
    assert all(one["pid"] > 0 for one in both)
    assert host("workers", "--ids")[1].split() == ["w0", "w1"]


def test_a_pool_is_chosen_by_pid_path_directory_and_module(host: Host) -> None:
    [one] = [each for each in json.loads(host.snakepit("ps", "--json")[1]) if each["pid"] == host.process.pid]
    for choice in (host.pid, one["socket"], os.path.dirname(one["socket"]), "cli_tools"):
        code, out, err = host.snakepit("status", "--pool", choice, "--json")
        assert (code, err) == (0, ""), choice
        assert json.loads(out)["pid"] == host.process.pid


def test_who_fits_none_or_two_is_told(host: Host) -> None:
    code, _, err = host.snakepit("status", "--pool", "no_such_module")
    assert code == 2
    assert "no_such_module" in err
    assert host.pid in err
    second = Host(host.snakepit)
    try:
        for arguments in (("status",), ("drain", "--pool", "cli_tools")):
            code, _, err = host.snakepit(*arguments)
            assert code == 2
            assert "--pool PID|PATH|MODULE" in err
            assert host.pid in err
            assert second.pid in err
    finally:
        second.end()


def test_without_a_pool_that_is_said(snakepit: Command) -> None:
    for arguments in (["status"], ["workers"], ["drain"], ["events"], ["resize", "1"], ["stack", "w0"]):
        code, out, err = snakepit(*arguments, "--pool", "no_such_module")
        assert (code, out) == (2, "")
        assert "no pool" in err
        code, out, _ = snakepit(*arguments, "--pool", "no_such_module", "--json")
        failed = json.loads(out)
        assert (code, failed["ok"], failed["error"]["code"]) == (2, False, "no_pool")
    code, _, err = snakepit("status", "--pool", "/no/such/socket")
    assert code == 2
    assert "No such file" in err
    code, _, err = snakepit("status", "--pool", str(snakepit.directory))
    assert code == 2
    assert "no pool has its socket in" in err


def test_stack(host: Host) -> None:
    code, out, err = host("stack", "w0")
    assert (code, err) == (0, "")
    assert "File" in out
    assert host.json("stack", "w0")["worker"] == "w0"
    code, out, err = host("stack", "w9")
    assert (code, out) == (1, "")
    assert "w0, w1" in err


def test_drain_and_resume(host: Host) -> None:
    assert host("drain") == (0, "", "")
    assert host.json("status")["state"] == "draining"
    assert host("resume") == (0, "", "")
    assert host.json("status")["state"] == "running"
    assert host.json("drain") == {"ok": True}
    assert host.json("resume") == {"ok": True}


def test_recycle(host: Host) -> None:
    def pids() -> list[int]:
        return [one["pid"] for one in host.json("workers")["workers"]]

    first = pids()
    assert host("recycle", "w0") == (0, "", "")
    second = pids()
    assert second[0] != first[0]
    assert second[1] == first[1]
    assert host("recycle", "--all") == (0, "", "")
    assert not set(pids()) & set(second)
    for arguments in (("recycle",), ("recycle", "w0", "--all")):
        code, out, err = host(*arguments, "--json")
        assert json.loads(out)["error"]["code"] == "bad_usage"
        assert code == 2
        assert "--all" in err
    for unknown in ("w9", "all"):
        code, _, err = host("recycle", unknown)
        assert code == 1
        assert "no worker" in err


def test_resize(host: Host) -> None:
    assert host("resize", "3") == (0, "", "")
    assert host.json("status")["workers"]["all"] == 3
    assert host("resize", "1..2") == (0, "", "")
    eventually(lambda: host.json("status")["workers"]["all"] <= 2, "it has shrunk")
    for wrong in ("x", "-1", "1..", "1...2", "2..x", "1-2", "4..0", ""):
        code, _, err = host("resize", "--", wrong) if wrong.startswith("-") else host("resize", wrong)
        assert code == 2, wrong
        assert err
    code, out, err = host("resize", "5..2", "--json")
    assert (code, json.loads(out)["error"]["code"]) == (1, "invalid_options")
    assert "invalid_options" in err
    code, _, err = host("resize", "2", "io")
    assert code == 1
    assert "io" in err


def test_kill(host: Host) -> None:
    assert host("kill", "w0") == (0, "", "")
    eventually(lambda: host.json("workers")["workers"][0]["restarts"] == 1, "it is started again")
    assert host("kill", "w9")[0] == 1


def test_loglevel(host: Host) -> None:
    assert host("loglevel") == (0, "warning\n", "")
    assert host("loglevel", "error") == (0, "error\n", "")
    assert host.json("loglevel") == {"level": "error", "ok": True}
    code, _, err = host("loglevel", "loud")
    assert code == 1
    assert "debug, info, warning, error, off" in err


def test_events_that_were_and_that_come(host: Host) -> None:
    code, out, err = host("events")
    assert (code, err) == (0, "")
    assert " pool_started module=cli_tools" in out
    code, out, err = host("events", "--only", "worker_hired", "--worker", "w1", "--json")
    assert [(one["event"], one["worker"]) for one in map(json.loads, out.splitlines())] == [("worker_hired", "w1")]
    follower = host.snakepit.start(
        "events", "--follow", "--json", "--only", "pool_draining", "pool_resumed", "--pool", host.pid
    )
    assert follower.stdout is not None

    def hears() -> bool:
        # What happens before it has its place is not for it.
        host("drain")
        host("resume")
        return bool(select.select([follower.stdout], [], [], 0)[0])

    eventually(hears, "the follower hears")
    assert json.loads(follower.stdout.readline())["event"] in {"pool_draining", "pool_resumed"}
    host.end()
    _, err_bytes = follower.communicate(timeout=60)
    assert follower.returncode == 0
    assert "the pool has gone" in err_bytes.decode()


def test_a_follower_whose_reader_has_gone_ends(host: Host) -> None:
    follower = host.snakepit.start("events", "--follow", "--only", "pool_stopped", "--pool", host.pid)
    assert follower.stdout is not None
    follower.stdout.close()
    _, err = follower.communicate(timeout=60)
    assert follower.returncode == 141
    assert "nobody reads the output" in err.decode()


def test_unknown_events_are_named(host: Host) -> None:
    code, _, err = host("events", "--only", "worker_endet")
    assert code == 1
    assert "worker_ended" in err
    assert host("events", "--worker", "w9")[0] == 1

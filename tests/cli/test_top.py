"""`snakepit top`, also in a real terminal: one of tmux."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
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


class Screen:
    """A terminal with a shell in it."""

    def __init__(self, host: Host, columns: int, rows: int) -> None:
        if not shutil.which("tmux"):
            if os.environ.get("CI"):
                pytest.fail("tmux is not installed, and CI is to run this test")
            pytest.skip("tmux is not installed")
        self.name = f"snakepit-test-{os.getpid()}"
        self.host = host
        self.environment = {**host.snakepit.environment, "LC_ALL": "C.UTF-8"}
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows), "env PS1='ready> ' sh")
        eventually(lambda: "ready>" in self.text(), "the shell is ready")

    def tmux(self, *arguments: str) -> str:
        # In a directory of ours, with a socket of its own there: nobody else's server is touched.
        environment = {**self.environment, "TMUX_TMPDIR": str(self.host.snakepit.directory)}
        done = subprocess.run(
            ["tmux", "-L", self.name, *arguments], env=environment, check=True, capture_output=True, timeout=20
        )
        return done.stdout.decode()

    def text(self) -> str:
        return self.tmux("capture-pane", "-p")

    def type(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def wait_for(self, *texts: str) -> str:
        def shown() -> str:
            now = self.text()
            return now if all(text in now for text in texts) else ""

        found = ""
        try:
            found = eventually(shown, "")
        except AssertionError:
            pytest.fail(f"{texts} are not all on the screen:\n{self.text()}")
        return found

    def top(self, *arguments: str) -> None:
        words = [os.environ["SNAKEPIT_COMMAND"], "top", "--interval", "0.2", "--pool", self.host.pid, *arguments]
        self.type("-l", shlex.join(words) + "; echo ended with $?")
        self.type("Enter")

    def end(self) -> None:
        self.tmux("kill-server")


@pytest.fixture
def screen(host: Host) -> Iterator[Screen]:
    made = Screen(host, 140, 30)
    yield made
    made.end()


def test_one_frame_without_a_terminal(host: Host) -> None:
    host.feed(*range(20))
    code, out, err = host("top", "--once", "--interval", "0.2")
    assert (code, err) == (0, "")
    assert not [c for c in out if ord(c) < 32 and c != "\n"]
    lines = out.splitlines()
    assert lines[0].startswith("snakepit ")
    assert "cli_tools" in lines[0]
    assert f"pid {host.pid}" in lines[0]
    assert "workers 2/2" in lines[0]
    assert {"calls/s", "errors", "p50", "p95", "p99", "queued"} <= set(lines[1].split())
    header = next(i for i, line in enumerate(lines) if line.startswith("ID"))
    assert lines[header].split()[:4] == ["ID", "GROUP", "STATE", "TOOL"]
    assert [line.split()[0] for line in lines[header + 1 :]] == ["w0", "w1"]


def test_one_frame_as_json(host: Host) -> None:
    host.feed(*range(20))
    eventually(lambda: host.json("status")["calls"]["succeeded"] == 20, "all have ended")
    said = host.json("top", "--once", "--interval", "0.2")
    assert (said["module"], len(said["workers"])) == ("cli_tools", 2)
    assert said["calls_per_second"] == 0
    assert said["error_rate"] is None
    assert said["p99"] is None or 0 < said["p50"] <= said["p95"] <= said["p99"]


def test_without_a_terminal_it_says_so(host: Host) -> None:
    code, out, err = host("top")
    assert (code, out) == (2, "")
    assert "--once" in err


def test_a_terminal_that_can_move_no_cursor_is_none(screen: Screen) -> None:
    screen.type("-l", "export TERM=dumb")
    screen.type("Enter")
    screen.top()
    assert "--once" in screen.wait_for("ended with 2")


def test_it_shows_the_pool_and_its_workers(screen: Screen) -> None:
    screen.top()
    shown = screen.wait_for("calls/s", "w0", "w1", "q quit")
    assert "ready>" not in shown
    screen.host.feed(*range(100))
    # The workers' sum is what they have ended.
    eventually(lambda: sum(calls_of(screen.text())) == 100, "the calls are shown")
    screen.type("q")
    screen.wait_for("ready>", "ended with 0")
    assert "calls/s" not in screen.text()


def calls_of(shown: str) -> list[int]:
    lines = shown.splitlines()
    header = next((line for line in lines if line.startswith("ID")), None)
    if header is None:
        return []
    column = header.split().index("CALLS")
    return [int(line.split()[column]) for line in lines if line.startswith("w")]


def test_keys(screen: Screen) -> None:
    screen.top()
    screen.wait_for("w1")
    screen.type("j")
    screen.type("s")
    screen.wait_for("stack of w1", "File", "key: back")
    screen.type("x")
    screen.wait_for("calls/s")
    screen.type("d")
    screen.wait_for("draining")
    screen.type("d")
    eventually(lambda: screen.host.json("status")["state"] == "running", "it lets calls in again")
    screen.wait_for("resume: done")
    before = [one["pid"] for one in screen.host.json("workers")["workers"]]
    screen.type("Up")
    screen.type("r")
    screen.wait_for("recycling w0: done")
    after = [one["pid"] for one in screen.host.json("workers")["workers"]]
    assert after[0] != before[0]
    assert after[1] == before[1]
    screen.type("q")
    screen.wait_for("ended with 0")


def test_the_terminal_is_as_it_was_also_after_a_signal(screen: Screen) -> None:
    before = modes_of(screen)
    for number, key in ((signal.SIGINT, "C-c"), (signal.SIGTERM, "")):
        screen.top()
        screen.wait_for("calls/s")
        if key:
            screen.type(key)
        else:
            os.kill(foreground_of(screen), number)
        screen.wait_for(f"ended with {128 + number}")
        assert modes_of(screen) == before


def modes_of(screen: Screen) -> str:
    tty = screen.tmux("display-message", "-p", "#{pane_tty}").strip()
    modes = subprocess.run(["stty", "-a", "-F", tty], check=True, capture_output=True, timeout=20).stdout.decode()
    cursor = screen.tmux("display-message", "-p", "#{cursor_flag} #{alternate_on}")
    return modes + cursor


def foreground_of(screen: Screen) -> int:
    shell = screen.tmux("display-message", "-p", "#{pane_pid}").strip()
    children = eventually(
        lambda: Path(f"/proc/{shell}/task/{shell}/children").read_text(encoding="ascii").split(),
        "the shell runs something",
    )
    return int(children[0])


def test_fewer_workers_than_the_one_that_is_selected(screen: Screen) -> None:
    assert screen.host("resize", "4")[0] == 0
    screen.top()
    screen.wait_for("w3")
    for _ in range(3):
        screen.type("j")
    assert screen.host("resize", "1")[0] == 0
    screen.wait_for("workers 1/1")
    screen.type("s")
    screen.wait_for("stack of w0", "key: back")
    screen.type("q")
    screen.wait_for("ended with 0")


def test_a_stack_that_is_longer_than_the_screen_is_scrolled(screen: Screen) -> None:
    screen.tmux("resize-window", "-x", "140", "-y", "6")
    screen.top()
    screen.wait_for("calls/s")
    screen.type("s")
    screen.wait_for("stack of w0", "lines 1 to 5 of ")
    screen.type("j")
    screen.wait_for("lines 2 to 6 of ")
    screen.type("k")
    screen.wait_for("stack of w0", "lines 1 to 5 of ")
    screen.type("x")
    screen.wait_for("calls/s")
    screen.type("q")
    screen.wait_for("ended with 0")


def test_a_pool_that_is_stuck_is_waited_for(screen: Screen) -> None:
    screen.top()
    screen.wait_for("calls/s")
    screen.host.process.send_signal(signal.SIGSTOP)
    try:
        screen.wait_for("calls/s", "w1", f"process {screen.host.pid} does not answer since 6 s")
    finally:
        screen.host.process.send_signal(signal.SIGCONT)
    eventually(lambda: "does not answer" not in screen.text(), "it goes on")
    screen.wait_for("calls/s")
    screen.host.process.send_signal(signal.SIGSTOP)
    try:
        screen.wait_for("does not answer")
        screen.type("q")
        screen.wait_for("ended with 0")
    finally:
        screen.host.process.send_signal(signal.SIGCONT)


def test_what_is_no_number_of_seconds(host: Host) -> None:
    for wrong in ("nan", "inf", "0", "x"):
        code, out, err = host("top", "--once", "--interval", wrong)
        assert (code, out) == (2, "")
        assert "--interval" in err


def test_a_narrow_terminal_and_a_change_of_size(screen: Screen) -> None:
    screen.top()
    screen.wait_for("RESTARTS")
    screen.tmux("resize-window", "-x", "80", "-y", "24")
    eventually(lambda: "CREDIT" not in screen.text(), "what matters least has gone")
    screen.wait_for("STATE", "TOOL", "AGE", "MEM", "CALLS/S", "in flight", "p50")
    screen.tmux("resize-window", "-x", "30", "-y", "8")
    eventually(lambda: "RESTARTS" not in screen.text() and "w1" in screen.text(), "it is cut")
    assert max(map(len, screen.text().splitlines())) <= 30
    screen.tmux("resize-window", "-x", "140", "-y", "30")
    screen.wait_for("RESTARTS", "w1")
    screen.type("q")
    screen.wait_for("ended with 0")


def test_it_says_when_the_pool_has_gone(screen: Screen) -> None:
    screen.top()
    screen.wait_for("calls/s")
    screen.host.end()
    shown = screen.wait_for("the pool has gone", "ended with 0")
    assert "calls/s" not in shown

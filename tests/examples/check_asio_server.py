"""usage: check_asio_server.py PROGRAM

Talks to the server over TCP: answers, failures, many connections at once, a worker killed, both signals that end it.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import support


class Server:
    """The server as a child process."""

    def __init__(self, program: str) -> None:
        self.process = subprocess.Popen(
            [program, "0", "2"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        if not first.startswith("listening on port "):
            support.fail(f"first line is {first!r}; stderr: {self.process.communicate(timeout=10)[1]}")
        self.port = int(first.split()[-1])

    def connect(self) -> "Client":
        return Client(self.port)

    def stop(self, by: signal.Signals, events: list[str]) -> None:
        self.process.send_signal(by)
        out, err = self.process.communicate(timeout=20)
        if self.process.returncode != 0 or out != "stopped\n":
            support.fail(f"after {by.name}: exit {self.process.returncode}, stdout {out!r}, stderr {err!r}")
        support.expect_log(err, events)


class Client:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.lines = self.socket.makefile("r", encoding="utf-8", newline="\n")

    def send(self, line: str) -> None:
        self.socket.sendall(line.encode() + b"\n")

    def receive(self) -> str:
        return self.lines.readline().rstrip("\n")

    def ask(self, line: str) -> str:
        self.send(line)
        return self.receive()

    def ask_json(self, line: str) -> Any:
        reply = self.ask(line)
        if not reply.startswith("ok "):
            support.fail(f"{line!r} was answered by {reply!r}")
        return json.loads(reply[3:])


def expect(what: str, is_so: bool, seen: object) -> None:
    if not is_so:
        support.fail(f"{what}: {seen!r}")
    print(f"ok: {what}")


def expect_reply(client: Client, line: str, wanted: str) -> None:
    reply = client.ask(line)
    expect(f"{line!r} is answered by {wanted!r}", reply == wanted, reply)


def check_answers(server: Server) -> None:
    client = server.connect()
    expect_reply(client, "count some words to count", "ok 4")
    expect_reply(client, "keywords snake pit snake ÄRGER", 'ok ["snake","ärger"]')
    expect_reply(client, "count", "ok 0")
    expect_reply(client, "tools", 'ok ["count","keywords","divide","pause"]')
    reply = client.ask("divide 1 0")
    expect("an exception is one line of error", reply.startswith("error w") and "ZeroDivisionError" in reply, reply)
    reply = client.ask("cuont a b")
    expect("the nearest tool is named", reply.startswith("error - ") and "count" in reply[8:], reply)

    client.send("count pipelined requests\ncount come\ncount one by one")
    replies = [client.receive() for _ in range(3)]
    expect("pipelined requests are answered in order", replies == ["ok 2", "ok 1", "ok 3"], replies)


def check_many(server: Server) -> None:
    wrong: list[str] = []

    def work(number: int) -> None:
        client = server.connect()
        wrong.extend(r for n in range(50) if (r := client.ask("count " + "x " * (n + number))) != f"ok {n + number}")

    threads = [threading.Thread(target=work, args=[number]) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    expect("16 connections get their own answers", not wrong and not any(t.is_alive() for t in threads), wrong[:3])


def check_kill(server: Server) -> None:
    """Each of 2 workers runs a call of 4 connections when one is killed: only what it held is lost."""
    admin = server.connect()
    waiting = [server.connect() for _ in range(4)]
    for client in waiting:
        client.send("pause 1")
    while not all(worker["holds"] for worker in admin.ask_json("workers")):
        time.sleep(0.01)
    victim = admin.ask_json("workers")[0]
    os.kill(victim["pid"], signal.SIGKILL)
    replies = [client.receive() for client in waiting]
    lost = [reply for reply in replies if reply != 'ok "done"']
    expect(
        f"the killed worker held {victim['holds']} calls, {len(lost)} are lost, and the errors name it",
        1 <= len(lost) <= victim["holds"] and all(r.startswith(f"error {victim['id']} ") for r in lost),
        replies,
    )
    expect("the errors say that it ended", all("ended" in reply for reply in lost), lost)
    end = time.monotonic() + 20
    while any(worker["state"] != "ready" for worker in admin.ask_json("workers")):
        if time.monotonic() > end:
            support.fail(f"not whole again: {admin.ask('workers')}")
        time.sleep(0.01)
    again = admin.ask_json("workers")[0]
    expect("the worker is back", again["pid"] != victim["pid"] and again["restarts"] == 1, again)
    stats = admin.ask_json("stats")
    expect("the books balance", stats["submitted"] == stats["succeeded"] + stats["failed"], stats)


def check_stop(server: Server) -> None:
    """A call that runs when the server is told to stop is still answered; an idle connection is closed."""
    idle, busy = server.connect(), server.connect()
    busy.send("pause 0.5")
    while server_holds(idle) == 0:
        time.sleep(0.01)
    server.stop(signal.SIGTERM, events=["worker_ended"])  # the one that was killed
    expect("the running call was answered", busy.receive() == 'ok "done"', "something else")
    expect("the connections are closed", busy.receive() == "" and idle.receive() == "", "still open")


def server_holds(client: Client) -> int:
    return sum(worker["holds"] for worker in client.ask_json("workers"))


support.adopt_orphans()
temporary = support.private_temporary()
one = Server(sys.argv[1])
try:
    check_answers(one)
    check_many(one)
    check_kill(one)
    check_stop(one)
finally:
    one.process.kill()
two = Server(sys.argv[1])
two.stop(signal.SIGINT, events=[])
support.expect_nothing_left(temporary)

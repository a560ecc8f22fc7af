"""The demo's second part: clients of the asio server, and one of its workers killed under them.

usage: clients.py SERVER_PROGRAM SERVER_DIRECTORY LIST_OF_FILES SECONDS FIGURES
Prints the story, writes its figures to the file FIGURES, ends with 1 when something is not as told.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CONNECTIONS = 8
WORKERS = 2
TEXTS = 200
WORD = re.compile(r"[^\W\d_]{4,}")


def say(text: str = "") -> None:
    print(text and f"   {text}", flush=True)


def fail(why: str) -> None:
    sys.exit(f"\ndemo: NOT as told: {why}")


class Connection:
    """One line out, one line back."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.replies = self.socket.makefile("rb")

    def ask(self, line: str) -> str:
        self.socket.sendall(line.encode() + b"\n")
        return self.replies.readline().decode().rstrip("\n")

    def ask_json(self, line: str) -> Any:
        reply = self.ask(line)
        if not reply.startswith("ok "):
            fail(f"the server answered {line!r} with {reply!r}")
        return json.loads(reply[3:])


def start_server(program: str, directory: str) -> tuple["subprocess.Popen[str]", int]:
    server = subprocess.Popen(
        [program, "0", str(WORKERS)], cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    first = server.stdout.readline()
    if not first.startswith("listening on port "):
        server.kill()
        fail(f"the server did not start: {first!r}")
    return server, int(first.split()[-1])


def texts_of(files: list[str]) -> list[tuple[str, list[str]]]:
    """Beginnings of real files as one line each, and the answer that is right for it."""
    texts = []
    for file in files[:TEXTS]:
        line = " ".join(Path(file).read_bytes()[:4000].decode("utf-8", errors="ignore").split())
        texts.append((line, [word for word, _ in Counter(WORD.findall(line.lower())).most_common(5)]))
    return texts


@dataclass
class Tally:
    """What one connection saw."""

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def work(port: int, first: int, texts: list[tuple[str, list[str]]], stop: threading.Event, tally: Tally) -> None:
    connection = Connection(port)
    n = first
    while not stop.is_set():
        text, right = texts[n % len(texts)]
        n += CONNECTIONS
        begin = time.perf_counter()
        reply = connection.ask("keywords " + text)
        tally.seconds.append(time.perf_counter() - begin)
        if reply.startswith("error "):
            tally.errors.append(reply)
        elif reply[:3] != "ok " or json.loads(reply[3:]) != right:
            tally.wrong.append(reply)


def is_whole(workers: list[Any], killed: int) -> bool:
    return all(w["state"] in ("ready", "executing") and w["pid"] not in (0, killed) for w in workers)


def kill_one(admin: Connection) -> tuple[Any, float]:
    """SIGKILL to the first worker that holds calls. Returns it, and how long until the pool was whole again."""
    while True:
        victim = max(admin.ask_json("workers"), key=lambda worker: worker["holds"])
        if victim["holds"]:
            break
    os.kill(victim["pid"], signal.SIGKILL)
    begin = time.perf_counter()
    while not is_whole(now := admin.ask_json("workers"), victim["pid"]):
        if time.perf_counter() - begin > 20:
            fail(f"20 s later the pool is not whole: {now}")
        time.sleep(0.002)
    return victim, time.perf_counter() - begin


def show_workers(admin: Connection) -> None:
    for w in admin.ask_json("workers"):
        before = f", the one before ended by {w['last_exit']}" if w["last_exit"] else ""
        say(f"  {w['id']}  pid {w['pid']:<7} {w['state']:<10} restarts {w['restarts']}{before}")


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def tell(server: "subprocess.Popen[str]", port: int, files: list[str], seconds: float) -> dict[str, Any]:
    admin = Connection(port)
    for request in ("count how many words are these", "divide 22 7", "divide 1 0"):
        say(f"> {request}")
        say(f"< {admin.ask(request)}")
    say()
    say(f"{CONNECTIONS} connections ask for the keywords of {min(TEXTS, len(files))} texts, again and again:")

    texts = texts_of(files)
    stop = threading.Event()
    tallies = [Tally() for _ in range(CONNECTIONS)]
    threads = [
        threading.Thread(target=work, args=[port, n, texts, stop, tally], daemon=True)
        for n, tally in enumerate(tallies)
    ]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    stop.wait(seconds / 2)
    show_workers(admin)
    victim, recovery = kill_one(admin)
    say(f"kill -9 {victim['pid']}: {victim['id']} dies in the middle of its work. The others do not wait for it ...")
    say(f"... and {recovery * 1000:.0f} ms later the pool is whole again:")
    show_workers(admin)
    stop.wait(seconds / 2)
    stop.set()
    for thread in threads:
        thread.join(timeout=30)
    took = time.perf_counter() - begin
    if any(thread.is_alive() for thread in threads):
        fail("a connection waits for an answer that never comes")

    times = sorted(t for tally in tallies for t in tally.seconds)
    errors = [e for tally in tallies for e in tally.errors]
    wrong = [w for tally in tallies for w in tally.wrong]
    workers, stats = admin.ask_json("workers"), admin.ask_json("stats")
    most = victim["holds_at_most"]

    say()
    say(f"{len(times):,} calls, every answer checked: {len(wrong)} wrong, {len(errors)} lost.")
    say(f"{victim['id']} held {victim['holds']} calls when it was last looked at; it may hold {most}.")
    if errors:
        say("What a client reads that lost a call:")
        say(f"< {errors[0]}")
    if wrong:
        fail(f"{len(wrong)} wrong answers, such as {wrong[0]!r}")
    if len(errors) > most:
        fail(f"{len(errors)} calls are lost, but a worker holds at most {most}")
    if others := [e for e in errors if not e.startswith(f"error {victim['id']} ")]:
        fail(f"a call failed that {victim['id']} did not hold: {others[0]}")
    if not is_whole(workers, victim["pid"]) or [w["restarts"] for w in workers].count(1) != 1:
        fail(f"the workers are not those two, one of them started again: {workers}")
    expected = {"submitted": len(times) + 3, "failed": len(errors) + 1, "succeeded": len(times) - len(errors) + 2}
    if any(stats[name] != count for name, count in expected.items()):
        fail(f"the server counts {stats}, the clients {expected}")

    server.send_signal(signal.SIGTERM)
    if server.wait(timeout=20) != 0:
        fail(f"the server ended with {server.returncode}")
    left = [w["pid"] for w in workers if is_running(w["pid"])]
    if left:
        fail(f"the server has ended, but its workers {left} have not")
    say("SIGTERM: the server has stopped, its workers with it.")
    return {
        "calls_per_second": len(times) / took,
        "p50_ms": times[len(times) // 2] * 1000,
        "p99_ms": times[len(times) * 99 // 100] * 1000,
        "lost": len(errors),
        "calls": len(times),
        "recovery_ms": recovery * 1000,
    }


def main() -> None:
    program, directory, file_list, seconds, figures = sys.argv[1:]
    server, port = start_server(program, directory)
    try:
        told = tell(server, port, Path(file_list).read_text().splitlines(), float(seconds))
        Path(figures).write_text(json.dumps(told))
    finally:
        server.kill()
        server.wait()


main()

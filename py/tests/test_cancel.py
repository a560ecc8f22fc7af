from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import snakepit
from fake_host import WAIT, FakeHost, kind, untagged
from snakepit.v1 import control_pb2

SOURCE = '''
import asyncio
import functools
import os
import queue
import select
import signal
import socket
import subprocess
import threading
import time

import snakepit
from snakepit import _codec

ASK = signal.SIGRTMIN + 1
signal.signal(ASK, lambda *_: os._exit(99))  # the worker takes it over


def ready():
    """The host waits for this line."""
    print("ready")


def until_cancelled():
    """Goes on for a while after it, as code does that is not interrupted."""
    while not snakepit.current_call().cancelled:
        time.sleep(0.001)
    time.sleep(0.05)


def lock_twice():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def receive():
    ends = socket.socketpair()
    ends[0].recv(1)


def join():
    thread = threading.Thread(target=time.sleep, args=(60,), daemon=True)
    thread.start()
    thread.join()


def spin():
    while True:
        pass


def recurse(depth=200):
    if depth == 0:
        time.sleep(60)
    recurse(depth - 1)


BLOCKING = {
    "asyncio": lambda: asyncio.run(asyncio.sleep(60)),
    "event": lambda: threading.Event().wait(),
    "join": join,
    "lock": lock_twice,
    "queue": lambda: queue.Queue().get(),
    "read": lambda: os.read(os.pipe()[0], 1),
    "receive": receive,
    "recurse": recurse,
    "select": lambda: select.select([], [], []),
    "simple queue": lambda: queue.SimpleQueue().get(),
    "sleep": lambda: time.sleep(60),
    "spin": spin,
    "subprocess": lambda: subprocess.run(["sleep", "60"]),
}


@snakepit.tool
def block(how: str):
    ready()
    BLOCKING[how]()


written_in_c = snakepit.tool(functools.partial(os.read, os.pipe()[0], 1))


@snakepit.tool
def add(a: int, b: int = 0) -> int:
    return a + b


steps = []


@snakepit.tool
def clean_up():
    class Manager:
        def __enter__(self):
            return self

        def __exit__(self, type_, error, traceback):
            steps.append("exit " + type_.__name__)

    try:
        with Manager():
            try:
                ready()
                time.sleep(60)
            except Exception:
                steps.append("never")
    finally:
        time.sleep(0.02)
        steps.append("finally")


@snakepit.tool
def take_steps() -> list:
    return [steps.pop(0) for _ in range(len(steps))]


@snakepit.tool
def catch() -> list:
    try:
        ready()
        time.sleep(60)
    except snakepit.Cancelled as cancelled:
        time.sleep(0.05)  # nobody asks again by himself
        return [cancelled.reason, str(cancelled), snakepit.current_call().cancelled]


@snakepit.tool
def swallow(times: int) -> int:
    for _ in range(times):
        try:
            ready()
            time.sleep(60)
        except snakepit.Cancelled:
            pass
    return times


@snakepit.tool
def raise_unasked():
    raise snakepit.Cancelled


@snakepit.tool
def raise_when_asked():
    ready()
    signal.pthread_sigmask(signal.SIG_BLOCK, {ASK})
    try:
        until_cancelled()
        raise snakepit.Cancelled
    finally:
        while signal.sigtimedwait({ASK}, 0):
            pass
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {ASK})


@snakepit.tool
def fail_after():
    try:
        ready()
        time.sleep(60)
    finally:
        1 / 0


kept = []


@snakepit.tool
def keep() -> list:
    """Whether the calls that were kept say that they are cancelled; and keep this one."""
    answers = [call.cancelled for call in kept]
    kept.append(snakepit.current_call())
    return answers


@snakepit.tool
def keep_until_cancelled():
    kept.append(snakepit.current_call())
    ready()
    time.sleep(60)


@snakepit.tool
def wait_for(path: str) -> bool:
    ready()
    while not os.path.exists(path):
        time.sleep(0.001)
    return True


class Slow(dict):
    """Takes long to encode, in code of the tool's author."""

    def items(self):
        ready()
        until_cancelled()
        self["undisturbed"] = True
        return super().items()


class Dying:
    undisturbed = False

    def __del__(self):
        ready()
        until_cancelled()
        Dying.undisturbed = True


@snakepit.tool
def return_slow() -> dict:
    return Slow(undisturbed=False)


@snakepit.tool
def encode_by_itself() -> bool:
    result = Slow(undisturbed=False)
    try:
        _codec.encode(result)
        time.sleep(60)
    except snakepit.Cancelled:
        return result["undisturbed"]


@snakepit.tool
def drop() -> bool:
    try:
        Dying()
        time.sleep(60)
    except snakepit.Cancelled:
        return Dying.undisturbed


@snakepit.tool
def shield() -> bool:
    undisturbed = False
    signal.pthread_sigmask(signal.SIG_BLOCK, {ASK})
    try:
        ready()
        until_cancelled()
        undisturbed = True
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {ASK})
        time.sleep(60)
    except snakepit.Cancelled:
        return undisturbed


@snakepit.tool
def fork() -> int:
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), ASK)
        time.sleep(0.1)
        os._exit(7)
    try:
        ready()
        time.sleep(60)
    except snakepit.Cancelled:
        os.kill(child, ASK)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@snakepit.tool
def blocked_signals() -> list:
    """In this thread, in one of the tool's own, and in a program that it starts."""
    masks = [signal.pthread_sigmask(signal.SIG_BLOCK, ())]
    thread = threading.Thread(target=lambda: masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, ())))
    thread.start()
    thread.join()
    status = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout
    return [len(mask) for mask in masks] + [int(status.partition("SigBlk:")[2].split()[0], 16)]


class Slowly(snakepit.Adapter):
    def teardown(self) -> None:
        ready()
        time.sleep(0.2)
        print("torn down")
'''

Start = Callable[..., FakeHost]
ASK = signal.SIGRTMIN + 1


def begin(host: FakeHost, tool: str, *arguments: object, timeout_us: int = 0) -> int:
    """Send a call, and return its id when its tool is where it says that it is ready."""
    call = host.make_call(tool, list(arguments), timeout_us=timeout_us)
    host.send(call, sent_us=time.monotonic_ns() // 1000)
    wait_until_ready(host)
    return call.id


def wait_until_ready(host: FakeHost) -> None:
    assert untagged(host.printed()) == "ready\n"


def cancel(host: FakeHost, *ids: int) -> None:
    host.tell(cancel=control_pb2.Cancel(ids=ids))


def begin_and_cancel(host: FakeHost, tool: str, *arguments: object) -> int:
    call_id = begin(host, tool, *arguments)
    cancel(host, call_id)
    return call_id


def test_its_type_is_no_exception_that_is_caught_by_accident() -> None:
    assert not issubclass(snakepit.Cancelled, Exception)
    again = pickle.loads(pickle.dumps(snakepit.Cancelled("expired")))
    assert (again.reason, str(again)) == ("expired", "the deadline is over")


BLOCKING = [
    "asyncio", "event", "join", "lock", "queue", "read", "receive", "recurse", "select", "simple queue", "sleep",
    "spin", "subprocess",
]  # fmt: skip


@pytest.mark.parametrize("how", BLOCKING)
def test_whatever_a_tool_waits_for_is_ended(host: FakeHost, how: str) -> None:
    call_id = begin(host, "block", how)
    time.sleep(0.02)  # so that it most likely waits; it must end in any case
    cancelled_at = time.monotonic()
    cancel(host, call_id)
    reply = host.reply(call_id)
    assert time.monotonic() - cancelled_at < 2
    assert (kind(reply), reply.failure.message) == ("CANCELLED", "cancelled while the tool ran")
    assert reply.run_us > 0
    assert not reply.failure.traceback
    assert host.value(host.call("add", [5])) == 5


def test_a_tool_that_is_written_in_c_is_ended(host: FakeHost) -> None:
    call = host.make_call("written_in_c")
    host.send(call)
    while not host.ping(1).running_us:
        pass
    cancel(host, call.id)
    assert kind(host.reply(call.id)) == "CANCELLED"
    assert host.value(host.call("add", [5])) == 5


def test_it_is_heard_also_when_it_comes_just_before_the_tool_goes_to_sleep(host: FakeHost) -> None:
    for _ in range(200):
        assert kind(host.reply(begin_and_cancel(host, "block", "sleep"))) == "CANCELLED"


def test_a_tool_cleans_up(host: FakeHost) -> None:
    assert kind(host.reply(begin_and_cancel(host, "clean_up"))) == "CANCELLED"
    assert host.value(host.call("take_steps")) == ["exit Cancelled", "finally"]


def test_a_tool_may_catch_it_and_return(host: FakeHost) -> None:
    value = host.value(host.reply(begin_and_cancel(host, "catch")))
    assert value == ["cancelled", "the call was cancelled", True]


def test_a_tool_that_goes_on_can_be_asked_again(host: FakeHost) -> None:
    call_id = begin_and_cancel(host, "swallow", 3)
    for _ in range(2):
        wait_until_ready(host)
        cancel(host, call_id)
    assert host.value(host.reply(call_id)) == 3


def test_what_a_tool_raises_meanwhile_goes_first(host: FakeHost) -> None:
    reply = host.reply(begin_and_cancel(host, "fail_after"))
    assert (kind(reply), reply.failure.type) == ("TOOL_RAISED", "ZeroDivisionError")
    assert [cause.type for cause in reply.failure.causes] == ["snakepit._cancel.Cancelled"]


def test_a_tool_may_raise_it_by_itself_when_it_was_asked(host: FakeHost) -> None:
    assert kind(host.reply(begin_and_cancel(host, "raise_when_asked"))) == "CANCELLED"
    reply = host.call("raise_unasked")
    assert (kind(reply), reply.failure.type) == ("TOOL_RAISED", "snakepit._cancel.Cancelled")


@pytest.mark.parametrize("tool", ["catch", "clean_up"])
def test_expiry_is_told_from_cancelling(host: FakeHost, tool: str) -> None:
    call_id = begin(host, tool, timeout_us=500_000)
    time.sleep(0.5)
    cancel(host, call_id)
    reply = host.reply(call_id)
    if tool == "catch":
        assert host.value(reply) == ["expired", "the deadline is over", True]
    else:
        assert (kind(reply), reply.failure.message) == ("EXPIRED", "the deadline was over while the tool ran")


def test_cancelling_before_the_deadline_is_no_expiry(host: FakeHost) -> None:
    call_id = begin(host, "catch", timeout_us=60_000_000)
    cancel(host, call_id)
    assert host.value(host.reply(call_id))[0] == "cancelled"


def test_other_calls_than_the_running_one_are_not_asked(host: FakeHost, tmp_path: Path) -> None:
    gate = tmp_path / "go"
    host.call("add", [1])
    begin(host, "wait_for", str(gate))
    cancel(host, 1, 3)
    host.ping(1)
    time.sleep(0.05)
    gate.touch()
    assert host.value(host.reply(2)) is True
    assert kind(host.call("add", [3])) == "CANCELLED"
    cancel(host, 2, 3)
    host.ping(2)
    begin(host, "wait_for", str(gate))
    assert host.value(host.reply(4)) is True


def test_a_signal_from_elsewhere_does_nothing(host: FakeHost, tmp_path: Path) -> None:
    gate = tmp_path / "go"
    call_id = begin(host, "wait_for", str(gate))
    os.kill(host.process.pid, ASK)
    time.sleep(0.02)
    gate.touch()
    assert host.value(host.reply(call_id)) is True
    os.kill(host.process.pid, ASK)
    assert host.value(host.call("add", [1])) == 1


def test_a_kept_call_remembers_its_cancel(host: FakeHost) -> None:
    for _ in range(2):
        host.reply(begin_and_cancel(host, "keep_until_cancelled"))
    assert host.value(host.call("keep")) == [True, True]
    cancel(host, 3)  # it has ended
    assert host.value(host.call("keep")) == [True, True, False]


# Where it must not be raised


def test_encoding_the_result_is_not_interrupted(host: FakeHost) -> None:
    assert host.value(host.reply(begin_and_cancel(host, "return_slow"))) == {"undisturbed": True}
    assert host.value(host.call("add", [1])) == 1


def test_our_code_under_a_tool_is_not_interrupted_but_the_tool_is_when_it_returns(host: FakeHost) -> None:
    assert host.value(host.reply(begin_and_cancel(host, "encode_by_itself"))) is True


def test_destructors_where_it_would_be_lost_are_not_interrupted(host: FakeHost) -> None:
    assert host.value(host.reply(begin_and_cancel(host, "drop"))) is True


def test_code_that_blocks_the_signal_is_not_interrupted(host: FakeHost) -> None:
    assert host.value(host.reply(begin_and_cancel(host, "shield"))) is True


def test_forked_children_are_not_interrupted(host: FakeHost) -> None:
    assert host.value(host.reply(begin_and_cancel(host, "fork"))) == 7
    assert host.value(host.call("add", [1])) == 1


def test_nothing_is_blocked_in_threads_and_programs_of_tools(host: FakeHost) -> None:
    assert host.value(host.call("blocked_signals")) == [0, 0, 0]


def test_teardown_is_not_interrupted(host: FakeHost) -> None:
    host.tell(stop=control_pb2.Stop(last_id=0))
    host.ping(1)
    host.end_streams()
    wait_until_ready(host)
    os.kill(host.process.pid, ASK)
    assert host.process.stdout is not None
    assert host.process.stdout.readline() == b"torn down\n"
    assert host.exit_code() == 0


def test_stop_asks_the_running_tool_and_answers_what_has_not_begun(host: FakeHost) -> None:
    begin(host, "block", "sleep")
    host.send(*[host.make_call("add", [1]) for _ in range(3)])
    host.tell(stop=control_pb2.Stop(last_id=4))
    assert [kind(host.reply(index)) for index in (1, 2, 3, 4)] == ["CANCELLED"] * 4
    assert host.work.half_closed.wait(WAIT)
    host.end_streams()
    assert host.exit_code() == 0


# At random moments


@pytest.mark.timeout(120)
def test_a_hundred_thousand_cancels_at_random_moments(package: Path, tmp_path: Path, lane: str) -> None:
    seed = random.randrange(2**32)
    storm = Path(__file__).with_name("cancel_storm.py")
    paths = os.pathsep.join([str(package.parent), str(storm.parent)])
    ran = subprocess.run(
        [sys.executable, str(storm), str(package), str(tmp_path), lane, "100000", str(seed)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, f"seed {seed}\n{ran.stdout}{ran.stderr}"

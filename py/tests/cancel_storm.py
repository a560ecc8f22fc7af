"""One worker that runs short calls at full speed while they are cancelled at random moments. A program of its own.

usage: cancel_storm.py PACKAGE DIRECTORY LANE CANCELS SEED [PROFILE]

Most of the cancels come from a thread inside the worker, in place of the Control thread: the way through the socket
would let the calls of a few microseconds end first. Some come from the host, for calls in any state.
"""

from __future__ import annotations

import collections
import random
import sys
from pathlib import Path

from fake_host import FakeHost, kind
from snakepit import _codec
from snakepit.v1 import control_pb2, work_pb2

SOURCE = '''
import functools
import operator
import os
import random
import sys
import threading
import time

import snakepit
from snakepit import _context, _failure

__snakepit_thread_safe__ = True

CANCELS, SEED, OVER = {cancels}, {seed}, {over!r}

cancels = 0
sys.setswitchinterval(5e-6)  # so that the other thread comes in anywhere, not only where the lane waits


def dawdle_before_raising():
    """In another thread: what keeps a call's end from coming in between has to keep it away for longer."""
    from snakepit import _interrupt

    raise_now = _interrupt._set_async_exc

    def raise_late(thread, exception):
        for _ in range(300):
            pass
        raise_now(thread, exception)

    _interrupt._set_async_exc = raise_late


if {width} > 1:
    dawdle_before_raising()


def storm():
    global cancels
    while _context._provider is None:
        time.sleep(0.001)
    runner = _context._provider.__self__
    cancel, turn = runner.cancel, threading.Lock()

    def cancel_in_turn(ids):
        with turn:
            cancel(ids)

    runner.cancel = cancel_in_turn  # the control thread takes its turn too
    choose = random.Random(SEED)
    while cancels < CANCELS:
        # It runs, or is about to, or has just ended.
        begun = runner.progress().begun_id if {width} == 1 else choose.choice(list(runner._running) or [1])
        cancel_in_turn([begun])
        cancels += 1
        for _ in range(choose.randrange(60)):
            pass
        if choose.random() < 0.1:
            time.sleep(choose.random() * 1e-4)
    open(OVER, "w").close()


class Storm(snakepit.Adapter):
    def setup(self):
        threading.Thread(target=storm, daemon=True).start()


@snakepit.tool
def quick(number):
    return number


@snakepit.tool
def longer(number):
    return sum(number for _ in range(20)) // 20


@snakepit.tool
def tidy(number):
    steps = []
    try:
        steps.append(number)
    except snakepit.Cancelled:
        pass
    finally:
        steps.append(number)
    return steps[-1]


@snakepit.tool
def look(number):
    snakepit.current_call().remaining
    return number


@snakepit.tool
def nap(number):
    time.sleep(5e-5)
    return number


@snakepit.tool
def sleep_until_cancelled(number):
    """As long as the storm goes on somebody will cancel it."""
    if cancels < CANCELS - 1000:
        for _ in range(20 if {width} == 1 else 20000):  # only the main thread's sleep ends early
            time.sleep(1 if {width} == 1 else 0.001)
        raise TimeoutError("a cancel was lost")
    return number


def ours(cancelled):
    """Functions of ours that it came into, but for those by which it comes."""
    step = cancelled.__traceback__
    while step is not None:
        code, step = step.tb_frame.f_code, step.tb_next
        name = os.path.basename(code.co_filename)
        if code.co_filename.startswith(_failure.OWN_DIRECTORY) and name not in (
            "_cancel.py", "_interrupt.py", "_shield.py"
        ):
            yield f"{{name}}: {{code.co_name}}"


@snakepit.tool
def remember(number):
    """What it needs of its session it has been lent."""
    try:
        for _ in range(5):
            session = snakepit.session()
            assert session["v"] == [1, "two", {{"three": 4.5}}] and "w" not in session
            assert session.get_many(["v", "w"]) == {{"v": [1, "two", {{"three": 4.5}}]}}
            assert snakepit.current_call().session == "s"
            try:
                session["v"] = [1, "two", object()]
            except TypeError:
                continue
            raise AssertionError("it cannot travel")
    except snakepit.Cancelled as cancelled:
        return ", ".join(ours(cancelled)) or number
    return number


written_in_c = snakepit.tool(name="written_in_c")(functools.partial(operator.add, 0))
'''

TOOLS = ["quick", "longer", "tidy", "look", "nap", "remember", "remember", "written_in_c"]
FRAME = 48
LEASE = work_pb2.Lease(names=["v", "w"], values=[_codec.encode([1, "two", {"three": 4.5}]), b""], versions=[1, 0])
OUTSTANDING = 4 * FRAME
AHEAD = 10


def main(package: Path, directory: Path, lane: str, cancels: int, seed: int, profile: str) -> None:
    choose = random.Random(seed)
    over = directory / "over"
    width = 1 if profile == "process" else 4
    count: collections.Counter[str] = collections.Counter()
    source = SOURCE.format(cancels=cancels, seed=seed, over=str(over), width=width)
    with FakeHost(package, directory, source, lane, profile=profile, width=width) as host:
        host.attach()
        numbers: collections.deque[int] = collections.deque()  # that the calls under way were given
        ended = 0
        while numbers or not over.exists():
            if len(numbers) < OUTSTANDING and not over.exists():
                calls = []
                for _ in range(FRAME):
                    tool = "sleep_until_cancelled" if choose.random() < 0.001 else choose.choice(TOOLS)
                    numbers.append(choose.randrange(100))
                    lent = {"session": "s", "lease": LEASE} if tool == "remember" else {}
                    calls.append(host.make_call(tool, [numbers[-1]], **lent))
                host.send(*calls)
                ids = [max(1, ended + choose.randrange(-10, len(numbers) + AHEAD)) for _ in range(choose.randrange(6))]
                host.tell(cancel=control_pb2.Cancel(ids=ids))
                continue
            for _ in range(min(FRAME, len(numbers))):
                ended += 1
                reply = host.reply(ended)
                number = numbers.popleft()
                if reply.failure is not None:
                    assert kind(reply) == "CANCELLED", reply
                    count[reply.failure.message] += 1
                else:
                    assert host.value(reply) == number, reply
                    count["value"] += 1
        print(dict(count))
        for _ in range(AHEAD):  # some of these were cancelled long before
            host.call("quick", [1])
        assert host.value(host.call("quick", [7])) == 7


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        Path(sys.argv[2]),
        sys.argv[3],
        int(sys.argv[4]),
        int(sys.argv[5]),
        (sys.argv[6:] or ["process"])[0],
    )

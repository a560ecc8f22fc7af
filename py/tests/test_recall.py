from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_host import FakeHost, kind, until, word
from snakepit import _codec
from snakepit._page import BEGUN, DONE
from snakepit.v1 import control_pb2, work_pb2

SOURCE = """
import os
import time

import snakepit


@snakepit.tool
def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.001)


@snakepit.tool
def echo(value):
    return value


@snakepit.tool(input="items")
def read(items):
    return list(items)


@snakepit.tool
def inputs_kept():
    return sorted(snakepit._context._provider.__self__._streams._inputs)
"""


def recall(host: FakeHost, *ids: int) -> None:
    host.tell(recall=control_pb2.Recall(ids=ids))


def test_what_has_not_begun_is_given_back_while_a_tool_runs(host: FakeHost, tmp_path: Path) -> None:
    gate = tmp_path / "go"
    host.send(host.make_call("wait_for", [str(gate)]), *[host.make_call("echo", [index]) for index in range(4)])
    until(lambda: host.ping(1).running_us > 0)
    recall(host, 1, 2, 4, 5)
    assert [kind(host.reply(index)) for index in (2, 4, 5)] == ["RECALLED"] * 3
    assert [host.reply(index).run_us for index in (2, 4, 5)] == [0] * 3
    assert not gate.exists()
    gate.touch()
    assert host.value(host.reply(1)) is None
    assert host.value(host.reply(3)) == 1
    assert host.value(host.call("echo", [6])) == 6
    assert host.ping(2).ended_calls == 6


def test_what_has_begun_or_ended_is_not_touched(host: FakeHost) -> None:
    assert host.value(host.call("echo", [1])) == 1
    recall(host, 1)
    host.ping(1)
    assert host.value(host.call("echo", [2])) == 2
    assert [list(frame.ids) for frame in host.frames] == [[1], [2]]


def test_calls_that_have_not_come_are_given_back_too(host: FakeHost) -> None:
    recall(host, 1, 2)
    assert [kind(host.reply(1)), kind(host.reply(2))] == ["RECALLED"] * 2
    host.send(*[host.make_call("echo", [index]) for index in range(3)])
    assert host.value(host.reply(3)) == 2
    assert host.ping(1).ended_calls == 3


def test_their_large_arguments_are_forgotten(host: FakeHost) -> None:
    for call_id in range(1, 31):  # of a limit of 8 MiB
        recall(host, call_id)
        assert kind(host.reply(call_id)) == "RECALLED"
        assert kind(host.call_large("echo", _codec.encode(["x" * 400_000]))) == "RECALLED"
    assert host.value(host.call("echo", [1])) == 1


@pytest.mark.parametrize("profile", ["process", "thread"])
def test_their_input_is_forgotten(start: Callable[..., FakeHost], lane: str, tmp_path: Path, profile: str) -> None:
    host = start(CONCURRENT, lane=lane, profile=profile, width=1).attach()
    gate = tmp_path / "go"
    host.send(host.make_call("wait_for", [str(gate)]))
    recalled, cancelled = host.open("read"), host.open("read")
    wrong = host.open("read", [1])
    for call_id in (recalled, cancelled, wrong):
        host.say(items=[work_pb2.Items(call=call_id, values=[_codec.encode("x")])])
    until(lambda: host.ping(1).running_us > 0)
    recall(host, recalled)
    host.tell(cancel=control_pb2.Cancel(ids=[cancelled]))
    host.ping(2)
    gate.touch()
    assert kind(host.reply(recalled)) == "RECALLED"
    assert kind(host.reply(cancelled)) == "CANCELLED"
    assert kind(host.reply(wrong)) == "BAD_ARGUMENTS"
    assert host.value(host.call("inputs_kept")) == []


def test_replies_that_wait_for_their_frame_leave(host: FakeHost, tmp_path: Path) -> None:
    turned_slow = tmp_path / "slow"
    for _ in range(20):  # so fast that what ends before it waits for it
        host.value(host.call("wait_for", [str(tmp_path)]))
    calls = [host.make_call("wait_for", [str(tmp_path)]), host.make_call("wait_for", [str(turned_slow)])]
    host.send(*calls)
    until(lambda: word(host.page, BEGUN) == 22)
    recall(host)
    assert host.value(host.reply(21)) is None
    turned_slow.touch()
    assert host.value(host.reply(22)) is None


@pytest.mark.parametrize("recalled_first", [True, False])
def test_a_call_that_is_cancelled_too_ends_once(host: FakeHost, tmp_path: Path, recalled_first: bool) -> None:
    gate = tmp_path / "go"
    host.send(host.make_call("wait_for", [str(gate)]), host.make_call("echo", [1]))
    until(lambda: host.ping(1).running_us > 0)
    if recalled_first:
        recall(host, 2)
    host.tell(cancel=control_pb2.Cancel(ids=[2]))
    if not recalled_first:
        recall(host, 2)
    assert kind(host.reply(2)) == "RECALLED"
    gate.touch()
    assert host.value(host.call("echo", [3])) == 3
    assert host.ping(2).ended_calls == 3


def test_a_worker_that_drains_counts_them(host: FakeHost, tmp_path: Path) -> None:
    gate = tmp_path / "go"
    host.send(host.make_call("wait_for", [str(gate)]), host.make_call("echo", [1]))
    until(lambda: host.ping(1).running_us > 0)
    recall(host, 2)
    host.tell(drain=control_pb2.Drain(last_id=2))
    assert kind(host.reply(2)) == "RECALLED"
    gate.touch()
    assert host.value(host.reply(1)) is None
    assert host.work.half_closed.wait(10)
    host.end_streams()
    assert host.exit_code() == 0


def test_a_worker_that_stops_does_not_answer_for_them_again(host: FakeHost, tmp_path: Path) -> None:
    gate = tmp_path / "go"
    host.send(host.make_call("wait_for", [str(gate)]), *[host.make_call("echo", [index]) for index in range(2)])
    until(lambda: host.ping(1).running_us > 0)
    recall(host, 2)
    host.tell(stop=control_pb2.Stop(last_id=3))
    assert [kind(host.reply(index)) for index in (1, 2, 3)] == ["CANCELLED", "RECALLED", "CANCELLED"]
    host.end_streams()
    assert host.exit_code() == 0


def test_the_page_tells_that_they_were_given_back(host: FakeHost, tmp_path: Path) -> None:
    gate = tmp_path / "go"
    host.send(host.make_call("wait_for", [str(gate)]), host.make_call("echo", [1]))
    until(lambda: host.ping(1).running_us > 0)
    recall(host, 2)
    assert kind(host.reply(2)) == "RECALLED"
    assert (word(host.page, BEGUN), word(host.page, DONE)) == (1, 0)
    gate.touch()
    host.reply(1)
    until(lambda: word(host.page, DONE) == 2)
    entry = word(host.page, 8 + 2)  # where the entries of the calls are: see _page.py
    assert entry & 1 << 15, "it is kept as a failure"


CONCURRENT = f"__snakepit_thread_safe__ = True\n{SOURCE}"


@pytest.mark.parametrize("profile", ["thread", "async"])
def test_what_waits_for_a_place_is_given_back(
    start: Callable[..., FakeHost], lane: str, profile: str, tmp_path: Path
) -> None:
    gate = tmp_path / "go"
    host = start(CONCURRENT, lane=lane, profile=profile, width=2).attach()
    host.send(
        *[host.make_call("wait_for", [str(gate)]) for _ in range(2)],
        *[host.make_call("echo", [index]) for index in range(5)],
    )
    until(lambda: host.ping(1).begun_id >= 2 and host.ping(1).running_us > 0)
    recall(host, 1, 2, 3, 5, 7)
    assert [kind(host.reply(index)) for index in (3, 5, 7)] == ["RECALLED"] * 3
    assert not gate.exists()
    gate.touch()
    assert [host.value(host.reply(index)) for index in (1, 2, 4, 6)] == [None, None, 1, 3]
    assert host.value(host.call("echo", [8])) == 8
    until(lambda: host.ping(2).ended_calls == 8)
    assert word(host.page, BEGUN) == 8


STORM = """
import os
import random
import sys
import threading
import time

import snakepit
from snakepit import _context

SEED, OVER = {seed}, {over!r}

runs = []
sys.setswitchinterval(5e-6)  # so that the other thread comes in anywhere, not only where the lane waits


def storm():
    while _context._provider is None:
        time.sleep(0.001)
    runner = _context._provider.__self__
    choose = random.Random(SEED)
    while not os.path.exists(OVER):
        first = runner._begun_id + choose.randrange(3)  # it runs, or is about to, or has perhaps not come yet
        runner.recall(range(first, first + choose.randrange(1, 4)))
        for _ in range(choose.randrange(100)):
            pass
        if choose.random() < 0.1:
            time.sleep(choose.random() * 1e-4)


threading.Thread(target=storm, daemon=True).start()


@snakepit.tool(thread_safe=True)
def run():
    runs.append(None)
    for _ in range(len(runs) % 50):
        pass


@snakepit.tool(thread_safe=True)
def count():
    return len(runs)
"""


@pytest.mark.parametrize("profile", ["process", "thread", "async"])
@pytest.mark.timeout(120)
def test_each_of_twenty_thousand_recalls_at_random_moments_ends_once(
    start: Callable[..., FakeHost], tmp_path: Path, lane: str, profile: str
) -> None:
    seed, over = random.randrange(2**32), tmp_path / "over"
    source = STORM.format(seed=seed, over=str(over))
    host = start(source, lane=lane, profile=profile, width=1 if profile == "process" else 4).attach()
    ran = given_back = 0
    while given_back < 20_000:
        calls = [host.make_call("run") for _ in range(30)]
        host.send(*calls)
        for call in calls:  # FakeHost notices a second reply
            reply = host.reply(call.id)
            if reply.failure is None:
                ran += 1
            else:
                assert kind(reply) == "RECALLED", f"seed {seed}"
                given_back += 1
    over.touch()
    counted = host.call("count")
    while counted.failure is not None:  # recalled before it came
        counted = host.call("count")
    assert host.value(counted) == ran, f"seed {seed}"
    assert ran > 1000, f"seed {seed}: {ran} ran, {given_back} were given back"

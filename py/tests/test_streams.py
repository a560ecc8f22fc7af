from __future__ import annotations

import queue
from pathlib import Path
from typing import Any

import pytest
from fake_host import FakeHost, kind, until
from snakepit import _codec
from snakepit._protocol import STREAM_ITEM_COST, STREAM_WINDOW
from snakepit.v1 import control_pb2, work_pb2

SOURCE = """
import asyncio
import os
import time

import snakepit

__snakepit_thread_safe__ = True


@snakepit.tool
def echo(value):
    return value


@snakepit.tool(idempotent=True)
def count(n: int):
    yield from range(n)
    return "counted"


@snakepit.tool
def two_then_wait(path: str):
    yield 1
    yield 2
    while not os.path.exists(path):
        pass
    yield 3


@snakepit.tool
def texts(path: str, size: int, n: int):
    try:
        for _ in range(n):
            yield "x" * size
    finally:
        open(path, "w").close()


@snakepit.tool
async def texts_async(path: str, size: int, n: int):
    try:
        for _ in range(n):
            yield "x" * size
    finally:
        open(path, "w").close()


@snakepit.tool
async def tidies_up(path: str):
    try:
        yield {1, 2}
    finally:
        open(path + ".begun", "w").close()
        while not os.path.exists(path + ".go"):
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        open(path, "w").close()


@snakepit.tool(input="numbers")
def add(start: int, numbers, scale: int = 1) -> int:
    return start + scale * sum(numbers)


@snakepit.tool(input="lines")
def lengths(*, lines):
    for line in lines:
        yield len(line)


@snakepit.tool
def forks():
    yield 1
    child = os.fork()
    if child == 0:
        yield "from the child"
        return "from the child"
    os.waitpid(child, 0)
    yield 2


@snakepit.tool
def stubborn():
    try:
        yield 1
    finally:
        yield 2


@snakepit.tool
def idle() -> bool:
    return True
"""


@pytest.fixture(params=["process", "thread", "async"])
def profile(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def host(package: Path, tmp_path: Path, lane: str, profile: str) -> Any:
    width = 1 if profile == "process" else 4
    with FakeHost(package, tmp_path, SOURCE, lane, profile=profile, width=width) as running:
        yield running.attach()


def values(host: FakeHost, call_id: int) -> list[Any]:
    return [_codec.decode(item) for item in host.items.get(call_id, [])]


def bytes_of(host: FakeHost, call_id: int) -> int:
    return sum(len(item) + STREAM_ITEM_COST for item in host.items.get(call_id, []))


def grant(call_id: int, amount: int) -> dict[str, Any]:
    return {"grants": [work_pb2.Grant(call=call_id, bytes=amount)]}


def test_hello_says_what_streams(host: FakeHost) -> None:
    specs = {spec.name: spec for spec in host.hello.tools}
    assert specs["count"].flags == ["idempotent", "thread_safe", "stream"]
    assert specs["texts_async"].flags == ["thread_safe", "async", "stream"]
    assert specs["add"].flags == ["thread_safe", "input:numbers"]
    assert [parameter.name for parameter in specs["add"].parameters] == ["start", "scale"]
    assert specs["lengths"].flags == ["thread_safe", "stream", "input:lines"]
    assert specs["echo"].flags == ["thread_safe"]


def test_items_come_many_in_a_frame_and_before_the_reply(host: FakeHost) -> None:
    call_id = host.open("count", [10_000])
    reply = host.reply(call_id)
    assert values(host, call_id) == list(range(10_000))
    assert host.value(reply) == "counted"
    with_items = [frame for frame in host.frames if frame.streams.items]
    assert len(with_items) < 1_000


def test_no_item_waits_for_a_tool_that_computes(host: FakeHost, tmp_path: Path) -> None:
    call_id = host.open("two_then_wait", [str(tmp_path / "go")])
    host.take_until(lambda: len(host.items.get(call_id, [])) == 2)
    (tmp_path / "go").touch()
    assert host.value(host.reply(call_id)) is None
    assert values(host, call_id) == [1, 2, 3]


def test_a_call_without_a_stream_is_refused(host: FakeHost) -> None:
    for tool in ("count", "add"):
        reply = host.call(tool, [1])
        assert kind(reply) == "BAD_ARGUMENTS"
        assert reply.failure is not None
        assert "pool.stream" in reply.failure.message
    call_id = host.open("echo", ["x"])
    assert host.value(host.reply(call_id)) == "x"


@pytest.mark.parametrize("tool", ["texts", "texts_async"])
@pytest.mark.parametrize("size", [10, 30_000, 300_000, 3_000_000])
def test_credit_is_kept_to(host: FakeHost, tmp_path: Path, tool: str, size: int) -> None:
    many = 40_000 if size == 10 else 100  # two windows at least
    call_id = host.open(tool, [str(tmp_path / "end"), size, many])
    cost = len(_codec.encode("x" * size)) + STREAM_ITEM_COST
    first = -(-STREAM_WINDOW // cost)  # the last of them costs more than is left
    host.take_until(lambda: len(host.items.get(call_id, [])) == first)
    host.ping(1)
    with pytest.raises(queue.Empty):
        host._take(host.work.received.get(timeout=0.05))
    host.say(**grant(call_id, STREAM_WINDOW))
    host.take_until(lambda: bytes_of(host, call_id) >= 2 * STREAM_WINDOW)
    host.say(**grant(call_id, many * cost))
    assert host.value(host.reply(call_id)) is None
    assert values(host, call_id) == ["x" * size] * many


@pytest.mark.parametrize("tool", ["texts", "texts_async"])
def test_one_that_waits_for_credit_is_closed_when_cancelled(host: FakeHost, tmp_path: Path, tool: str) -> None:
    call_id = host.open(tool, [str(tmp_path / "end"), 100_000, 1_000])
    host.take_until(lambda: bytes_of(host, call_id) >= STREAM_WINDOW)
    host.tell(cancel=control_pb2.Cancel(ids=[call_id]))
    host.say(**grant(call_id, 0))
    assert kind(host.reply(call_id)) == "CANCELLED"
    assert (tmp_path / "end").exists()
    assert host.value(host.call("idle")) is True
    again = host.open(tool, [str(tmp_path / "end"), 1, 3])
    assert host.value(host.reply(again)) is None
    assert len(values(host, again)) == 3


@pytest.mark.parametrize("profile", ["process"])  # in the others a cancel is asyncio's alone
def test_no_cancel_leaves_a_generator_half_closed(host: FakeHost, tmp_path: Path) -> None:
    call_id = host.open("tidies_up", [str(tmp_path / "end")])  # yields what cannot travel
    until(lambda: (tmp_path / "end.begun").exists())
    host.tell(cancel=control_pb2.Cancel(ids=[call_id]))
    host.ping(1)  # it has come
    (tmp_path / "end.go").touch()
    host.reply(call_id)
    assert (tmp_path / "end").exists()


def test_input_is_read_and_paid_for(host: FakeHost) -> None:
    call_id = host.open("add", [100, 2])  # the parameter between the two is not given
    encoded = [_codec.encode(number) for number in range(10_000)]
    for begin in range(0, len(encoded), 500):
        host.say(items=[work_pb2.Items(call=call_id, values=encoded[begin : begin + 500])])
    host.say(items=[work_pb2.Items(call=call_id, finished=True)])
    assert host.value(host.reply(call_id)) == 100 + 2 * sum(range(10_000))
    sent = sum(len(item) + STREAM_ITEM_COST for item in encoded)
    assert sent - STREAM_WINDOW // 4 < host.used[call_id] <= sent


def test_input_comes_in_pieces_and_results_at_once(host: FakeHost) -> None:
    call_id = host.open("lengths")
    whole = _codec.encode("x" * 200_000)
    for begin in range(0, len(whole), 100_000):
        host.say(items=[work_pb2.Items(call=call_id, values=[whole[begin : begin + 100_000]], total=len(whole))])
    host.take_until(lambda: len(host.items.get(call_id, [])) == 1)
    host.say(items=[work_pb2.Items(call=call_id, values=[_codec.encode("four")], finished=True)])
    assert host.value(host.reply(call_id)) is None
    assert values(host, call_id) == [200_000, 4]


def test_input_of_calls_that_are_over_is_forgotten(host: FakeHost) -> None:
    late = host.open("add", [1])
    host.say(items=[work_pb2.Items(call=late, finished=True)])
    host.reply(late)
    host.say(items=[work_pb2.Items(call=late, values=[b"\x01"])])
    assert host.value(host.call("idle")) is True


def test_a_generator_that_goes_on_when_it_is_closed_is_an_error(host: FakeHost, tmp_path: Path) -> None:
    call_id = host.open("stubborn")
    assert host.value(host.reply(call_id)) is None
    assert values(host, call_id) == [1, 2]


def test_a_forked_child_sends_nothing(host: FakeHost) -> None:
    call_id = host.open("forks")
    assert host.value(host.reply(call_id)) is None
    assert values(host, call_id) == [1, 2]


def test_the_thread_that_looks_for_late_items_sleeps_when_there_is_nothing(host: FakeHost, tmp_path: Path) -> None:
    host.reply(host.open("count", [10]))
    before = _switches(host.process.pid)
    until(lambda: host.value(host.call("idle")) is True)
    host.ping(2)
    assert _switches(host.process.pid) - before < 50


def _switches(pid: int) -> int:
    """How often the thread of that name has gone to sleep."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        if "voluntary_ctxt_switches" in (text := (task / "status").read_text()):
            if (task / "comm").read_text().strip() == "snakepit-items":
                return int(text.split("voluntary_ctxt_switches:")[1].split()[0])
    return 0

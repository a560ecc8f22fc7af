"""The async profile: calls that await beside each other on one event loop; and async tools elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fake_host import WAIT, FakeHost, kind, until, word
from snakepit import _codec, _page
from snakepit.v1 import control_pb2, work_pb2

SOURCE = '''
import asyncio
import contextvars
import os
import threading
import time

import snakepit

here = {"count": 0}
barrier = threading.Barrier(3)


class Loops(snakepit.Adapter):
    async def setup(self):
        here["loop"] = asyncio.get_running_loop()
        here["all"] = asyncio.Event()

    @snakepit.tool
    async def on_the_loop_of_setup(self):
        return asyncio.get_running_loop() is here["loop"]


@snakepit.tool
async def echo(value):
    return value


@snakepit.tool
async def meet(count):
    """Returns when so many are here at once."""
    here["count"] += 1
    if here["count"] == count:
        here["all"].set()
    await here["all"].wait()
    return snakepit.current_call().id


@snakepit.tool
async def sleep(seconds):
    await asyncio.sleep(seconds)
    return snakepit.current_call().id


@snakepit.tool
async def tidy(begun, tidied):
    open(begun, "w").close()
    try:
        await asyncio.sleep(60)
    finally:
        with open(tidied, "w") as file:
            file.write(str(snakepit.current_call().cancelled))


@snakepit.tool
async def swallow(begun):
    open(begun, "w").close()
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return "all the same"


@snakepit.tool
async def cancels_itself():
    raise asyncio.CancelledError


@snakepit.tool
async def leave():
    raise SystemExit(3)


@snakepit.tool(thread_safe=True)
def meet_in_threads():
    barrier.wait(10)
    return [snakepit.current_call().id, threading.current_thread() is threading.main_thread()]


@snakepit.tool(thread_safe=True)
def spin(begun):
    open(begun, "w").close()
    while True:
        time.sleep(0.001)


@snakepit.tool(main_thread=True)
def on_main():
    return threading.current_thread() is threading.main_thread()


@snakepit.tool
async def block(until_path):
    while not os.path.exists(until_path):
        time.sleep(0.01)
    return True


@snakepit.tool
async def read(name):
    return snakepit.session()[name]


@snakepit.tool
async def read_in_thread(name):
    return await asyncio.to_thread(lambda: snakepit.session()[name])


@snakepit.tool
async def ask_host():
    return snakepit.host.anything()


mark = contextvars.ContextVar("mark", default=None)


@snakepit.tool
async def leave_mark(value):
    found = mark.get()
    mark.set(value)
    await asyncio.sleep(0)
    return [found, mark.get()]


@snakepit.tool
async def loop_module():
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]
'''


@pytest.fixture
def host(start: Callable[..., FakeHost], lane: str) -> FakeHost:
    return start(lane=lane, profile="async", width=100).attach()


def begin(host: FakeHost, *calls: work_pb2.Call) -> list[int]:
    host.send(*calls)
    return [call.id for call in calls]


def test_as_many_calls_as_are_allowed_await_at_once(host: FakeHost) -> None:
    ids = begin(host, *[host.make_call("meet", [100]) for _ in range(100)])
    assert [host.value(host.reply(call_id)) for call_id in ids] == ids


def test_no_more_calls_begin_than_are_allowed(host: FakeHost) -> None:
    ids = begin(host, host.make_call("sleep", [60.0]), *[host.make_call("meet", [100]) for _ in range(100)])
    until(lambda: host.ping(1).begun_id >= ids[-2])
    assert host.ping(2).begun_id == ids[-2]
    host.tell(cancel=control_pb2.Cancel(ids=[ids[0]]))
    assert kind(host.reply(ids[0])) == "CANCELLED"
    assert [host.value(host.reply(call_id)) for call_id in ids[1:]] == ids[1:]


def test_no_call_sees_context_variables_of_another(start: Callable[..., FakeHost], lane: str) -> None:
    host = start(lane=lane, profile="async", width=2).attach()
    ids = begin(host, *[host.make_call("leave_mark", [index]) for index in range(20)])
    assert [host.value(host.reply(call_id)) for call_id in ids] == [[None, index] for index in range(20)]


def test_setup_may_be_async_and_shares_the_loop(host: FakeHost) -> None:
    assert host.value(host.call("on_the_loop_of_setup")) is True


def test_a_cancel_is_raised_in_its_call_alone(host: FakeHost, tmp_path: Path) -> None:
    begun = [tmp_path / f"begun{number}" for number in range(3)]
    ids = begin(host, *[host.make_call("tidy", [str(path), str(path) + ".tidied"]) for path in begun])
    for path in begun:
        until(path.exists)
    for position in (1, 0, 2):
        host.tell(cancel=control_pb2.Cancel(ids=[ids[position]]))
        assert kind(host.reply(ids[position])) == "CANCELLED"
        assert Path(str(begun[position]) + ".tidied").read_text() == "True"
    assert host.value(host.call("echo", [1])) == 1


def test_a_cancel_that_comes_with_its_call_is_not_lost(host: FakeHost) -> None:
    for _ in range(200):
        (call_id,) = begin(host, host.make_call("sleep", [60]))
        host.tell(cancel=control_pb2.Cancel(ids=[call_id]))
        assert kind(host.reply(call_id)) == "CANCELLED"


def test_a_tool_may_return_all_the_same(host: FakeHost, tmp_path: Path) -> None:
    (call_id,) = begin(host, host.make_call("swallow", [str(tmp_path / "begun")]))
    until((tmp_path / "begun").exists)
    host.tell(cancel=control_pb2.Cancel(ids=[call_id]))
    assert host.value(host.reply(call_id)) == "all the same"


def test_a_deadline_is_told_from_a_cancel(host: FakeHost) -> None:
    (call_id,) = begin(host, host.make_call("sleep", [60], timeout_us=1_000_000))
    until(lambda: host.ping(1).begun_id == call_id and host.ping(2).running_us > 1_000_000)
    host.tell(cancel=control_pb2.Cancel(ids=[call_id]))
    assert kind(host.reply(call_id)) == "EXPIRED"


def test_what_a_tool_raises_is_its_own(host: FakeHost) -> None:
    for tool, type_ in (("cancels_itself", "CancelledError"), ("leave", "SystemExit")):
        reply = host.call(tool)
        assert kind(reply) == "TOOL_RAISED"
        assert reply.failure is not None
        assert reply.failure.type.endswith(type_)
    wrong = host.call("echo", [])
    assert (kind(wrong), wrong.run_us) == ("BAD_ARGUMENTS", 0)
    assert host.value(host.call("echo", [1])) == 1


def test_plain_functions_run_in_threads(host: FakeHost) -> None:
    ids = begin(host, *[host.make_call("meet_in_threads") for _ in range(3)])
    assert [host.value(host.reply(call_id)) for call_id in ids] == [[call_id, False] for call_id in ids]
    assert host.value(host.call("on_main")) is True


def test_a_plain_function_is_cancelled_too(host: FakeHost, tmp_path: Path) -> None:
    (call_id,) = begin(host, host.make_call("spin", [str(tmp_path / "begun")]))
    until((tmp_path / "begun").exists)
    host.tell(cancel=control_pb2.Cancel(ids=[call_id]))
    assert kind(host.reply(call_id)) == "CANCELLED"


def test_drain_and_stop(start: Callable[..., FakeHost], lane: str) -> None:
    drained = start(lane=lane, profile="async", width=4).attach()
    ids = begin(drained, *[drained.make_call("sleep", [0.01]) for _ in range(10)])
    drained.tell(drain=control_pb2.Drain(last_id=ids[-1]))
    assert [drained.value(drained.reply(call_id)) for call_id in ids] == ids
    assert drained.exit_code() == 0


def test_stop_asks_all_that_run_and_passes_over_the_rest(start: Callable[..., FakeHost], lane: str) -> None:
    host = start(lane=lane, profile="async", width=4).attach()
    ids = begin(host, *[host.make_call("sleep", [60]) for _ in range(10)])
    until(lambda: host.ping(1).begun_id == ids[3])
    host.tell(stop=control_pb2.Stop(last_id=ids[-1]))
    assert [kind(host.reply(call_id)) for call_id in ids] == ["CANCELLED"] * 10
    assert host.exit_code() == 0


def test_a_loop_that_does_not_turn_is_told_with_tool_and_stack(host: FakeHost, tmp_path: Path) -> None:
    (call_id,) = begin(host, host.make_call("block", [str(tmp_path / "go")]))
    assert host.process.stderr is not None
    told = host.process.stderr.readline().decode()
    assert "the event loop has been held up for 1." in told
    assert f"'block' (call {call_id})" in told
    stack = ""
    while "in block" not in stack:
        stack += host.process.stderr.readline().decode()
    said = control_pb2.ControlUp.FromString(host.control.received.get(timeout=WAIT)).loop_blocked
    assert said.blocked_us >= 1_000_000
    assert said.by == f"'block' (call {call_id})"
    assert "in block" in said.stack
    (tmp_path / "go").touch()
    assert host.value(host.reply(call_id)) is True
    said = control_pb2.ControlUp.FromString(host.control.received.get(timeout=WAIT)).loop_blocked
    assert (said.by, said.stack) == (f"'block' (call {call_id})", "")
    while "goes on: 'block'" not in told:
        told = host.process.stderr.readline().decode()


@pytest.mark.parametrize("tool", ["read", "read_in_thread"])
def test_sessions_are_read_from_the_loop_and_from_threads(host: FakeHost, tool: str) -> None:
    call = host.make_call(tool, ["v"])
    call.session = "s"
    host.send(call)
    asked = work_pb2.WorkUp.FromString(host.work.received.get(timeout=WAIT)).asks[0]
    assert asked.call == call.id
    finding = work_pb2.Finding(variables=[work_pb2.Variable(value=_codec.encode("found"), version=1)])
    answer = work_pb2.Answer(number=asked.number, finding=finding.SerializeToString())
    host.work.to_send.put(work_pb2.WorkDown(answers=[answer]).SerializeToString())
    assert host.value(host.reply(call.id)) == "found"


def test_host_tools_do_not_hold_up_the_loop(host: FakeHost) -> None:
    reply = host.call("ask_host")
    assert reply.failure is not None
    assert "await asyncio.to_thread(snakepit.host.anything, ...)" in reply.failure.message


def test_the_page_names_what_runs(host: FakeHost) -> None:
    ids = begin(host, *[host.make_call("meet", [4]) for _ in range(3)])
    until(lambda: word(host.page, _page.BEGUN) == ids[2])
    assert sorted(word(host.page, _page.PLACES + 2 * place) for place in range(4)) == [0, *ids]
    begin(host, host.make_call("meet", [4]))
    until(lambda: not any(word(host.page, _page.PLACES + 2 * place) for place in range(4)))


def test_uvloop_is_used_where_it_can_be_imported(start: Callable[..., FakeHost], tmp_path: Path) -> None:
    (tmp_path / "uvloop.py").write_text(
        "import asyncio\nclass Loop(asyncio.SelectorEventLoop): pass\nnew_event_loop = Loop\n"
    )
    host = start(profile="async", width=4).attach()
    assert host.value(host.call("loop_module")) == "uvloop"


@pytest.mark.parametrize("profile", ["process", "thread"])
def test_the_same_module_serves_elsewhere(
    start: Callable[..., FakeHost], lane: str, profile: str, tmp_path: Path
) -> None:
    source = SOURCE + "\n__snakepit_thread_safe__ = True\n"
    host = start(source, lane=lane, profile=profile, width=1).attach()
    assert host.value(host.call("echo", [1])) == 1
    (call_id,) = begin(host, host.make_call("tidy", [str(tmp_path / "begun"), str(tmp_path / "tidied")]))
    until((tmp_path / "begun").exists)
    host.tell(cancel=control_pb2.Cancel(ids=[call_id]))
    assert kind(host.reply(call_id)) == "CANCELLED"
    assert (tmp_path / "tidied").read_text() == "True"
    assert kind(host.call("cancels_itself")) == "TOOL_RAISED"
    assert host.value(host.call("echo", [2])) == 2

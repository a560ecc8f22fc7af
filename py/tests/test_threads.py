"""The thread profile: several calls at once in one worker."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_host import WAIT, FakeHost, kind, until, word
from snakepit import _codec, _page
from snakepit.v1 import control_pb2, work_pb2

SOURCE = """
import asyncio
import contextvars
import os
import threading
import time

import snakepit

__snakepit_thread_safe__ = True

barrier = threading.Barrier(4)
local = threading.local()
set_up = []
torn_down = []


class Threads(snakepit.Adapter):
    def setup_thread(self):
        local.number = threading.get_ident()
        set_up.append(threading.get_ident())

    def teardown_thread(self):
        torn_down.append(threading.get_ident())

    def teardown(self):
        with open(f"{os.path.dirname(__file__)}/torn_down", "w") as file:
            file.write(str(len(torn_down)))


@snakepit.tool
def echo(value):
    return value


@snakepit.tool
def meet(value):
    barrier.wait(10)
    return [value, snakepit.current_call().id, threading.get_ident(), local.number == threading.get_ident()]


@snakepit.tool(main_thread=True)
def where():
    return threading.current_thread() is threading.main_thread()


@snakepit.tool(main_thread=True)
def hold_main(path):
    while not os.path.exists(path):
        time.sleep(0.001)
    return True


@snakepit.tool
def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.001)
    return True


@snakepit.tool
def wait_begun(begun, path):
    open(begun, "w").close()
    while not os.path.exists(path):
        time.sleep(0.001)
    return True


@snakepit.tool
def tidy(begun, tidied):
    open(begun, "w").close()
    try:
        while True:
            time.sleep(0.001)
    finally:
        with open(tidied, "w") as file:
            file.write(str(snakepit.current_call().cancelled))


@snakepit.tool
def swallow(begun):
    open(begun, "w").close()
    try:
        while True:
            time.sleep(0.001)
    except snakepit.Cancelled as cancelled:
        return cancelled.reason


@snakepit.tool
def ids_of_helper():
    future = snakepit.run_in_thread(lambda: snakepit.current_call().id)
    return [snakepit.current_call().id, future.result()]


@snakepit.tool
def read(name):
    return snakepit.session()[name]


@snakepit.tool
def write(name, value):
    snakepit.session()[name] = value


@snakepit.tool
def fork():
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return child != 0


@snakepit.tool
async def nap(seconds):
    await asyncio.sleep(seconds)
    return snakepit.current_call().id


@snakepit.tool
def set_up_in():
    return len(set_up)


@snakepit.tool
def die():
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def host(start: Callable[..., FakeHost], lane: str) -> FakeHost:
    return start(lane=lane, profile="thread", width=4).attach()


def begin(host: FakeHost, *calls: work_pb2.Call) -> list[int]:
    host.send(*calls)
    return [call.id for call in calls]


def asks(host: FakeHost, count: int) -> list[work_pb2.Ask]:
    found: list[work_pb2.Ask] = []
    while len(found) < count:
        found.extend(work_pb2.WorkUp.FromString(host.work.received.get(timeout=WAIT)).asks)
    return found


def test_as_many_calls_as_there_are_threads_run_at_once(host: FakeHost) -> None:
    ids = begin(host, *[host.make_call("meet", [number]) for number in range(4)])
    values = [host.value(host.reply(call_id)) for call_id in ids]
    assert [value[0] for value in values] == [0, 1, 2, 3]
    assert [value[1] for value in values] == ids, "each has its own current_call()"
    assert len({value[2] for value in values}) == 4
    assert all(value[3] for value in values), "setup_thread() has run in each"


def test_the_host_is_told_what_tools_say_of_themselves(host: FakeHost) -> None:
    flags = {spec.name: list(spec.flags) for spec in host.hello.tools}
    assert (flags["echo"], flags["where"], flags["nap"]) == (
        ["thread_safe"],
        ["thread_safe", "main_thread"],
        ["thread_safe", "async"],
    )


def test_each_thread_is_set_up_once(host: FakeHost) -> None:
    for _ in range(8):
        host.call("echo", [1])
    assert host.value(host.call("set_up_in", [])) == 5, "the main thread too"


def test_calls_end_in_any_order(host: FakeHost, tmp_path: Path) -> None:
    slow, fast = begin(host, host.make_call("wait_for", [str(tmp_path / "go")]), host.make_call("echo", [7]))
    assert host.value(host.reply(fast)) == 7
    (tmp_path / "go").touch()
    assert host.value(host.reply(slow)) is True


def test_a_tool_of_the_main_thread_runs_there_and_holds_up_nobody(host: FakeHost, tmp_path: Path) -> None:
    assert host.value(host.call("where", [])) is True
    held, waits, free = begin(
        host,
        host.make_call("hold_main", [str(tmp_path / "go")]),
        host.make_call("where", []),
        host.make_call("echo", [1]),
    )
    assert host.value(host.reply(free)) == 1
    host.tell(cancel=control_pb2.Cancel(ids=[waits]))
    assert kind(host.reply(waits)) == "CANCELLED", "though it has not come to the main thread"
    (tmp_path / "go").touch()
    assert host.value(host.reply(held)) is True
    assert host.value(host.call("where", [])) is True


def test_what_waits_for_the_main_thread_has_not_begun(host: FakeHost, tmp_path: Path) -> None:
    ids = begin(
        host,
        host.make_call("hold_main", [str(tmp_path / "go")]),
        host.make_call("where", []),
        host.make_call("where", []),
        host.make_call("wait_for", [str(tmp_path / "go")]),
    )

    def begun() -> dict[int, bool]:
        places = [word(host.page, _page.PLACES + 2 * place) for place in range(8)]
        return {
            call_id: word(host.page, _page.PLACES + 2 * place + 1) != 0
            for place, call_id in enumerate(places)
            if call_id
        }

    until(lambda: begun() == dict(zip(ids, [True, False, False, True])))
    host.tell(recall=control_pb2.Recall(ids=[ids[0], ids[1], ids[3]]))
    assert kind(host.reply(ids[1])) == "RECALLED"
    until(lambda: begun() == {ids[0]: True, ids[2]: False, ids[3]: True})
    (tmp_path / "go").touch()
    assert [host.value(host.reply(call_id)) for call_id in (ids[0], ids[2], ids[3])] == [True, True, True]


def test_a_cancel_is_raised_in_its_call_alone(host: FakeHost, tmp_path: Path) -> None:
    begun = [tmp_path / f"begun{number}" for number in range(4)]
    ids = begin(host, *[host.make_call("tidy", [str(path), str(path) + ".tidied"]) for path in begun])
    for path in begun:
        until(path.exists)
    for position in (2, 0, 3, 1):
        host.tell(cancel=control_pb2.Cancel(ids=[ids[position]]))
        assert kind(host.reply(ids[position])) == "CANCELLED"
        assert Path(str(begun[position]) + ".tidied").read_text() == "True"
        assert host.ping(position + 1).ended_calls == (2, 0, 3, 1).index(position) + 1


def test_a_tool_may_return_all_the_same(host: FakeHost, tmp_path: Path) -> None:
    (call_id,) = begin(host, host.make_call("swallow", [str(tmp_path / "begun")]))
    until((tmp_path / "begun").exists)
    host.tell(cancel=control_pb2.Cancel(ids=[call_id]))
    assert host.value(host.reply(call_id)) == "cancelled"


def test_what_has_not_begun_is_passed_over_when_it_is_cancelled(host: FakeHost, tmp_path: Path) -> None:
    go = str(tmp_path / "go")
    ids = begin(host, *[host.make_call("wait_for", [go]) for _ in range(4)], host.make_call("echo", [1]))
    until(lambda: host.ping(1).begun_id == ids[3])
    host.tell(cancel=control_pb2.Cancel(ids=[ids[4]]))
    host.ping(2)
    (tmp_path / "go").touch()
    assert kind(host.reply(ids[4])) == "CANCELLED"
    assert [host.value(host.reply(call_id)) for call_id in ids[:4]] == [True] * 4


def test_helper_threads_belong_to_their_call(host: FakeHost) -> None:
    ids = begin(host, *[host.make_call("ids_of_helper", []) for _ in range(8)])
    assert [host.value(host.reply(call_id)) for call_id in ids] == [[call_id, call_id] for call_id in ids]


def test_async_tools_run_to_their_end_in_their_thread(host: FakeHost) -> None:
    ids = begin(host, *[host.make_call("nap", [0.01]) for _ in range(8)])
    assert [host.value(host.reply(call_id)) for call_id in ids] == ids
    (slow,) = begin(host, host.make_call("nap", [60]))
    until(lambda: host.ping(1).begun_id == slow)
    host.tell(cancel=control_pb2.Cancel(ids=[slow]))
    assert kind(host.reply(slow)) == "CANCELLED"


def test_drain_lets_all_that_came_end_and_threads_are_torn_down(host: FakeHost, tmp_path: Path) -> None:
    ids = begin(host, *[host.make_call("wait_for", [str(tmp_path / "go")]) for _ in range(6)])
    host.tell(drain=control_pb2.Drain(last_id=ids[-1]))
    (tmp_path / "go").touch()
    assert [host.value(host.reply(call_id)) for call_id in ids] == [True] * 6
    assert host.process.wait(WAIT) == 0
    assert (tmp_path / "torn_down").read_text() == "5"


def test_drain_to_zero_begins_no_more_and_lets_what_runs_end(host: FakeHost, tmp_path: Path) -> None:
    ids = begin(host, *[host.make_call("wait_for", [str(tmp_path / "go")]) for _ in range(6)])
    until(lambda: host.ping(1).begun_id == ids[3])
    host.tell(drain=control_pb2.Drain(last_id=0))
    host.ping(2)
    (tmp_path / "go").touch()
    assert [host.value(host.reply(call_id)) for call_id in ids[:4]] == [True] * 4
    assert host.process.wait(WAIT) == 0
    assert word(host.page, _page.BEGUN) == ids[3]


def test_stop_asks_all_that_run_and_passes_over_the_rest(host: FakeHost, tmp_path: Path) -> None:
    ids = begin(host, *[host.make_call("wait_for", [str(tmp_path / "go")]) for _ in range(6)])
    until(lambda: host.ping(1).begun_id == ids[3])
    host.tell(stop=control_pb2.Stop(last_id=ids[-1]))
    assert [kind(host.reply(call_id)) for call_id in ids] == ["CANCELLED"] * 6
    assert host.process.wait(WAIT) == 0


def test_the_page_names_what_runs(host: FakeHost, tmp_path: Path) -> None:
    ids = begin(
        host, *[host.make_call("wait_for", [str(tmp_path / "go")]) for _ in range(6)], host.make_call("echo", [1])
    )
    until(lambda: word(host.page, _page.BEGUN) == ids[3])
    running = [word(host.page, _page.PLACES + 2 * place) for place in range(8)]
    assert sorted(running) == [0] * 4 + ids[:4]
    (tmp_path / "go").touch()
    host.reply(ids[-1])
    until(lambda: not any(word(host.page, _page.PLACES + 2 * place) for place in range(8)))


def test_threads_ask_for_their_sessions_at_once(host: FakeHost) -> None:
    calls = [host.make_call("read", [f"v{number}"]) for number in range(4)]
    for number, call in enumerate(calls):
        call.session = f"s{number}"
    ids = begin(host, *calls)
    asked = asks(host, 4)
    assert sorted(ask.call for ask in asked) == ids, "all four wait at the same time"
    for ask in reversed(asked):
        name = work_pb2.Question.FromString(ask.question).read.names[0]
        finding = work_pb2.Finding(variables=[work_pb2.Variable(value=_codec.encode(name), version=1)])
        answer = work_pb2.Answer(number=ask.number, finding=finding.SerializeToString())
        host.work.to_send.put(work_pb2.WorkDown(answers=[answer]).SerializeToString())
    assert [host.value(host.reply(call_id)) for call_id in ids] == ["v0", "v1", "v2", "v3"]


def test_what_is_lent_is_read_without_asking_and_never_written(host: FakeHost) -> None:
    lease = work_pb2.Lease(
        names=["v"], values=[_codec.encode(7)], versions=[1], room_variables=9, room_bytes=999, max_value_bytes=99
    )
    call = host.make_call("read", ["v"], session="s", lease=lease)
    assert host.value(host.reply(*begin(host, call))) == 7
    write = host.make_call("write", ["v", 8], session="s", lease=lease)
    host.send(write)
    (asked,) = asks(host, 1)
    assert work_pb2.Question.FromString(asked.question).write.changes[0].name == "v"
    host.tell(cancel=control_pb2.Cancel(ids=[write.id]))
    assert kind(host.reply(write.id)) == "CANCELLED"


def test_a_forked_child_does_not_serve_calls(host: FakeHost) -> None:
    for _ in range(5):
        assert host.value(host.call("fork", [])) is True
    assert host.ping(1).ended_calls == 5


def test_a_cancel_ends_the_wait_for_an_answer(host: FakeHost) -> None:
    call = host.make_call("read", ["v"])
    call.session = "s"
    (call_id,) = begin(host, call)
    asks(host, 1)
    host.tell(cancel=control_pb2.Cancel(ids=[call_id]))
    assert kind(host.reply(call_id)) == "CANCELLED"


@pytest.mark.parametrize("profile", ["thread", "async"])
def test_a_module_that_does_not_say_that_it_can_is_refused(start: Callable[..., FakeHost], profile: str) -> None:
    source = (
        "import snakepit\n@snakepit.tool\ndef one(): pass\n@snakepit.tool(thread_safe=True)\ndef two(): pass\n"
        "@snakepit.tool(main_thread=True)\ndef three(): pass\n"
    )
    host = start(source, profile=profile, width=4)
    report = host.failure()
    assert report["stage"] == "options"
    assert ": one. @snakepit.tool(thread_safe=True)" in report["message"]


def test_a_setup_of_a_thread_that_fails_ends_the_start(start: Callable[..., FakeHost]) -> None:
    source = """
import threading
import snakepit
__snakepit_thread_safe__ = True
class Bad(snakepit.Adapter):
    def setup_thread(self):
        if threading.current_thread() is not threading.main_thread():
            raise ValueError("no licence")
    @snakepit.tool
    def f(self): pass
"""
    report = start(source, profile="thread", width=4).failure()
    assert (report["stage"], report["message"]) == ("setup", "no licence")


@pytest.mark.timeout(240)
def test_ten_thousand_cancels_at_random_moments(package: Path, tmp_path: Path, lane: str) -> None:
    storm = Path(__file__).with_name("cancel_storm.py")
    paths = os.pathsep.join([str(package.parent), str(storm.parent)])
    seed = int.from_bytes(os.urandom(4), "little")
    ran = subprocess.run(
        [sys.executable, str(storm), str(package), str(tmp_path), lane, "10000", str(seed), "thread"],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, f"seed {seed}\n{ran.stdout}{ran.stderr}"

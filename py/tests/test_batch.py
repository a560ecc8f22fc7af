"""Batch tools: calls that follow each other at one worker run together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
import snakepit
from fake_host import Answer, FakeHost, kind, until, word
from snakepit import _codec
from snakepit._batch import BatchResultError, one_at_a_time, results_of
from snakepit._page import BEGUN, DONE
from snakepit._tools import Toolbox, ToolError
from snakepit.v1 import control_pb2, work_pb2

SOURCE = '''
import os
import time

import snakepit


@snakepit.tool
def plain(value):
    return value


@snakepit.tool
def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.001)
    return True


@snakepit.tool(batch=True, max_batch=4)
def sizes(items: list) -> list:
    return [[item, len(items)] for item in items]


@snakepit.tool(batch=True)
def other_sizes(items):
    return [len(items)] * len(items)


@snakepit.tool(batch=True, max_batch=2, max_wait_ms=30_000)
def pairs(items):
    return [len(items)] * len(items)


@snakepit.tool(batch=True, max_wait_ms=20)
def patient(items):
    return [len(items)] * len(items)


def _raised(item):
    try:
        raise ValueError(f"{item} is odd")
    except ValueError as error:
        return error


@snakepit.tool(batch=True, idempotent=True)
def only_even(items):
    return [_raised(item) if item % 2 else item for item in items]


@snakepit.tool(batch=True)
def unraised(items):
    return [KeyError("never raised") if item else object() for item in items]


@snakepit.tool(batch=True)
def fails(items):
    raise RuntimeError(f"all {len(items)}")


@snakepit.tool(batch=True)
def short(items):
    return items[1:]


@snakepit.tool(batch=True)
def nothing(items):
    return None


@snakepit.tool(batch=True)
def hold(paths):
    """Says that it runs, then waits for paths[0]."""
    with open(paths[0] + ".log", "a") as log:
        log.write(f"begin {len(paths)}\\n")
        log.flush()
        try:
            while not os.path.exists(paths[0]):
                time.sleep(0.001)
        except snakepit.Cancelled as cancelled:
            log.write(f"{cancelled.reason} {[call.cancelled for call in snakepit.current_batch()]}\\n")
            raise
    return [[call.id, call.cancelled] for call in snakepit.current_batch()]


@snakepit.tool(batch=True)
def naps(seconds):
    time.sleep(sum(seconds))
    return seconds


def _of(function):
    try:
        return repr(function())
    except Exception as error:
        return f"{type(error).__name__}: {error}"


@snakepit.tool(batch=True)
def about(items):
    calls = snakepit.current_batch()
    said = [_of(snakepit.current_call), _of(snakepit.session), _of(snakepit.host.something)]
    return [[c.id, c.tool, c.session, c.remaining, c.traceparent, said] for c in calls]


@snakepit.tool
def about_one():
    return [call.id for call in snakepit.current_batch()] == [snakepit.current_call().id]
'''


@pytest.fixture
def direct(start: Callable[..., FakeHost]) -> FakeHost:
    """A worker that can be woken while it waits."""
    return start(lane="direct").attach()


def send(host: FakeHost, tool: str, items: list[Any], **fields: Any) -> list[work_pb2.Call]:
    """One frame with a call for each."""
    calls = [host.make_call(tool, [item], **fields) for item in items]
    host.send(*calls)
    return calls


def replies(host: FakeHost, calls: list[work_pb2.Call]) -> list[Answer]:
    return [host.reply(call.id) for call in calls]


def values(host: FakeHost, calls: list[work_pb2.Call]) -> list[Any]:
    return [host.value(reply) for reply in replies(host, calls)]


def log_of(path: Path) -> str:
    log = Path(f"{path}.log")
    return log.read_text() if log.exists() else ""


# What is gathered


def test_calls_of_one_frame_run_together_up_to_max_batch(host: FakeHost) -> None:
    calls = send(host, "sizes", list("abcdefghij"))
    assert values(host, calls) == [[c, 4] for c in "abcdefgh"] + [["i", 2], ["j", 2]]


def test_a_call_of_another_tool_ends_a_batch_and_all_keep_their_order(host: FakeHost) -> None:
    tools = ["sizes", "sizes", "plain", "sizes", "other_sizes", "other_sizes", "plain"]
    calls = [host.make_call(tool, [i]) for i, tool in enumerate(tools)]
    host.send(*calls)
    assert values(host, calls) == [[0, 2], [1, 2], 2, [3, 1], 2, 2, 6]
    ends = [call_id for frame in host.frames for call_id in frame.ids]
    assert ends == sorted(ends)


def test_what_has_come_in_many_frames_while_a_tool_ran_is_one_batch(direct: FakeHost, tmp_path: Path) -> None:
    host = direct
    gate = host.make_call("wait_for", [str(tmp_path / "go")])
    host.send(gate)
    until(lambda: host.ping(1).running_us > 0)
    calls = [send(host, "other_sizes", [i])[0] for i in range(20)]
    until(lambda: host.ping(2).running_us > 50_000)  # time for grpc to have read them; there is no event for that
    (tmp_path / "go").touch()
    assert host.value(host.reply(gate.id)) is True
    assert len(set(values(host, calls))) <= 2, "all, or all that had come"
    assert max(values(host, calls)) >= 10


def test_a_batch_waits_until_it_is_full(direct: FakeHost) -> None:
    (first,) = send(direct, "pairs", [1])
    until(lambda: direct.ping(1).received_id == 1)
    assert direct.ping(2).begun_id == 0
    (second,) = send(direct, "pairs", [2])
    assert values(direct, [first, second]) == [2, 2]


def test_a_batch_waits_no_longer_than_it_may(host: FakeHost) -> None:
    assert values(host, send(host, "patient", [1])) == [1]
    assert values(host, send(host, "patient", [1])) == [1]


def test_a_batch_that_waits_gives_way_to_a_call_of_another_tool(direct: FakeHost) -> None:
    waiting = send(direct, "pairs", [1])
    until(lambda: direct.ping(1).received_id == 1)
    other = send(direct, "plain", ["other"])
    assert values(direct, waiting + other) == [1, "other"]


def test_drain_does_not_wait_for_more(direct: FakeHost) -> None:
    waiting = send(direct, "pairs", [1])
    until(lambda: direct.ping(1).received_id == 1)
    direct.tell(drain=control_pb2.Drain(last_id=1))
    assert values(direct, waiting) == [1]


def test_stop_does_not_begin_a_batch_that_waits(direct: FakeHost) -> None:
    waiting = send(direct, "pairs", [1])
    until(lambda: direct.ping(1).received_id == 1)
    direct.tell(stop=control_pb2.Stop(last_id=1))
    assert [kind(reply) for reply in replies(direct, waiting)] == ["CANCELLED"]


def test_a_cancelled_call_of_a_batch_that_waits_is_left_out(direct: FakeHost) -> None:
    (first,) = send(direct, "pairs", [1])
    until(lambda: direct.ping(1).received_id == 1)
    direct.tell(cancel=control_pb2.Cancel(ids=[first.id]))
    direct.ping(2)
    (second,) = send(direct, "pairs", [2])
    assert values(direct, [second]) == [1]
    assert kind(direct.reply(first.id)) == "CANCELLED"


# What each call gets


def test_arguments_by_name_and_large_ones(host: FakeHost) -> None:
    assert host.value(host.call("sizes", {"items": "x"})) == ["x", 1]
    large = "x" * 400_000
    assert host.value(host.call_large("sizes", _codec.encode([large]))) == [large, 1]
    assert host.value(host.call("sizes", [[1, 2]])) == [[1, 2], 1]
    assert host.value(host.call("sizes", 5)) == [5, 1]


def test_an_exception_in_the_list_fails_its_call_alone(host: FakeHost) -> None:
    calls = send(host, "only_even", [0, 1, 2, 3])
    got = replies(host, calls)
    assert [host.value(got[i]) for i in (0, 2)] == [0, 2]
    for i in (1, 3):
        failure = got[i].failure
        assert failure is not None
        assert (kind(got[i]), failure.type, failure.message) == ("TOOL_RAISED", "ValueError", f"{i} is odd")
        assert "in _raised" in failure.traceback
    never, strange = replies(host, send(host, "unraised", [1, 0]))
    assert never.failure is not None
    assert never.failure.type == "KeyError"
    assert never.failure.traceback == "KeyError: 'never raised'\n"
    assert kind(strange) == "UNSERIALIZABLE"


def test_what_it_raises_fails_all(host: FakeHost) -> None:
    for reply in replies(host, send(host, "fails", [1, 2, 3])):
        assert reply.failure is not None
        assert (kind(reply), reply.failure.type, reply.failure.message) == ("TOOL_RAISED", "RuntimeError", "all 3")
        assert "in fails" in reply.failure.traceback


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        ("short", "short returned 2 results for a batch of 3"),
        ("nothing", "nothing returned NoneType for a batch of 3: a list of 3 was wanted"),
    ],
)
def test_a_result_that_does_not_fit_fails_all(host: FakeHost, tool: str, words: str) -> None:
    for reply in replies(host, send(host, tool, [1, 2, 3])):
        assert reply.failure is not None
        assert kind(reply) == "TOOL_RAISED"
        assert (reply.failure.type, reply.failure.message) == ("snakepit.BatchResultError", words)


def test_calls_that_are_wrong_or_late_are_left_out(host: FakeHost) -> None:
    calls = [
        host.make_call("other_sizes", [1]),
        host.make_call("other_sizes", [1, 2]),
        host.make_call("other_sizes", {"item": 1}),
        host.make_call("other_sizes", inline=b"\xc1"),
        host.make_call("other_sizes", [1], timeout_us=1),
        host.make_call("other_sizes", [1], timeout_us=30_000_000),
    ]
    host.send(*calls, sent_us=int(time.monotonic() * 1e6) - 1000)
    got = replies(host, calls)
    assert [host.value(got[i]) for i in (0, 5)] == [2, 2]
    assert [kind(got[i]) for i in (1, 2, 3, 4)] == ["BAD_ARGUMENTS", "BAD_ARGUMENTS", "UNDECODABLE", "EXPIRED"]
    assert [got[i].run_us for i in (1, 2, 3, 4)] == [0] * 4
    failure = got[1].failure
    assert failure is not None
    assert "too many arguments: 2 given" in failure.message


def test_its_time_is_divided_among_its_calls(host: FakeHost) -> None:
    before = time.monotonic()
    calls = send(host, "naps", [0.02] * 4)
    times = [reply.run_us for reply in replies(host, calls)]
    assert len(set(times)) == 1
    assert 0.08 <= 4e-6 * times[0] + 1e-5
    assert 4e-6 * times[0] <= time.monotonic() - before


# Cancelling


def test_cancelled_before_it_was_begun_a_call_is_left_out(direct: FakeHost, tmp_path: Path) -> None:
    host, gate = direct, tmp_path / "go"
    calls = [host.make_call("wait_for", [str(gate)]), *[host.make_call("other_sizes", [i]) for i in range(4)]]
    host.send(*calls)
    until(lambda: host.ping(1).running_us > 0)
    host.tell(cancel=control_pb2.Cancel(ids=[calls[2].id, calls[4].id]))
    host.ping(2)
    gate.touch()
    got = replies(host, calls)
    assert [host.value(got[i]) for i in (0, 1, 3)] == [True, 2, 2]
    assert [kind(got[i]) for i in (2, 4)] == ["CANCELLED", "CANCELLED"]


def test_calls_that_were_given_back_are_left_out_and_end_once(direct: FakeHost, tmp_path: Path) -> None:
    host, gate = direct, tmp_path / "go"
    calls = [host.make_call("wait_for", [str(gate)]), *[host.make_call("other_sizes", [i]) for i in range(4)]]
    host.send(*calls)
    until(lambda: host.ping(1).running_us > 0)
    host.tell(recall=control_pb2.Recall(ids=[calls[2].id, calls[4].id]))
    assert [kind(host.reply(calls[i].id)) for i in (2, 4)] == ["RECALLED", "RECALLED"]
    gate.touch()
    assert values(host, [calls[i] for i in (0, 1, 3)]) == [True, 2, 2]
    until(lambda: host.ping(2).ended_calls == len(calls))
    ends = [id for frame in host.frames for id in (*frame.ids, *[reply.id for reply in frame.replies])]
    assert sorted(ends) == [call.id for call in calls]


def test_a_cancelled_call_of_a_running_batch_disturbs_nobody(host: FakeHost, tmp_path: Path) -> None:
    gate = tmp_path / "go"
    calls = send(host, "hold", [str(gate)] * 3)
    until(lambda: log_of(gate) == "begin 3\n")
    host.tell(cancel=control_pb2.Cancel(ids=[calls[0].id, calls[2].id]))
    pong = host.ping(1)
    assert (pong.begun_id, pong.ended_calls) == (3, 0)
    gate.touch()
    assert host.value(host.reply(calls[1].id)) == [calls[1].id, False]
    assert log_of(gate) == "begin 3\n"
    host.reply(calls[0].id)
    host.reply(calls[2].id)


def test_a_batch_that_nobody_wants_is_interrupted(host: FakeHost, tmp_path: Path) -> None:
    gate = tmp_path / "go"
    calls = send(host, "hold", [str(gate)] * 3)
    until(lambda: log_of(gate) == "begin 3\n")
    for call in (calls[1], calls[0], calls[2]):
        host.tell(cancel=control_pb2.Cancel(ids=[call.id]))
    assert [kind(reply) for reply in replies(host, calls)] == ["CANCELLED"] * 3
    assert log_of(gate) == "begin 3\ncancelled [True, True, True]\n"
    assert values(host, send(host, "sizes", [1])) == [[1, 1]]


def test_stop_interrupts_a_running_batch(host: FakeHost, tmp_path: Path) -> None:
    gate = tmp_path / "go"
    calls = send(host, "hold", [str(gate)] * 2)
    until(lambda: log_of(gate) == "begin 2\n")
    host.tell(stop=control_pb2.Stop(last_id=2))
    assert [kind(reply) for reply in replies(host, calls)] == ["CANCELLED"] * 2


def test_a_batch_whose_time_is_over_says_so(host: FakeHost, tmp_path: Path) -> None:
    gate = tmp_path / "go"
    calls = send(host, "hold", [str(gate)] * 2, timeout_us=1_000_000)
    until(lambda: log_of(gate) == "begin 2\n")
    time.sleep(1.1)  # what the deadlines are about
    host.tell(cancel=control_pb2.Cancel(ids=[call.id for call in calls]))
    assert [kind(reply) for reply in replies(host, calls)] == ["EXPIRED"] * 2
    assert log_of(gate) == "begin 2\nexpired [True, True]\n"


# What the host and the tool know


def test_the_page_says_that_all_have_begun_and_none_is_done(host: FakeHost, tmp_path: Path) -> None:
    assert host.value(host.call("plain", [1])) == 1
    gate = tmp_path / "go"
    calls = send(host, "hold", [str(gate)] * 3)
    until(lambda: log_of(gate) == "begin 3\n")
    assert (word(host.page, BEGUN), word(host.page, DONE)) == (4, 1)
    gate.touch()
    replies(host, calls)
    assert (word(host.page, BEGUN), word(host.page, DONE)) == (4, 4)


def test_a_batch_has_no_one_call(host: FakeHost) -> None:
    calls = send(host, "about", ["a", "b"], session="key", timeout_us=60_000_000)
    traces = set()
    for call, about in zip(calls, values(host, calls)):
        call_id, tool, session, remaining, trace, said = about
        assert (call_id, tool, session) == (call.id, "about", "key")
        traces.add(trace)
        assert 0 < remaining <= 60
        assert len(said) == 3
        for words in said:
            assert words.startswith("RuntimeError: snakepit.")
            assert "snakepit.current_batch() describes them" in words
    assert len(traces) == 2, "each call has a trace of its own"
    assert host.value(host.call("about_one", [])) is True


def test_hello_tells_of_batches(host: FakeHost) -> None:
    flags = {spec.name: list(spec.flags) for spec in host.hello.tools}
    assert flags["sizes"] == ["batch:4"]
    assert flags["only_even"] == ["idempotent", "batch:64"]
    assert flags["plain"] == []


# Marking


def toolbox_of(*functions: Callable[..., Any]) -> Toolbox:
    from types import ModuleType

    module = ModuleType("made")
    for function in functions:
        setattr(module, function.__name__, function)
    return Toolbox(module)


@pytest.mark.parametrize(
    ("terms", "raised"),
    [
        ({"batch": 1}, TypeError),
        ({"batch": "yes"}, TypeError),
        ({"max_batch": 5}, TypeError),
        ({"max_wait_ms": 5}, TypeError),
        ({"batch": True, "max_batch": 0}, ValueError),
        ({"batch": True, "max_batch": -1}, ValueError),
        ({"batch": True, "max_batch": 4097}, ValueError),
        ({"batch": True, "max_batch": True}, TypeError),
        ({"batch": True, "max_batch": 2.0}, TypeError),
        ({"batch": True, "max_wait_ms": -0.1}, ValueError),
        ({"batch": True, "max_wait_ms": float("nan")}, ValueError),
        ({"batch": True, "max_wait_ms": 60_001}, ValueError),
        ({"batch": True, "max_wait_ms": "1"}, TypeError),
    ],
)
def test_terms_that_cannot_be_meant_are_refused_at_once(terms: dict[str, Any], raised: type[Exception]) -> None:
    with pytest.raises(raised, match=r"@snakepit\.tool: \w+ "):
        snakepit.tool(**terms)(lambda items: items)


def test_a_batch_tool_has_one_parameter() -> None:
    def two(items: list[int], other: int = 0) -> list[int]:
        return items

    def none() -> list[int]:
        return []

    def named(*, items: list[int]) -> list[int]:
        return items

    def star(*items: int) -> list[int]:
        return list(items)

    for function in (two, none, named, star):
        with pytest.raises(ToolError, match=f"tool '{function.__name__}' .* takes one parameter, the list"):
            toolbox_of(snakepit.tool(batch=True)(function))


def test_generators_are_no_batch_tools() -> None:
    def generator(items: list[int]) -> Iterator[int]:
        yield 1

    with pytest.raises(ToolError):
        toolbox_of(snakepit.tool(batch=True)(generator))


def test_it_can_be_called_directly_and_runs_for_one() -> None:
    @snakepit.tool(batch=True)
    def doubled(items: list[Any]) -> list[Any]:
        return [ValueError("none") if item is None else 2 * item for item in items]

    assert doubled([1, 2]) == [2, 4]
    single = toolbox_of(doubled).tools[0].function
    assert single(3) == 6
    assert single(items=3) == 6
    with pytest.raises(ValueError, match="none"):
        single(None)
    with pytest.raises(BatchResultError, match="f returned 0 results for a batch of 1"):
        one_at_a_time(lambda items: [], "f")(1)
    assert results_of((1, 2), 2, "f") == (1, 2)


@pytest.mark.parametrize("profile", ["thread", "async"])
def test_in_other_profiles_each_call_has_a_list_of_its_own(start: Callable[..., FakeHost], profile: str) -> None:
    host = start(f"__snakepit_thread_safe__ = True\n{SOURCE}", profile=profile, width=4).attach()
    assert values(host, send(host, "sizes", list("abc"))) == [["a", 1], ["b", 1], ["c", 1]]
    even, odd = replies(host, send(host, "only_even", [2, 3]))
    assert host.value(even) == 2
    assert odd.failure is not None
    assert (odd.failure.type, odd.failure.message) == ("ValueError", "3 is odd")
    (short,) = replies(host, send(host, "short", [1]))
    assert short.failure is not None
    assert short.failure.message == "short returned 0 results for a batch of 1"


ASYNC_SOURCE = '''
import asyncio
import os

import snakepit

count = 0


@snakepit.tool
async def echo(value):
    return value


@snakepit.tool(batch=True, max_batch=4)
async def sizes(items: list) -> list:
    await asyncio.sleep(0)
    return [[item, len(items)] for item in items]


@snakepit.tool(batch=True, max_batch=4, max_wait_ms=30_000)
async def fours(items):
    return [len(items)] * len(items)


@snakepit.tool(batch=True, max_wait_ms=20)
async def patient(items):
    return [len(items)] * len(items)


@snakepit.tool(batch=True)
async def only_even(items):
    return [ValueError(f"{item} is odd") if item % 2 else item for item in items]


@snakepit.tool(batch=True)
async def fails(items):
    raise RuntimeError(f"all {len(items)}")


@snakepit.tool(batch=True)
async def short(items):
    return items[1:]


@snakepit.tool(batch=True)
async def hold(paths):
    """Says that it runs, then waits for paths[0]."""
    with open(paths[0] + ".log", "a") as log:
        log.write(f"begin {len(paths)}\\n")
        log.flush()
        try:
            while not os.path.exists(paths[0]):
                await asyncio.sleep(0.001)
        except asyncio.CancelledError:
            log.write(f"cancelled {[call.cancelled for call in snakepit.current_batch()]}\\n")
            raise
    return [[call.id, call.cancelled] for call in snakepit.current_batch()]


@snakepit.tool(batch=True)
async def who(items):
    said = []
    for ask in (snakepit.current_call, snakepit.session, snakepit.host.anything):
        try:
            ask()
        except RuntimeError as error:
            said.append("current_batch()" in str(error))
    return [said] * len(items)
'''


@pytest.fixture
def on_loop(start: Callable[..., FakeHost], lane: str) -> FakeHost:
    return start(ASYNC_SOURCE, lane=lane, profile="async", width=32).attach()


def test_on_a_loop_calls_that_are_there_are_one_list_whatever_comes_between(on_loop: FakeHost) -> None:
    host = on_loop
    calls = []
    for number in range(6):
        calls += [host.make_call("sizes", [number]), host.make_call("echo", [number])]
    host.send(*calls)
    found = [host.value(host.reply(call.id)) for call in calls]
    assert found[1::2] == [0, 1, 2, 3, 4, 5]
    assert found[0::2] == [[0, 4], [1, 4], [2, 4], [3, 4], [4, 2], [5, 2]]


def test_on_a_loop_a_batch_waits_until_it_is_full_and_holds_up_nobody(on_loop: FakeHost) -> None:
    host = on_loop
    calls = [call for _ in range(3) for call in send(host, "fours", [0])]
    assert host.value(host.call("echo", [1])) == 1
    calls += send(host, "fours", [0])
    assert values(host, calls) == [4, 4, 4, 4]
    assert values(host, send(host, "patient", [0, 0])) == [2, 2]


def test_on_a_loop_a_batch_is_full_when_no_more_can_come(start: Callable[..., FakeHost]) -> None:
    host = start(ASYNC_SOURCE, profile="async", width=2).attach()
    assert values(host, send(host, "fours", [0, 0, 0, 0])) == [2, 2, 2, 2]


def test_on_a_loop_what_is_given_back_or_cancelled_while_it_waits_is_left_out(on_loop: FakeHost) -> None:
    host = on_loop
    calls = send(host, "fours", [0, 0, 0])
    until(lambda: host.ping(1).begun_id == calls[2].id)
    host.tell(recall=control_pb2.Recall(ids=[calls[0].id]))
    assert kind(host.reply(calls[0].id)) == "RECALLED"
    host.tell(cancel=control_pb2.Cancel(ids=[calls[1].id]))
    assert kind(host.reply(calls[1].id)) == "CANCELLED"
    calls += send(host, "fours", [0])
    assert values(host, calls[2:]) == [2, 2]


def test_on_a_loop_errors_are_those_of_their_calls(on_loop: FakeHost) -> None:
    host = on_loop
    even, odd = replies(host, send(host, "only_even", [2, 3]))
    assert host.value(even) == 2
    assert odd.failure is not None
    assert (odd.failure.type, odd.failure.message) == ("ValueError", "3 is odd")
    for tool, message in (("fails", "all 2"), ("short", "short returned 1 results for a batch of 2")):
        for reply in replies(host, send(host, tool, [1, 2])):
            assert reply.failure is not None
            assert reply.failure.message == message
    wrong = host.make_call("sizes", [1, 2])
    right = host.make_call("sizes", [3])
    host.send(wrong, right)
    assert kind(host.reply(wrong.id)) == "BAD_ARGUMENTS"
    assert host.value(host.reply(right.id)) == [3, 1]
    assert values(host, send(host, "who", [1])) == [[True, True, True]]


def test_on_a_loop_a_cancelled_call_ends_at_once_and_the_last_ends_the_batch(on_loop: FakeHost, tmp_path: Path) -> None:
    host = on_loop
    for last, words in ((False, "begin 2\n"), (True, "begin 2\ncancelled [True, True]\n")):
        path = tmp_path / str(last)
        log = Path(f"{path}.log")
        calls = send(host, "hold", [str(path), str(path)])
        until(lambda log=log: log.exists() and log.read_text() == "begin 2\n")  # type: ignore[misc]
        host.tell(cancel=control_pb2.Cancel(ids=[calls[0].id]))
        assert kind(host.reply(calls[0].id)) == "CANCELLED"
        if last:
            host.tell(cancel=control_pb2.Cancel(ids=[calls[1].id]))
            assert kind(host.reply(calls[1].id)) == "CANCELLED"
            until(lambda log=log, words=words: log.read_text() == words)  # type: ignore[misc]
        else:
            path.touch()
            assert host.value(host.reply(calls[1].id)) == [calls[1].id, False]
            assert log.read_text() == words


def test_on_a_loop_drain_does_not_wait_for_more_and_stop_begins_none(start: Callable[..., FakeHost], lane: str) -> None:
    host = start(ASYNC_SOURCE, lane=lane, profile="async", width=32).attach()
    calls = send(host, "fours", [0, 0])
    host.tell(drain=control_pb2.Drain(last_id=calls[-1].id))
    assert values(host, calls) == [2, 2]
    assert host.exit_code() == 0
    host = start(ASYNC_SOURCE, lane=lane, profile="async", width=32).attach()
    calls = send(host, "fours", [0, 0])
    until(lambda: host.ping(1).begun_id == calls[1].id)
    host.tell(stop=control_pb2.Stop(last_id=calls[-1].id))
    assert [kind(reply) for reply in replies(host, calls)] == ["CANCELLED", "CANCELLED"]
    assert host.exit_code() == 0


@pytest.mark.parametrize("profile", ["process", "thread"])
def test_async_batch_tools_elsewhere(start: Callable[..., FakeHost], profile: str, tmp_path: Path) -> None:
    host = start(f"__snakepit_thread_safe__ = True\n{ASYNC_SOURCE}", profile=profile, width=2).attach()
    together = 2 if profile == "process" else 1
    assert values(host, send(host, "sizes", list("ab"))) == [["a", together], ["b", together]]
    path = tmp_path / "go"
    calls = send(host, "hold", [str(path), str(path)])
    log = Path(f"{path}.log")
    until(lambda: log.exists() and log.read_text().count("begin") * together == 2)
    host.tell(cancel=control_pb2.Cancel(ids=[call.id for call in calls]))
    assert [kind(reply) for reply in replies(host, calls)] == ["CANCELLED", "CANCELLED"]

from __future__ import annotations

import os
import select
import signal
import time
from pathlib import Path
from typing import Any, Callable

import numpy
import pytest
from fake_host import WAIT, FakeHost, kind, stack, untagged, until
from snakepit import _codec
from snakepit.v1 import control_pb2, work_pb2

SOURCE = '''
import os
import threading
import time

import snakepit


@snakepit.tool
def echo(value):
    return value


@snakepit.tool
def add(a: int, b: int = 0) -> int:
    return a + b


@snakepit.tool
def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@snakepit.tool
def spin_until(path: str) -> None:
    while not os.path.exists(path):
        pass


@snakepit.tool
def wait_for(path: str) -> bool:
    while not os.path.exists(path):
        time.sleep(0.001)
    return True


@snakepit.tool
def lose_output() -> None:
    import sys

    class Hostile:
        def write(self, text):
            raise SystemExit("no")

        flush = write

    sys.stdout.close()
    sys.stderr = Hostile()


@snakepit.tool
def child() -> int:
    import subprocess
    return subprocess.Popen(["sleep", "60"]).pid


@snakepit.tool
def about() -> dict:
    call = snakepit.current_call()
    same = []
    thread = threading.Thread(target=lambda: same.append(snakepit.current_call() is call))
    thread.start()
    thread.join()
    return {"id": call.id, "tool": call.tool, "session": call.session, "remaining": call.remaining, "same": same}


@snakepit.tool
def fail(how: str):
    if how == "recursion":
        return fail(how)
    if how == "str":
        raise type("Rude", (Exception,), {"__str__": lambda self: 1 / 0})()
    if how == "cause":
        raise ValueError("outer") from KeyError("inner")
    if how == "type":
        return len(5)
    raise {"exit": SystemExit(3), "interrupt": KeyboardInterrupt(), "memory": MemoryError(),
           "generator": GeneratorExit()}[how]


@snakepit.tool
def refused():
    return {"rows": [1, {2}]}


@snakepit.tool
def blob(size: int) -> bytes:
    return bytes(size)


@snakepit.tool
def fork(how: str) -> list:
    pid = os.fork()
    if pid == 0:
        if how == "return":
            return []
        if how == "raise":
            raise ValueError("in the child")
        os._exit(9)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), sockets_in_child()]


def sockets_in_child() -> int:
    """How many sockets and life-lines a child of ours would hold."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        count = 0
        for name in os.listdir("/proc/self/fd"):
            try:
                count += os.readlink("/proc/self/fd/" + name).startswith("socket:")
            except OSError:
                pass
        os.write(write, bytes([count]))
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(write)
    return os.read(read, 1)[0]


@snakepit.tool
def run_true(times: int) -> list:
    import subprocess
    codes = {subprocess.run(["true"]).returncode for _ in range(times)}
    return [sorted(codes), sorted(name for name in os.environ if name.startswith("GRPC_"))]


@snakepit.tool
def interrupt() -> str:
    import signal
    os.kill(os.getpid(), signal.SIGINT)
    return "still here"


@snakepit.tool
def speak(text: str) -> None:
    print(text)


class Kept(snakepit.Adapter):
    def setup(self) -> None:
        self.thread = threading.get_ident()

    def teardown(self) -> None:
        assert self.thread == threading.get_ident()
        print("torn down")

    @snakepit.tool
    def same_thread(self) -> bool:
        return self.thread == threading.get_ident()
'''

Start = Callable[..., FakeHost]


def output(host: FakeHost) -> str:
    assert host.process.stdout is not None
    return host.process.stdout.read().decode()


# Attaching


def test_hello_describes_the_worker_and_binds_both_streams(host: FakeHost) -> None:
    hello = host.hello
    assert (hello.protocol_major, hello.protocol_minor, hello.pid) == (1, 0, host.process.pid)
    assert hello.module == "user_tools"
    assert [spec.name for spec in hello.tools[:3]] == ["echo", "add", "sleep"]
    parameter = hello.tools[1].parameters[1]
    assert (parameter.name, parameter.kind, parameter.annotation) == ("b", 2, "int")
    assert (parameter.has_default, parameter.default_text, hello.tools[1].returns) == (True, "0", "int")
    assert (hello.lane_reason == "") == (hello.lane == "direct")
    for stream in (host.control, host.work):
        assert stream.metadata["snakepit-worker"] == "w0"
        assert stream.metadata["snakepit-incarnation"] == "3"
        assert stream.metadata["snakepit-token-bin"] == bytes(range(32))


def test_auto_means_direct_where_it_works(start: Start) -> None:
    host = start().attach()
    assert host.hello.lane == "direct"


def test_refused_workers_end_with_their_own_code(start: Start) -> None:
    host = start()
    host.take_hello()
    reason = control_pb2.Refuse.VERSION_MISMATCH
    host.tell(refuse=control_pb2.Refuse(reason=reason, message="host 2.0, worker 1.0", protocol_major=2))
    failure = host.failure()
    assert (failure["stage"], failure["message"]) == ("refused", "VERSION_MISMATCH: host 2.0, worker 1.0")
    assert host.exit_code() == 77


@pytest.mark.parametrize(
    ("source", "stage", "type_", "text"),
    [
        ("import no_such_thing", "import", "ModuleNotFoundError", "No module named 'no_such_thing'"),
        ("def f(:", "import", "SyntaxError", "invalid syntax"),
        ("1 / 0", "import", "ZeroDivisionError", "division by zero"),
        ("import sys; sys.exit(4)", "import", "ImportError", "module 'user_tools' called sys.exit(4)"),
        ("raise KeyboardInterrupt", "import", "KeyboardInterrupt", ""),
        ("x = 1", "tools", "snakepit._tools.ToolError", "defines no tools"),
        (
            "import snakepit\nclass A(snakepit.Adapter):\n  def setup(self): raise ValueError('no model')\n"
            "  @snakepit.tool\n  def f(self): ...",
            "setup", "ValueError", "no model",
        ),
        (
            "import snakepit\nclass A(snakepit.Adapter):\n  def __init__(self, x): ...\n"
            "  @snakepit.tool\n  def f(self): ...",
            "tools", "TypeError", "missing 1 required positional argument",
        ),
    ],
)  # fmt: skip
def test_start_failures_are_told(start: Start, source: str, stage: str, type_: str, text: str) -> None:
    host = start(source)
    failure = host.failure()
    assert (failure["stage"], failure["type"]) == (stage, type_)
    assert text in failure["message"]
    assert "_worker.py" not in failure["traceback"]
    assert host.exit_code() == 78


def test_a_missing_module_names_where_it_was_searched(start: Start, tmp_path: Path) -> None:
    failure = start(module="no_such_module").failure()
    assert failure["type"] == "ModuleNotFoundError"
    assert f"no module named 'no_such_module'; searched: {tmp_path}" in failure["message"]


def test_a_module_that_ends_the_process_is_seen_by_its_status(start: Start) -> None:
    assert start("import os; os._exit(5)").exit_code() == 5


def test_nobody_at_the_address(start: Start) -> None:
    host = start(address="unix:/dev/null/none")
    failure = host.failure()
    assert failure["stage"] == "connect"
    assert "UNAVAILABLE" in failure["message"]
    assert host.exit_code() == 78


@pytest.mark.parametrize("launch", [{"lane": "sideways"}, {"incarnation": "x"}, {"token": "x"}, {"python_path": 1}])
def test_bad_launch_lines(start: Start, launch: dict[str, Any]) -> None:
    host = start(**launch)
    failure = host.failure()
    assert (failure["stage"], failure["type"]) == ("connect", "snakepit._launch.LaunchError")
    assert host.exit_code() == 78


def test_the_dump_signal_works_while_the_module_is_imported(start: Start) -> None:
    host = start("import time\nprint('importing')\ntime.sleep(60)")
    assert host.process.stdout is not None
    assert host.process.stdout.readline() == b"importing\n"
    os.kill(host.process.pid, signal.SIGRTMIN + 2)
    until(lambda: "user_tools.py" in stack(host.page))
    assert host.process.poll() is None


# Calls


def test_many_calls_each_get_their_own_reply(host: FakeHost) -> None:
    calls = [host.make_call("echo", [index]) for index in range(5000)]
    for first in range(0, len(calls), 500):
        host.send(*calls[first : first + 500])
    assert [host.value(host.reply(call.id)) for call in calls] == list(range(5000))
    assert len(host.frames) < 2500  # many per frame


def test_values_keep_their_types(host: FakeHost) -> None:
    value = {"i": 2**63, "n": -(2**63), "f": float("inf"), "t": "é\0", "b": b"\xff", "l": [None, True, []]}
    assert repr(host.value(host.call("echo", [value]))) == repr(value)
    back = host.value(host.call("echo", [numpy.arange(6.0).reshape(2, 3)]))
    assert back.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("arguments", [[1, 2], {"a": 1, "b": 2}, {"b": 2, "a": 1}, [3], 3, {"a": 3}])
def test_maps_are_names_arrays_are_positions(start: Start, arguments: object) -> None:
    host = start().attach()
    reply = host.call("add", arguments)
    assert host.value(reply) == 3
    assert reply.run_us >= 1


def test_large_values_travel_in_pieces_both_ways(host: FakeHost) -> None:
    for size in (128 * 1024 - 10, 128 * 1024, 128 * 1024 + 1, 3_000_000):
        reply = host.call_large("echo", _codec.encode(["x" * size]))
        assert host.value(reply) == "x" * size
        assert (reply.value is not None) == (size < 128 * 1024 - 5)


def test_small_replies_travel_between_the_pieces_of_large_ones(host: FakeHost) -> None:
    host.send(
        host.make_call("blob", [4_000_000]), host.make_call("blob", [4_000_000]),
        *[host.make_call("echo", [index]) for index in range(100)],
    )  # fmt: skip
    assert [host.value(host.reply(index + 3)) for index in range(100)] == list(range(100))
    assert [len(host.value(host.reply(index))) for index in (1, 2)] == [4_000_000] * 2


def test_open_transfers_stay_within_the_limit(start: Start, lane: str) -> None:
    host = start(lane=lane)
    host.welcome.max_inflight_bytes = 1_000_000
    host.attach()
    sizes = [400_000, 500_000, 600_000, 5_000_000, 300_000]
    host.send(*[host.make_call("blob", [size]) for size in sizes])
    assert [len(host.value(host.reply(index + 1))) for index in range(len(sizes))] == sizes
    opened: dict[int, int] = {}
    for frame in host.frames:
        for chunk in frame.chunks:
            opened[chunk.transfer] = chunk.total
            assert len(opened) == 1 or sum(opened.values()) <= 1_000_000
        for reply in frame.replies:
            opened.pop(reply.transfer, None)


def test_aborted_transfers_are_forgotten(host: FakeHost) -> None:
    host.send(chunks=[work_pb2.Chunk(transfer=1, offset=0, total=500_000, data=b"x" * 1000)])
    host.send(chunks=[work_pb2.Chunk(transfer=1, abort=True)])
    assert host.value(host.call("echo", [1])) == 1


@pytest.mark.parametrize(
    "chunk",
    [
        work_pb2.Chunk(transfer=1, offset=0, total=1 << 40, data=b"x"),
        work_pb2.Chunk(transfer=1, offset=5, total=10, data=b"x"),
        work_pb2.Chunk(transfer=1, offset=0, total=1, data=b"xy"),
        work_pb2.Chunk(transfer=1, offset=0, total=1),
    ],
)
def test_a_host_that_breaks_the_contract_is_left(start: Start, chunk: work_pb2.Chunk) -> None:
    host = start().attach()
    host.send(chunks=[chunk])
    assert host.exit_code() == 76


# Failures


def test_wrong_arguments_never_reach_the_tool(host: FakeHost) -> None:
    for arguments, text in [
        ({"a": 1, "c": 2}, "unknown argument 'c'"),
        ([], "missing argument 'a'"),
        ([1, 2, 3], "too many arguments: 3 given, at most 2 taken; the tool is add(a: int, b: int = 0) -> int"),
    ]:
        reply = host.call("add", arguments)
        assert (kind(reply), reply.run_us) == ("BAD_ARGUMENTS", 0)
        assert text in reply.failure.message


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x91" * 10_000, b"\xd4\x05\x00", b"\x81\xc4\x01a\x01"])
def test_arguments_that_cannot_be_read(start: Start, data: bytes) -> None:
    host = start().attach()
    assert kind(host.call("add", inline=data)) == "UNDECODABLE"
    assert host.value(host.call("add", [1])) == 1


def test_unknown_tools(host: FakeHost) -> None:
    call = work_pb2.Call(id=1, tool=99, inline=_codec.encode([1]))
    host.send(call)
    assert kind(host.reply(1)) == "UNKNOWN_TOOL"
    host.make_call("add")  # counts the id
    assert host.value(host.call("add", [1])) == 1


@pytest.mark.parametrize(
    ("how", "type_", "message"),
    [
        ("recursion", "RecursionError", "maximum recursion depth exceeded"),
        ("str", "user_tools.Rude", "<str() of it raised ZeroDivisionError>"),
        ("cause", "ValueError", "outer"),
        ("type", "TypeError", "has no len()"),
        ("exit", "SystemExit", "3"),
        ("interrupt", "KeyboardInterrupt", ""),
        ("memory", "MemoryError", ""),
        ("generator", "GeneratorExit", ""),
    ],
)
def test_what_a_tool_raises_travels_and_the_worker_lives_on(start: Start, how: str, type_: str, message: str) -> None:
    host = start().attach()
    reply = host.call("fail", [how])
    assert (kind(reply), reply.failure.type) == ("TOOL_RAISED", type_)
    assert message in reply.failure.message
    assert "user_tools.py" in reply.failure.traceback
    assert "_serial.py" not in reply.failure.traceback
    if how == "cause":
        assert [(cause.type, cause.message) for cause in reply.failure.causes] == [("KeyError", "'inner'")]
    assert host.value(host.call("add", [1])) == 1


def test_results_that_cannot_travel_name_the_path(host: FakeHost) -> None:
    reply = host.call("refused")
    assert (kind(reply), reply.failure.message) == (
        "UNSERIALIZABLE", 'result["rows"][1]: set cannot travel; send list() of it',
    )  # fmt: skip


def test_results_over_the_limit_name_both_sizes(start: Start, lane: str) -> None:
    host = start(lane=lane)
    host.welcome.max_message_bytes = 300_000
    host.attach()
    reply = host.call("blob", [300_000])
    assert (kind(reply), reply.failure.message) == (
        "TOO_LARGE", "the result has 300005 bytes; max_message_bytes is 300000",
    )  # fmt: skip
    assert len(host.value(host.call("blob", [299_995]))) == 299_995


def test_a_signal_does_not_ruin_the_lane(host: FakeHost) -> None:
    assert host.value(host.call("interrupt")) == "still here"
    os.kill(host.process.pid, signal.SIGINT)
    assert host.value(host.call("add", [1])) == 1


# Deadlines, cancels, sessions


def test_a_tool_can_ask_about_its_call(host: FakeHost) -> None:
    value = host.value(host.call("about", timeout_us=5_000_000, session="alice"))
    assert 4.0 < value.pop("remaining") <= 5.0
    assert value == {"id": 1, "tool": "about", "session": "alice", "same": [True]}
    value = host.value(host.call("about"))
    assert (value["id"], value["session"], value["remaining"]) == (2, None, None)


def test_calls_whose_deadline_is_over_are_not_begun(host: FakeHost) -> None:
    slow, late, free = (
        host.make_call("sleep", [0.1]), host.make_call("add", [1], timeout_us=50_000), host.make_call("add", [1]),
    )  # fmt: skip
    host.send(slow, late, free)
    reply = host.reply(late.id)
    assert (kind(reply), reply.run_us) == ("EXPIRED", 0)
    assert host.value(host.reply(free.id)) == 1


def microseconds() -> int:
    return time.monotonic_ns() // 1000


def test_timeouts_go_on_while_a_frame_waits_behind_a_tool(host: FakeHost, tmp_path: Path) -> None:
    gate = tmp_path / "go"
    slow, late, asking = (
        host.make_call("wait_for", [str(gate)]),
        host.make_call("add", [1], timeout_us=20_000),
        host.make_call("about", timeout_us=60_000_000),
    )
    host.send(slow)
    until(lambda: host.ping(1).running_us > 0)
    sent = microseconds()
    host.send(late, asking, sent_us=sent)
    until(lambda: microseconds() - sent > 20_000)
    gate.touch()
    assert kind(host.reply(late.id)) == "EXPIRED"
    assert host.value(host.reply(asking.id))["remaining"] < 59.98


def test_a_frame_is_never_from_the_future(host: FakeHost) -> None:
    call = host.make_call("about", timeout_us=5_000_000)
    host.send(call, sent_us=microseconds() + 10**12)
    assert 4.0 < host.value(host.reply(call.id))["remaining"] <= 5.0


def test_cancelled_calls_are_not_begun_also_when_they_come_later(host: FakeHost, tmp_path: Path) -> None:
    host.send(host.make_call("wait_for", [str(tmp_path / "go")]), host.make_call("add", [1]))
    until(lambda: host.ping(1).running_us > 0)
    host.tell(cancel=control_pb2.Cancel(ids=[2, 3]))
    host.ping(2)  # the cancel has been taken in
    host.send(host.make_call("add", [1]), host.make_call("add", [2]))
    (tmp_path / "go").touch()
    assert host.value(host.reply(1)) is True
    assert [kind(host.reply(2)), kind(host.reply(3))] == ["CANCELLED", "CANCELLED"]
    assert host.value(host.reply(4)) == 2


def test_cancelled_large_arguments_are_forgotten(host: FakeHost) -> None:
    host.tell(cancel=control_pb2.Cancel(ids=[1]))
    host.ping(1)
    assert kind(host.call_large("echo", _codec.encode(["x" * 400_000]))) == "CANCELLED"
    assert host.value(host.call("add", [1])) == 1


# Control beside work


def test_ping_is_answered_while_a_tool_is_busy(host: FakeHost, tmp_path: Path) -> None:
    assert host.ping(1).running_us == 0
    gate = tmp_path / "go"
    host.send(host.make_call("add", [1]), host.make_call("spin_until", [str(gate)]))
    host.reply(1)
    until(lambda: host.ping(2).running_us > 0)
    pong = host.ping(3)
    assert (pong.sequence, pong.received_id, pong.begun_id, pong.ended_calls) == (3, 2, 2, 1)
    assert pong.running_us > 0
    assert pong.resident_bytes > 1_000_000
    gate.touch()
    host.reply(2)


def test_finished_replies_do_not_wait_behind_slow_tools(host: FakeHost, tmp_path: Path) -> None:
    gate = tmp_path / "go"
    host.send(
        *[host.make_call("add", [index]) for index in range(50)],
        host.make_call("blob", [1_000_000]),
        host.make_call("wait_for", [str(gate)]),
    )
    assert [host.value(host.reply(index + 1)) for index in range(50)] == list(range(50))
    assert len(host.value(host.reply(51))) == 1_000_000
    gate.touch()
    assert host.value(host.reply(52)) is True


ALARM = """
import signal
def alarm(number, frame):
    raise TimeoutError("too late")
signal.signal(signal.SIGALRM, alarm)
threading.Thread(target=time.sleep, args=(60,)).start()
"""


def test_an_exception_from_a_signal_handler_ends_the_worker_for_certain(start: Start) -> None:
    host = start(SOURCE + ALARM).attach()
    host.call("add", [1])
    os.kill(host.process.pid, signal.SIGALRM)
    assert host.exit_code() == 70
    assert host.process.stderr is not None
    assert b"TimeoutError: too late" in host.process.stderr.read()


@pytest.mark.parametrize("breach", [True, False])
def test_a_worker_that_cannot_say_why_ends_all_the_same(start: Start, breach: bool) -> None:
    host = start(SOURCE + ALARM).attach()
    host.call("lose_output")
    if breach:
        host.send(chunks=[work_pb2.Chunk(transfer=1, offset=5, total=10, data=b"x")])
    else:
        os.kill(host.process.pid, signal.SIGALRM)
    assert host.exit_code() == (76 if breach else 70)


def test_prints_reach_the_host_at_once(host: FakeHost) -> None:
    host.call("speak", ["hello"])
    assert untagged(host.printed()) == "hello\n"


def test_adapters_live_on_the_thread_of_their_calls(host: FakeHost) -> None:
    assert host.value(host.call("same_thread")) is True


# Children


@pytest.mark.parametrize(("how", "code"), [("exit", 9), ("return", 0), ("raise", 1)])
def test_a_forked_child_does_not_disturb_the_lane(host: FakeHost, how: str, code: int) -> None:
    assert host.value(host.call("fork", [how])) == [code, 0]
    assert host.value(host.call("add", [1])) == 1


def test_programs_that_tools_start_are_not_disturbed(host: FakeHost) -> None:
    assert host.value(host.call("run_true", [100])) == [[0], []]


# The end


def test_drain_finishes_what_came_and_ends_in_order(host: FakeHost) -> None:
    calls = [host.make_call("sleep", [0.02]) for _ in range(5)]
    host.send(*calls)
    host.tell(drain=control_pb2.Drain(last_id=5))
    assert [host.value(host.reply(call.id)) for call in calls] == [0.02] * 5
    assert host.work.half_closed.wait(WAIT)
    host.end_streams()
    assert host.exit_code() == 0
    assert output(host) == "torn down\n"


def test_drain_waits_for_calls_that_are_still_on_the_way(host: FakeHost) -> None:
    host.tell(drain=control_pb2.Drain(last_id=2))
    host.ping(1)
    assert host.value(host.call("add", [1])) == 1
    assert not host.work.half_closed.is_set()
    assert host.value(host.call("add", [2])) == 2
    assert host.work.half_closed.wait(WAIT)
    host.end_streams()
    assert host.exit_code() == 0


@pytest.mark.parametrize("calls", [0, 1])
def test_an_idle_worker_drains_at_once(host: FakeHost, calls: int) -> None:
    for _ in range(calls):
        host.call("add", [1])
    host.tell(drain=control_pb2.Drain(last_id=calls))
    assert host.work.half_closed.wait(WAIT)
    host.end_streams()
    assert host.exit_code() == 0
    assert output(host) == "torn down\n"


def test_a_host_that_never_ends_the_streams_is_not_waited_for(host: FakeHost) -> None:
    host.tell(drain=control_pb2.Drain(last_id=0))
    assert host.exit_code() == 0


def test_a_teardown_takes_the_time_it_needs_until_the_host_ends_it(start: Start, lane: str) -> None:
    source = SOURCE.replace('print("torn down")', 'print("busy"); time.sleep(1.2); print("still"); time.sleep(60)')
    host = start(source, lane=lane).attach()
    host.tell(drain=control_pb2.Drain(last_id=0))
    assert host.process.stdout is not None
    assert [host.process.stdout.readline() for _ in range(2)] == [b"busy\n", b"still\n"]
    os.kill(host.process.pid, signal.SIGTERM)
    assert host.exit_code() == -signal.SIGTERM


FAILING = """
class Failing(snakepit.Adapter):
    def setup(self):
        raise ValueError("no model")
"""


def test_adapters_that_were_set_up_are_torn_down_when_another_fails(start: Start) -> None:
    host = start(SOURCE + FAILING)
    assert host.failure()["message"] == "no model"
    assert host.exit_code() == 78
    assert output(host) == "torn down\n"


def test_a_hello_that_is_too_large_is_told(start: Start) -> None:
    host = start("""
import snakepit
for number in range(1500):
    def tool(): ...
    tool.__doc__ = "x" * 4000
    globals()[f"tool{number}"] = snakepit.tool(name=f"tool{number}")(tool)
""")
    failure = host.failure()
    assert (failure["stage"], failure["type"]) == ("tools", "snakepit._tools.ToolError")
    assert "1500 tools whose descriptions have 60" in failure["message"]
    assert "4194304 are allowed" in failure["message"]
    assert host.exit_code() == 78


@pytest.mark.parametrize("stream", ["control", "work"])
def test_the_end_of_either_stream_ends_the_worker(start: Start, lane: str, stream: str) -> None:
    source = SOURCE + "\nthreading.Thread(target=time.sleep, args=(60,)).start()\n"  # not a daemon
    host = start(source, lane=lane).attach()
    host.call("add", [1])
    getattr(host, stream).to_send.put(None)
    assert host.exit_code() == 75


def test_a_busy_worker_ends_when_control_is_lost(host: FakeHost) -> None:
    host.send(host.make_call("sleep", [60.0]))
    until(lambda: host.ping(1).running_us > 0)
    host.control.to_send.put(None)
    assert host.exit_code() == 75


def test_the_life_line_ends_worker_and_children(host: FakeHost) -> None:
    child = host.value(host.call("child"))
    host.send(host.make_call("sleep", [60.0]))
    watched = os.pidfd_open(child)
    os.close(host.life_line)
    host.life_line = -1
    assert host.exit_code() == -signal.SIGKILL
    assert select.select([watched], [], [], WAIT)[0]
    os.close(watched)

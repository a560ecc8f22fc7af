"""Records of Python's logging, as the host hears of them."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from fake_host import FakeHost, until
from snakepit import _telemetry
from snakepit._outbox import Outbox
from snakepit._telemetry import MOST_LOGS, MOST_SPANS, Gathered, Log, Ran
from snakepit._tools import Tool
from snakepit.v1 import control_pb2, work_pb2

SOURCE = '''
import logging
import os
import sys
import threading

import snakepit

__snakepit_thread_safe__ = True

log = logging.getLogger("user")
quiet = logging.getLogger("user.quiet")


class Kept(snakepit.Adapter):
    def setup(self):
        log.info("loaded in %s", "setup")
        log.debug("nobody asks for this")

    def teardown(self):
        log.warning("torn down")


@snakepit.tool
def say(level, text, **extra):
    log.log(getattr(logging, level), text, extra=extra)


@snakepit.tool
def say_all():
    for level in (10, 20, 30, 40, 50):
        log.log(level, "at %d", level)


@snakepit.tool
def fail():
    try:
        {}["missing"]
    except KeyError:
        log.exception("no luck with %s", "it")


@snakepit.tool
def odd():
    class Rude:
        def __str__(self):
            raise SystemExit("no")

    class Chatty:
        def __str__(self):
            log.error("while it is printed")
            return "chatty"

    log.error("%d items", "many")
    log.error("rude", extra={"rude": Rude()})
    log.error("chatty", extra={"chatty": Chatty()})
    log.error("x" * 20_000, extra={f"key{n}": "v" * 5_000 for n in range(40)})
    log.error("surrogate \\udc80")
    logging.getLogger("z" * 1_000).error("long name")


@snakepit.tool
def say_extras():
    import pathlib

    class Broken:
        def __repr__(self):
            raise RuntimeError("no")

    endless = []
    endless.append(endless)
    extra = {1: 2, "text": "plain", "path": pathlib.Path("/tmp"), "nested": {"a": [1, (2,), None], b"b": set()}}
    extra.update(large=list(range(100_000)), bytes=bytes(1_000_000), endless=endless, broken=[Broken()])
    log.error("extras", extra=extra)


@snakepit.tool
def flood(count):
    for n in range(count):
        log.warning("%d", n)


@snakepit.tool
def in_threads():
    thread = threading.Thread(target=lambda: log.error("from a thread"))
    thread.start()
    thread.join()
    snakepit.run_in_thread(lambda: log.error("from a helper")).result()


@snakepit.tool
def fork():
    child = os.fork()
    if child == 0:
        log.error("from the child")
        os._exit(0)
    os.waitpid(child, 0)
    log.error("from the parent")


@snakepit.tool
def level():
    return [logging.root.level, log.isEnabledFor(logging.INFO), list(map(str, logging.root.handlers))]


@snakepit.tool
def configure(**kwargs):
    logging.basicConfig(**kwargs)


@snakepit.tool
def forbid():
    log.propagate = False
    log.error("stays here")
    log.propagate = True
    log.error("goes on")


@snakepit.tool
def handle_alone():
    """A handler of another logger than the root one, which has no level of its own."""
    seen = []

    class Keep(logging.Handler):
        def emit(self, record):
            seen.append(record.getMessage())

    own = logging.getLogger("own")
    own.addHandler(Keep())
    own.info("low")
    own.warning("high")
    chosen = logging.getLogger("own.chosen")
    chosen.setLevel(logging.DEBUG)
    chosen.debug("chosen")
    return seen


@snakepit.tool
async def say_async(text):
    log.warning(text)


@snakepit.tool(batch=True)
def say_in_batch(items):
    log.warning("of %d", len(items))
    return items


@snakepit.tool
def log_while_interrupted():
    """A handler of the user's that takes its time can be cancelled."""
    import time

    class Slow(logging.Handler):
        def emit(self, record):
            print("ready", flush=True)
            while True:
                time.sleep(0.01)

    logging.getLogger("slow").addHandler(Slow())
    logging.getLogger("slow").error("wait")


@snakepit.tool
def leave():
    log.error("last words")
    from snakepit._leave import leave

    leave(3)
'''

Start = Callable[..., FakeHost]

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"


def attached(start: Start, level: int, source: str = SOURCE, **launch: Any) -> FakeHost:
    host = start(source, **launch)
    host.welcome.log_level = level
    return host.attach()


def logs_until(host: FakeHost, text: str) -> list[control_pb2.LogRecord]:
    """All records up to the one that has that text in its message."""
    found: list[control_pb2.LogRecord] = []
    while not any(text in log.message for log in found):
        found.extend(host.hear("telemetry").logs)
    return found


def texts(logs: list[control_pb2.LogRecord]) -> list[str]:
    return [log.message for log in logs]


def test_a_record_says_what_it_is_and_which_call_it_comes_from(start: Start) -> None:
    host = attached(start, 30, lane="direct")
    before = time.time()
    host.call(
        "say",
        {"level": "WARNING", "text": "hello", "user": "alice", "count": 3},
        traceparent=PARENT,
    )
    (log,) = logs_until(host, "hello")
    assert (log.level, log.logger, log.message) == (30, "user", "hello")
    assert (log.call, log.tool) == (1, "say")
    assert (log.trace_id, log.span_id) == (PARENT[3:35], PARENT[36:52])
    assert [(field.key, field.value) for field in log.fields] == [("user", "alice"), ("count", "3")]
    assert before - 1 < log.time_us / 1e6 < time.time() + 1


def test_what_is_below_the_level_does_not_come(start: Start) -> None:
    host = attached(start, 30)
    host.call("say_all")
    assert texts(logs_until(host, "at 50")) == ["at 30", "at 40", "at 50"]


@pytest.mark.parametrize("level", [0, 100])
def test_a_host_that_wants_none_gets_none(start: Start, level: int) -> None:
    host = attached(start, level)
    host.call("say_all")
    assert host.ping(1).ended_calls == 1
    host.tell(log_level=control_pb2.LogLevel(least=50))
    host.ping(2)  # answered behind it
    host.call("say", ["CRITICAL", "now"])
    assert texts(logs_until(host, "now")) == ["now"]


def test_setup_and_teardown_are_heard_too(start: Start) -> None:
    host = attached(start, 20)
    assert texts(logs_until(host, "loaded")) == ["loaded in setup"]
    host.tell(drain=control_pb2.Drain(last_id=0))
    (log,) = logs_until(host, "torn down")
    assert (log.call, log.tool) == (0, "")
    host.end_streams()
    assert host.exit_code() == 0


def test_setup_is_not_heard_below_the_level(start: Start) -> None:
    host = attached(start, 30)
    host.call("say", ["ERROR", "first"])
    assert texts(logs_until(host, "first")) == ["first"]


def test_tracebacks_come_along(start: Start) -> None:
    host = attached(start, 30)
    host.call("fail")
    (log,) = logs_until(host, "no luck")
    assert log.message.startswith("no luck with it\nTraceback (most recent call last):\n")
    assert log.message.endswith("KeyError: 'missing'")


def test_the_level_follows_the_host(start: Start) -> None:
    host = attached(start, 30)
    assert host.value(host.call("level")) == [30, False, []]
    host.tell(log_level=control_pb2.LogLevel(least=10))
    until(lambda: bool(host.value(host.call("level"))[1]))
    host.call("say_all")
    assert texts(logs_until(host, "at 50")) == [f"at {level}" for level in (10, 20, 30, 40, 50)]
    host.tell(log_level=control_pb2.LogLevel(least=40))
    until(lambda: not host.value(host.call("level"))[1])
    host.call("say_all")
    assert texts(logs_until(host, "at 50")) == ["at 40", "at 50"]


def test_others_see_what_they_saw_before(start: Start) -> None:
    host = attached(start, 10)
    assert host.value(host.call("handle_alone")) == ["high", "chosen"]
    assert texts(logs_until(host, "chosen"))[1:] == ["low", "high", "chosen"]
    host.call("say", ["INFO", "not for stderr"])
    host.call("say", ["WARNING", "for stderr"])
    assert host.printed("stderr").endswith("for stderr\n"), "nobody has configured logging: warnings are printed"
    assert texts(logs_until(host, "for stderr"))


def test_whoever_configures_logging_says_what_is_let_through(start: Start) -> None:
    source = SOURCE.replace("import snakepit\n", "import snakepit\nlogging.basicConfig(level=logging.ERROR)\n", 1)
    host = attached(start, 10, source)
    host.call("say_all")
    assert texts(logs_until(host, "at 50")) == ["at 40", "at 50"]
    assert host.printed("stderr").endswith("ERROR:user:at 40\n"), "the handler goes on working"
    host = attached(start, 10, SOURCE.replace("import snakepit\n", "import snakepit\nlogging.root.setLevel(20)\n", 1))
    host.call("say_all")
    assert texts(logs_until(host, "at 50"))[1:] == ["at 20", "at 30", "at 40", "at 50"]


def test_logging_can_be_configured_later(start: Start) -> None:
    host = attached(start, 20)
    host.call("configure", {"level": "INFO", "format": "late %(message)s"})
    host.call("say", ["INFO", "hello"])
    assert host.printed("stderr").endswith("late hello\n")
    assert len(host.value(host.call("level"))[2]) == 1
    assert texts(logs_until(host, "hello"))[-1] == "hello"
    host.call("configure", {"level": "WARNING", "format": "later %(message)s", "force": True})
    host.call("say", ["WARNING", "again"])
    assert host.printed("stderr").endswith("later again\n")
    assert texts(logs_until(host, "again")) == ["again"]


def test_what_does_not_propagate_stays_away(start: Start) -> None:
    host = attached(start, 30)
    host.call("forbid")
    assert texts(logs_until(host, "goes on")) == ["goes on"]


def test_odd_records_do_no_harm(start: Start) -> None:
    host = attached(start, 30)
    assert host.call("odd").failure is None
    logs = logs_until(host, "long name")
    assert logs[0].message.startswith("%d items [TypeError: ")
    assert logs[1].fields[0].value == "<str() of it raised SystemExit>"
    assert logs[2].fields[0].value == "chatty"
    assert len(logs) == 6, "what is logged while a record is taken is not"
    assert len(logs[3].message) == 8192
    assert len(logs[3].fields) == 32
    assert {len(field.value) for field in logs[3].fields} == {1024}
    assert logs[4].message == "surrogate ?"
    assert len(logs[5].logger) == 256


def test_a_flood_is_cut_and_counted(start: Start) -> None:
    host = attached(start, 30)
    host.call("flood", [2_000])
    came = dropped = 0
    while came + dropped < 2_000:
        message = host.hear("telemetry")
        assert len(message.logs) <= 512
        came += len(message.logs)
        dropped += message.dropped_logs
    assert came + dropped == 2_000
    assert 200 <= came < 600
    time.sleep(0.05)  # some are allowed again
    host.call("say", ["ERROR", "after it"])
    assert texts(logs_until(host, "after it")) == ["after it"]


def test_threads_belong_to_the_call_that_runs(start: Start) -> None:
    host = attached(start, 30)
    host.call("in_threads")
    assert [log.call for log in logs_until(host, "from a helper")] == [1, 1]
    threads = attached(start, 30, profile="thread", width=2)
    threads.call("in_threads")
    assert [log.call for log in logs_until(threads, "from a helper")] == [0, 1]


def test_each_profile_knows_its_calls(start: Start) -> None:
    host = attached(start, 30, profile="async", width=8)
    host.send(*[host.make_call("say_async", [f"from {n}"]) for n in (1, 2, 3)])
    for call_id in (1, 2, 3):
        host.reply(call_id)
    found: list[control_pb2.LogRecord] = []
    while len(found) < 3:
        found.extend(host.hear("telemetry").logs)
    assert {(log.call, log.message, log.tool) for log in found} == {(n, f"from {n}", "say_async") for n in (1, 2, 3)}


def test_a_batch_logs_as_its_first_call(start: Start) -> None:
    host = attached(start, 30)
    host.send(*[host.make_call("say_in_batch", [n]) for n in range(3)])
    host.reply(3)
    (log,) = logs_until(host, "of 3")
    assert (log.call, log.tool) == (1, "say_in_batch")


def test_children_of_tools_send_nothing(start: Start) -> None:
    host = attached(start, 30)
    host.call("fork")
    assert texts(logs_until(host, "from the parent")) == ["from the parent"]


def test_handlers_of_the_users_can_be_cancelled(start: Start) -> None:
    host = attached(start, 30)
    host.send(host.make_call("log_while_interrupted"))
    assert host.printed().endswith("ready\n")
    host.tell(cancel=control_pb2.Cancel(ids=[1]))
    failure = host.reply(1).failure
    assert failure is not None
    assert failure.kind == work_pb2.Failure.CANCELLED


def test_last_words_arrive(start: Start) -> None:
    host = attached(start, 30)
    host.send(host.make_call("leave"))
    assert texts(logs_until(host, "last words")) == ["last words"]
    assert host.exit_code() == 3


def test_errors_do_not_wait_for_more_and_pongs_for_nothing(start: Start) -> None:
    host = attached(start, 30)
    host.call("say", ["WARNING", "later"])
    host.call("say", ["ERROR", "at once"])
    assert texts(list(host.hear("telemetry").logs)) == ["later", "at once"]
    host.call("say", ["WARNING", "later"])
    host.tell(ping=control_pb2.Ping(sequence=1))
    message = control_pb2.ControlUp.FromString(host.control.received.get(timeout=5))
    assert message.WhichOneof("message") == "pong", "telemetry is still being gathered"
    assert texts(list(host.hear("telemetry").logs)) == ["later"]


def test_a_host_that_does_not_listen_holds_up_nobody(start: Start) -> None:
    host = attached(start, 30)
    host.process.send_signal(signal.SIGCONT)
    for _ in range(3):
        host.call("flood", [500])
    assert re.fullmatch(r"\d+", str(host.ping(1).ended_calls))


def test_extras_may_be_anything(start: Start) -> None:
    host = attached(start, 30)
    host.call("say_extras")
    (log,) = logs_until(host, "extras")
    fields = {field.key: field.value for field in log.fields}
    assert fields["1"] == "2"
    assert fields["text"] == "plain"
    assert fields["path"] == "/tmp"
    assert fields["nested"] == "{'a': [1, (2,), None], b'b': set()}".replace("(2,)", "(2)").replace("set()", "{}")
    assert fields["large"].startswith("[0, 1, 2, ")
    assert fields["bytes"].startswith("b'\\x00\\x00")
    assert fields["endless"] == "[[[[[[[...]]]]]]]"
    assert fields["broken"] == "[<RuntimeError>"


# What waits to be sent


def log_of(message: str, level: int = 30) -> Log:
    return Log(level, "user", message, 1, 0, "", "", "", ())


def taken(gathered: Gathered) -> control_pb2.Telemetry:
    data = gathered.take()
    assert data is not None
    assert len(data) <= 256 * 1024
    return control_pb2.ControlUp.FromString(data).telemetry


def test_what_waits_is_bounded_and_counted() -> None:
    gathered = Gathered()
    for n in range(MOST_LOGS + 5):
        gathered.add_log(log_of(str(n)))
    first = taken(gathered)
    assert (len(first.logs), first.dropped_logs) == (512, 5)
    second = taken(gathered)
    assert (len(second.logs), second.dropped_logs) == (MOST_LOGS - 512, 0)
    assert gathered.take() is None


def test_messages_have_a_size() -> None:
    gathered = Gathered()
    for _ in range(100):
        gathered.add_log(log_of("x" * 100_000))
    messages = []
    while gathered:
        messages.append(taken(gathered))
    assert sum(len(message.logs) for message in messages) == 100
    assert len(messages) == 4


def test_what_was_gathered_too_early_is_sifted() -> None:
    gathered = Gathered()
    for level in (20, 40, 20, 30):
        gathered.add_log(log_of("x", level))
    gathered.keep_logs_from(30)
    assert [log.level for log in taken(gathered).logs] == [40, 30]


def test_nothing_leaves_before_the_host_has_said_what_it_wants() -> None:
    gathered = Gathered()
    outbox = Outbox(gathered)
    gathered.add_log(log_of("unwanted", 20))
    gathered.add_log(log_of("wanted", 40), at_once=True)
    outbox.put(b"hello")
    assert next(outbox) == b"hello"
    gathered.keep_logs_from(30)
    outbox.send_telemetry()
    assert texts(list(control_pb2.ControlUp.FromString(next(outbox)).telemetry.logs)) == ["wanted"]


def test_children_take_in_nothing() -> None:
    gathered = Gathered()
    child = os.fork()
    if child == 0:
        os._exit(0 if gathered.is_closed else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert not gathered.is_closed


def test_spans_of_any_size_fit_into_messages() -> None:
    gathered = Gathered()
    tool = Tool(lambda: None, "t" * 200, "f" * 300)
    for number in range(MOST_SPANS + 5):
        gathered.add_span(span_of(tool, f"{number:n<128}", "s" * 512, "m" * 1024))
    for _ in range(MOST_LOGS):
        gathered.add_log(log_of("x" * 400))
    messages = []
    while gathered:
        messages.append(taken(gathered))
    assert sum(len(message.logs) for message in messages) == MOST_LOGS
    assert sum(len(message.spans.ids) for message in messages) == MOST_SPANS
    assert [message.dropped_spans for message in messages] == [5] + [0] * (len(messages) - 1)


@pytest.mark.parametrize(("threads", "failed"), [(1, 0), (300, 0), (301, 0), (1, 90), (150, 75), (512, 512)])
def test_as_many_spans_as_there_is_room_for_leave_together(threads: int, failed: int) -> None:
    gathered = Gathered()
    tool = Tool(lambda: None, "t" * 200, "f" * 300)
    for number in range(512):
        name = f"{number % threads:n<128}"
        gathered.add_span(span_of(tool, name, *(("s" * 512, "m" * 1024) if number < failed else ("", None))))
    found: list[str] = []
    while gathered:
        spans = taken(gathered).spans
        found.extend(spans.where[place].thread_name for place in spans.places)
        assert len(spans.ids) == 512 or threads > 1 or failed > 0
    assert found == [f"{number % threads:n<128}" for number in range(512)]


def span_of(tool: Tool, thread: str, tracestate: str, problem: str | None) -> Ran:
    place = (tool, (1 << 32, thread))
    return "p" * 128, tracestate, 1 << 60, 1 << 63, place, time.monotonic(), 1e9, problem


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Outbox:
    """One that has all day, for spans; for logs it has little."""
    monkeypatch.setattr(_telemetry, "_SPANS_WAIT", 1_000.0)
    gathered = Gathered()
    outbox = Outbox(gathered)
    outbox.send_telemetry()
    gathered.add_span(span_of(Tool(lambda: None, "t", "f"), "thread", "", None))
    return outbox


def test_spans_wait_for_more(patient: Outbox) -> None:
    patient.put(b"pong")
    assert next(patient) == b"pong"


def test_what_is_in_a_hurry_takes_along_what_is_not(patient: Outbox) -> None:
    patient._gathered.add_log(log_of("soon"))
    told = control_pb2.ControlUp.FromString(next(patient)).telemetry
    assert (len(told.spans.ids), texts(list(told.logs))) == (1, ["soon"])


def test_after_a_look_the_next_one_is_heard_again(patient: Outbox) -> None:
    for _ in range(2):
        patient._gathered.add_log(log_of("now"), at_once=True)
        assert texts(list(control_pb2.ControlUp.FromString(next(patient)).telemetry.logs)) == ["now"]

"""What the host hears of calls while they run: spans, slow calls, stacks, and whose line it is that is printed."""

from __future__ import annotations

import os
import queue
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_host import FakeHost
from snakepit import _otel
from snakepit._cancel import Cancelled
from snakepit._contexts import Contexts
from snakepit._interrupt import Interruptible
from snakepit._origin import Origin
from snakepit._slow import SlowWatch
from snakepit._stacks import AtWork
from snakepit.v1 import control_pb2, work_pb2

SOURCE = """
import asyncio
import contextlib
import io
import os
import sys
import time

import snakepit

__snakepit_thread_safe__ = True


@snakepit.tool
def about():
    call = snakepit.current_call()
    return [call.traceparent, call.traceparent, call.tracestate]


@snakepit.tool
def fail():
    raise TypeError("unhashable")


@snakepit.tool
def doze(seconds):
    print("asleep")
    time.sleep(seconds)


@snakepit.tool
async def doze_async(seconds):
    await asyncio.sleep(seconds)


@snakepit.tool
def items():
    yield 1
    yield 2


@snakepit.tool
def write():
    print("one", end="")
    print(" line")
    print("two")
    print("err", file=sys.stderr)
    sys.stdout.buffer.write(b"raw\\n")
    sys.stdout.buffer.flush()
    with contextlib.redirect_stdout(io.StringIO()) as caught:
        print("caught")
    return [caught.getvalue(), sys.stdout.isatty(), sys.stdout.fileno(), sys.stdout.encoding]


@snakepit.tool
def flood(lines):
    begin = time.monotonic()
    for i in range(lines):
        print("x" * 100)
    return time.monotonic() - begin
"""

BATCH = """
import snakepit
import time

@snakepit.tool(batch=True)
def doze_all(seconds):
    time.sleep(seconds[0])
    return seconds
"""

ASYNC_BATCH = """
import asyncio
import snakepit

@snakepit.tool(batch=True)
async def doze_all(seconds):
    print("asleep")
    await asyncio.sleep(seconds[0])
    return seconds
"""

LIBRARY = """
import snakepit
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

kept = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
trace.set_tracer_provider(provider)


@snakepit.tool
def work():
    with trace.get_tracer("library").start_as_current_span("inner"):
        pass
    inner = kept.get_finished_spans()[-1]
    kept.clear()
    parent = inner.parent
    return [format(inner.context.trace_id, "032x"), parent and format(parent.span_id, "016x")]
"""
# Whose libraries are imported where they are used.
IN_THE_CALL = """
import snakepit


@snakepit.tool
def lazily():
    from opentelemetry import trace

    return format(trace.get_current_span().get_span_context().trace_id, "032x")
"""

Start = Callable[..., FakeHost]

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE_ID}-{PARENT_ID}-01"
UNSAMPLED = f"00-{TRACE_ID}-{PARENT_ID}-00"

PROFILES: list[dict[str, Any]] = [{}, {"profile": "thread", "width": 2}, {"profile": "async", "width": 2}]


def recording(start: Start, source: str = SOURCE, **launch: Any) -> FakeHost:
    host = start(source, **launch)
    host.welcome.wants_spans = True
    return host.attach()


def trace(traceparent: str, tracestate: str = "") -> dict[str, Any]:
    """What a call carries of a trace."""
    return {"traceparent": traceparent, "tracestate": tracestate, "recorded": traceparent == SAMPLED}


def spans_of(host: FakeHost, count: int) -> list[SimpleNamespace]:
    found: list[SimpleNamespace] = []
    while len(found) < count:
        spans = host.hear("telemetry").spans
        failures = {failure.span: failure.message for failure in spans.failures}
        states = spans.tracestates or [""] * len(spans.ids)
        columns = (spans.traceparents, states, spans.ids, spans.places, spans.begun, spans.took)
        for row, (traceparent, tracestate, id_, place, begun, took) in enumerate(zip(*columns, strict=True)):
            found.append(
                SimpleNamespace(
                    traceparent=traceparent,
                    tracestate=tracestate,
                    span_id=f"{id_:016x}",
                    tool=spans.where[place].tool,
                    function=spans.where[place].function,
                    thread_id=spans.where[place].thread_id,
                    thread_name=spans.where[place].thread_name,
                    begin_ns=spans.clock_began_ns + int(begun * 1e9),
                    took_ns=int(took * 1e9),
                    failed=row in failures,
                    message=failures.get(row, ""),
                )
            )
    return found


@pytest.mark.parametrize("launch", PROFILES)
def test_a_sampled_call_is_a_span_below_its_callers(start: Start, launch: dict[str, Any]) -> None:
    host = recording(start, **launch)
    before = time.time_ns()
    seen, again, state = host.value(host.call("about", **trace(SAMPLED, "vendor=1")))
    after = time.time_ns()
    (span,) = spans_of(host, 1)
    assert (span.traceparent, span.tracestate) == (SAMPLED, "vendor=1")
    assert seen == again == f"00-{TRACE_ID}-{span.span_id}-01"
    assert state == "vendor=1"
    assert (span.tool, span.failed, span.message) == ("about", False, "")
    assert span.function.endswith(".about")
    assert before <= span.begin_ns <= span.begin_ns + span.took_ns <= after
    assert span.thread_id
    assert span.thread_name


@pytest.mark.parametrize("launch", PROFILES)
def test_what_is_raised_is_in_the_span(start: Start, launch: dict[str, Any]) -> None:
    host = recording(start, **launch)
    assert host.call("fail", **trace(SAMPLED)).failure is not None
    (span,) = spans_of(host, 1)
    assert span.failed
    assert span.message == "TypeError: unhashable"


def test_a_coroutine_and_a_generator_are_spans_until_their_end(start: Start) -> None:
    host = recording(start)
    host.call("doze_async", [0.05], **trace(SAMPLED))
    (span,) = spans_of(host, 1)
    assert span.took_ns >= 50_000_000
    call = host.open("items", **trace(SAMPLED))
    host.reply(call)
    (span,) = spans_of(host, 1)
    assert span.tool == "items"


def test_nothing_else_is_a_span(start: Start) -> None:
    host = recording(start)
    seen, again, _ = host.value(host.call("about", **trace(UNSAMPLED)))
    assert seen == again == UNSAMPLED
    seen, again, state = host.value(host.call("about"))
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", seen)
    assert seen == again
    assert state is None
    other, _, _ = host.value(host.call("about"))
    assert other != seen
    host.call("about", **trace(SAMPLED))
    (span,) = spans_of(host, 1)
    assert span.traceparent == SAMPLED


def test_a_host_that_wants_no_spans_gets_none(start: Start) -> None:
    host = start(SOURCE).attach()
    seen, _, _ = host.value(host.call("about", **trace(SAMPLED)))
    assert seen == SAMPLED


def test_what_is_not_recorded_has_the_callers_span(start: Start) -> None:
    host = recording(start)
    seen, _, _ = host.value(host.call("about", traceparent=SAMPLED))
    assert seen == SAMPLED


def library() -> str:
    python = Path(os.environ.get("SNAKEPIT_OTLP_PYTHON", ""))
    packages = list(python.parent.parent.glob("lib/python*/site-packages/opentelemetry/sdk"))
    if not packages:
        assert "CI" not in os.environ, "OpenTelemetry's SDK is not installed"
        pytest.skip("OpenTelemetry's SDK, from PyPI, is not installed: ./dev test does that where it can")
    return f"import sys\nsys.path.append({str(packages[0].parent.parent)!r})\n" + LIBRARY


def test_spans_of_the_tools_libraries_are_below_its_call(start: Start) -> None:
    host = recording(start, library())
    trace_id, parent_id = host.value(host.call("work", **trace(SAMPLED)))
    (span,) = spans_of(host, 1)
    assert (trace_id, parent_id) == (TRACE_ID, span.span_id)
    trace_id, parent_id = host.value(host.call("work"))
    assert trace_id != TRACE_ID
    assert parent_id is None


def test_they_are_in_the_callers_trace_also_when_the_host_records_nothing(start: Start) -> None:
    host = start(library()).attach()
    assert host.value(host.call("work", traceparent=SAMPLED)) == [TRACE_ID, PARENT_ID]
    assert host.value(host.call("work"))[1] is None


def test_a_library_may_be_imported_in_a_call(start: Start) -> None:
    host = start(library().replace(LIBRARY, IN_THE_CALL)).attach()
    assert host.value(host.call("lazily", traceparent=SAMPLED)) == TRACE_ID
    assert host.value(host.call("lazily")) == "0" * 32


def test_a_cancel_while_a_context_is_entered_leaves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    thread = Interruptible()
    thread.enter(1)
    left: list[str] = []

    def enter(*_: object) -> Callable[[], None]:
        thread.ask(1, "cancelled")
        return lambda: left.append("context")

    monkeypatch.setattr(_otel, "_enter", enter)
    call = work_pb2.Call(id=1, **trace(SAMPLED))
    calls = SimpleNamespace(served=lambda: [call], span_id_of=lambda call: "", shield=lambda call_id: thread)
    tool = SimpleNamespace(function=lambda: left.append("run"), coroutine_function=None, batch=None)
    Contexts(calls).adopt(tool)  # type: ignore[arg-type]
    with pytest.raises(Cancelled):
        tool.function()
    assert left == ["context"]


@pytest.mark.parametrize("launch", PROFILES)
def test_a_slow_call_is_told_once_with_its_stack(start: Start, launch: dict[str, Any]) -> None:
    host = start(SOURCE, **launch)
    host.welcome.slow_call_us = 100_000
    host.attach()
    host.call("doze", [0.0])
    host.call("doze", [0.5], **trace(UNSAMPLED))
    slow = host.hear("slow_call")
    assert (slow.id, slow.tool, slow.trace_id) == (2, "doze", TRACE_ID)
    assert 100_000 <= slow.running_us < 500_000
    assert "in doze" in slow.stack
    assert "time.sleep(seconds)" in slow.stack
    host.call("doze_async", [0.5])
    slow = host.hear("slow_call")
    assert (slow.id, slow.tool) == (3, "doze_async")
    assert "in doze_async" in slow.stack


def test_slow_calls_are_told_of_also_after_a_look_that_failed() -> None:
    looks = iter([MemoryError(), [1], [2], [3]])
    told: queue.SimpleQueue[int] = queue.SimpleQueue()

    def at_work() -> list[AtWork]:
        look = next(looks, [])
        if isinstance(look, Exception):
            raise look
        return [AtWork(Origin(number, "tool", "", ""), 0, 0.0, threading.get_ident()) for number in look]

    over = threading.Event()
    works = SimpleNamespace(is_busy=lambda: not over.is_set(), at_work=at_work, has_ended=lambda call_id: call_id == 2)
    SlowWatch(0.001, works, lambda call, seconds, stack: told.put(call.id))
    assert [told.get(timeout=5), told.get(timeout=5)] == [1, 3], "2 has ended while its stack was looked at"
    over.set()


def test_a_batch_is_told_as_the_first_call_that_goes_on(start: Start) -> None:
    host = start(ASYNC_BATCH, profile="async", width=8).attach()
    calls = [host.make_call("doze_all", [1.0]) for _ in range(3)]
    host.send(*calls)
    assert host.printed().endswith("asleep\n")
    host.tell(cancel=control_pb2.Cancel(ids=[calls[0].id]))
    assert host.reply(calls[0].id).failure is not None
    host.tell(stacks_request=control_pb2.StacksRequest(number=1))
    assert f"call {calls[1].id} and 1 more of 'doze_all'" in host.hear("stacks").text
    for call in calls[1:]:
        host.reply(call.id)


def test_a_slow_batch_is_told_as_its_first_call(start: Start) -> None:
    host = start(BATCH)
    host.welcome.slow_call_us = 100_000
    host.attach()
    calls = [host.make_call("doze_all", [0.4]) for _ in range(3)]
    host.send(*calls)
    slow = host.hear("slow_call")
    assert slow.id == calls[0].id
    assert "in doze_all" in slow.stack
    for call in calls:
        host.reply(call.id)


@pytest.mark.parametrize("launch", PROFILES)
def test_stacks_say_what_each_thread_is_at(start: Start, launch: dict[str, Any]) -> None:
    host = start(SOURCE, **launch).attach()
    call = host.make_call("doze", [1.0])
    host.send(call)
    assert "asleep" in host.printed()
    host.tell(stacks_request=control_pb2.StacksRequest(number=7))
    stacks = host.hear("stacks")
    assert stacks.number == 7
    assert len(stacks.text) <= 64 * 1024
    first = stacks.text.splitlines()[0]
    assert "'doze'" in first
    assert "call 1" in first
    assert "in doze" in stacks.text
    host.reply(call.id)


def test_a_line_says_which_call_has_printed_it(start: Start) -> None:
    host = start(SOURCE).attach()
    caught, is_terminal, descriptor, encoding = host.value(host.call("write", **trace(UNSAMPLED)))
    tag = f"\x1d1;write;{TRACE_ID}\x1d"
    assert [host.printed() for _ in range(3)] == [f"{tag}one line\n", f"{tag}two\n", "raw\n"]
    assert host.printed("stderr") == f"{tag}err\n"
    assert (caught, is_terminal, descriptor) == ("caught\n", False, 1)
    assert encoding.lower() == "utf-8"


def test_a_flood_into_a_pipe_that_nobody_reads_ends(start: Start) -> None:
    host = start(SOURCE).attach()
    host.value(host.call("flood", [20_000]))
    assert host.process.stdout is not None
    os.set_blocking(host.process.stdout.fileno(), False)
    lines = whole = told = 0
    deadline = time.monotonic() + 20
    rest = b""
    while lines + told < 20_000 and time.monotonic() < deadline:
        rest += host.process.stdout.read1(1 << 16) or b""  # type: ignore[attr-defined]
        *complete, rest = rest.split(b"\n")
        for line in complete:
            left_out = re.fullmatch(rb"\((\d+) lines left out\)", line)
            if left_out:
                told += int(left_out[1])
            else:
                lines += 1
                whole += line.endswith(b"x" * 100)
    # Where Python does not buffer a line's end may be left out when the line is not.
    assert lines + told - 20_000 in (0, 1)
    assert whole == lines, "lines are left out whole"
    assert told > 0


PRINTS = """
import io
import os
import signal
import sys
import threading

import snakepit

__snakepit_thread_safe__ = True


@snakepit.tool
def fork_while_threads_print(times):
    over = threading.Event()

    def chatter():
        while not over.is_set():
            print("x" * 200)
            sys.stdout.buffer.write(b"raw\\n")

    threads = [threading.Thread(target=chatter) for _ in range(4)]
    for thread in threads:
        thread.start()
    codes = []
    for _ in range(times):
        child = os.fork()
        if child == 0:
            signal.alarm(5)
            print("a child")
            sys.stdout.buffer.write(b"bytes of a child\\n")
            sys.stdout.flush()
            os._exit(0)
        codes.append(os.waitpid(child, 0)[1])
    over.set()
    for thread in threads:
        thread.join()
    return codes


@snakepit.tool
def print_in_handlers(rounds):
    rings = []

    def ring(number, frame):
        rings.append(number)
        print("from the handler")

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        while len(rings) < rounds:
            print("from the tool")
            sys.stdout.buffer.write(b"raw\\n")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return len(rings)


@snakepit.tool
def write_bytes():
    print("begun", end="", flush=True)
    sys.stdout.buffer.write(b" raw\\n")
    sys.stdout.buffer.writelines([b"more ", bytearray(b"raw"), memoryview(b"\\n")])
    print("text")
    io.TextIOWrapper(sys.stdout.buffer, write_through=True).detach().write(b"wrapped\\n")
    sys.stdout.flush()
    return [sys.stdout.buffer.fileno(), sys.stdout.buffer.writable(), sys.stdout.buffer.raw.name]


@snakepit.tool
def print_elsewhere(path):
    kept = os.dup(1)
    with open(path, "wb") as file:
        os.dup2(file.fileno(), 1)
    print("x" * 300_000)
    sys.stdout.buffer.write(b"raw\\n")
    print("end")
    os.dup2(kept, 1)
"""


def drained(host: FakeHost) -> FakeHost:
    """Its stdout is read by somebody."""
    assert host.process.stdout is not None
    threading.Thread(target=host.process.stdout.read, daemon=True).start()
    return host


def test_children_that_are_forked_while_threads_print_can_print(start: Start) -> None:
    host = drained(start(PRINTS).attach())
    assert host.value(host.call("fork_while_threads_print", [40])) == [0] * 40


@pytest.mark.parametrize("launch", PROFILES[:1] + PROFILES[2:])
def test_signal_handlers_can_print(start: Start, launch: dict[str, Any]) -> None:
    source = PRINTS.replace("@snakepit.tool\ndef print_in", "@snakepit.tool(main_thread=True)\ndef print_in")
    host = drained(start(source if launch else PRINTS, **launch).attach())
    assert host.value(host.call("print_in_handlers", [200])) >= 200


def test_bytes_come_in_their_order(start: Start) -> None:
    host = start(PRINTS).attach()
    assert host.value(host.call("write_bytes")) == [1, True, "<stdout>"]
    tag = "\x1d1;write_bytes;\x1d"
    lines = [host.printed() for _ in range(4)]
    assert lines == [f"{tag}begun raw\n", "more raw\n", f"{tag}text\n", "wrapped\n"]


def test_what_goes_elsewhere_goes_as_it_is(start: Start, tmp_path: Path) -> None:
    host = start(PRINTS).attach()
    host.value(host.call("print_elsewhere", [str(tmp_path / "out")]))
    assert (tmp_path / "out").read_bytes() == b"x" * 300_000 + b"\nraw\nend\n"

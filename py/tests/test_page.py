"""The page that a worker leaves behind, read as lib/process/page.hpp describes it."""

from __future__ import annotations

import os
import signal
from typing import Callable

from fake_host import FakeHost, new_page, stack, word
from snakepit import _codec
from snakepit._page import Page
from snakepit.v1 import work_pb2

INDEX, ENTRIES = 8, 4096
LOG_OFFSET, LOG_BYTES = 8 * (INDEX + ENTRIES), 272 * 1024 - 64
FAILED = 1 << 15
BEGUN, DONE = 0, 1

Start = Callable[..., FakeHost]


def entry(page: int, call_id: int) -> tuple[int, bool, bytes] | None:
    """(position as if the log had no end, whether it failed, the reply)"""
    found = word(page, INDEX + call_id % ENTRIES)
    if found == 0:
        return None
    position, size = (found >> 16) * 8, found & (FAILED - 1)
    return position, bool(found & FAILED), os.pread(page, size, LOG_OFFSET + position % LOG_BYTES)


def test_replies_are_kept_before_their_calls_count_as_done() -> None:
    descriptor = new_page()
    page = Page(descriptor)
    page.end(1, b"first")
    page.end(2, work_pb2.Failure(message="no"))
    page.end(3, bytes(4096))
    page.end(4, bytes(4097))
    assert word(descriptor, DONE) == 4
    assert entry(descriptor, 1) == (0, False, b"first")
    assert entry(descriptor, 2) == (8, True, work_pb2.Failure(message="no").SerializeToString())
    assert entry(descriptor, 3) == (16, False, bytes(4096))
    assert entry(descriptor, 4) is None, "it is too large"
    os.close(descriptor)


def test_the_log_is_a_ring_of_whole_entries() -> None:
    descriptor = new_page()
    page = Page(descriptor)
    laps = 3 * LOG_BYTES // 4000
    for call_id in range(1, laps):
        page.end(call_id, bytes([call_id % 251]) * 4000)
        position, _, reply = entry(descriptor, call_id) or (0, False, b"")
        assert reply == bytes([call_id % 251]) * 4000
        assert position % LOG_BYTES + 4000 <= LOG_BYTES
    kept = LOG_BYTES // 4000 - 2
    for call_id in range(laps - kept, laps):
        assert (entry(descriptor, call_id) or (0, False, b""))[2] == bytes([call_id % 251]) * 4000
    os.close(descriptor)


def test_a_large_reply_leaves_no_older_one_in_its_place() -> None:
    descriptor = new_page()
    page = Page(descriptor)
    page.end(1, b"x")
    page.end(1 + ENTRIES, bytes(5000))
    assert entry(descriptor, 1 + ENTRIES) is None
    os.close(descriptor)


def test_a_reply_that_is_worth_nothing_without_what_went_before_is_not_kept() -> None:
    descriptor = new_page()
    page = Page(descriptor)
    page.end(1, b"x", kept=False)
    page.end(2, b"y")
    assert word(descriptor, DONE) == 2
    assert entry(descriptor, 1) is None
    assert entry(descriptor, 2) == (0, False, b"y")
    os.close(descriptor)


TOOLS = """
import ctypes, os, signal, snakepit
@snakepit.tool
def echo(x): return x
@snakepit.tool
def fail(): raise ValueError("no")
@snakepit.tool
def die(): os.kill(os.getpid(), signal.SIGKILL)
@snakepit.tool
def crash(): ctypes.string_at(0)
@snakepit.tool
def crash_in_a_child():
    child = os.fork()
    if child == 0:
        ctypes.string_at(0)
    return os.waitpid(child, 0)[1]
"""


def test_what_a_worker_that_is_killed_has_left(start: Start) -> None:
    host = start(TOOLS).attach()
    calls = [("echo", ["a"]), ("fail", []), ("die", []), ("echo", ["never"])]
    host.send(*(host.make_call(*call) for call in calls))
    host.process.wait(10)
    assert (word(host.page, BEGUN), word(host.page, DONE)) == (3, 2)
    first, second = entry(host.page, 1), entry(host.page, 2)
    assert first is not None
    assert not first[1]
    assert _codec.decode(first[2]) == "a"
    assert second is not None
    assert second[1]
    assert work_pb2.Failure.FromString(second[2]).type == "ValueError"
    assert entry(host.page, 3) is None


def test_a_crash_writes_its_stack_to_the_page(start: Start) -> None:
    host = start(TOOLS).attach()
    host.send(host.make_call("crash"))
    assert host.process.wait(10) == -signal.SIGSEGV
    assert "Segmentation fault" in stack(host.page)
    assert "in crash" in stack(host.page)


def test_a_child_of_a_tool_writes_to_stderr_instead(start: Start) -> None:
    host = start(TOOLS).attach()
    assert host.value(host.call("crash_in_a_child")) == signal.SIGSEGV
    assert stack(host.page) == ""


def test_calls_that_do_not_run_are_done_too(start: Start) -> None:
    host = start(TOOLS).attach()
    host.send(host.make_call("echo"), host.make_call("die"))
    host.process.wait(10)
    assert (word(host.page, BEGUN), word(host.page, DONE)) == (2, 1)
    left = entry(host.page, 1)
    assert left is not None
    assert left[1]
    assert work_pb2.Failure.FromString(left[2]).kind == work_pb2.Failure.BAD_ARGUMENTS

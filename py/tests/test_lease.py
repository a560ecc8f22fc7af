"""What a lease knows, and when it does not any more."""

from __future__ import annotations

import threading

import pytest
from snakepit._lease import Lease
from snakepit._page import REVOKED, REVOKED_WORDS, Page
from snakepit._replies import Replies
from snakepit.v1 import work_pb2

CALL = 5000


@pytest.fixture
def words() -> memoryview:
    return Page(None).words


def lease(words: memoryview, room_variables: int = 10, room_bytes: int = 1000) -> Lease:
    lent = work_pb2.Lease(
        names=["a", "none"],
        values=[b"\x01", b""],
        versions=[7, 0],
        room_variables=room_variables,
        room_bytes=room_bytes,
        max_value_bytes=100,
    )
    return Lease(CALL, lent, words)


def test_it_knows_what_was_lent_and_nothing_else(words: memoryview) -> None:
    held = lease(words)
    assert held.find(["a"]) == [(b"\x01", 7)]
    assert held.find(["none", "a"]) == [(b"", 0), (b"\x01", 7)]
    assert held.find(["a", "b"]) is None
    assert held.find([["not", "a", "name"]]) is None  # type: ignore[list-item]


@pytest.mark.parametrize("revoked", [CALL, CALL + REVOKED_WORDS])
def test_the_host_takes_it_back(words: memoryview, revoked: int) -> None:
    held = lease(words)
    words[REVOKED + CALL % REVOKED_WORDS] = CALL - REVOKED_WORDS  # an older call's
    assert held.find(["a"]) is not None
    words[REVOKED + CALL % REVOKED_WORDS] = revoked
    assert held.find(["a"]) is None
    assert not held.may_write([("a", b"\x02")])


def test_what_was_written_is_known_and_its_version_is_not(words: memoryview) -> None:
    held = lease(words)
    assert held.may_write([("a", b"\x02"), ("new", b"\x03")])
    assert held.find(["a"]) is None, "not before it is sent"
    held.wrote([("a", b"\x02"), ("new", b"\x03")])
    assert held.find(["a", "new"]) == [(b"\x02", None), (b"\x03", None)]
    assert held.has_written
    assert not held.may_write([])


def test_room_is_used_up(words: memoryview) -> None:
    held = lease(words, room_variables=3, room_bytes=20)
    assert not held.may_write([("x", bytes(20))])
    assert held.may_write([("x", bytes(9))])
    assert not held.may_write([("y", bytes(10))])
    assert held.may_write([("y", bytes(1))])
    assert held.may_write([("z", bytes(1))])
    assert not held.may_write([("z", bytes(1))]), "it might be a new variable, so far as this is known here"


@pytest.mark.parametrize("name", ["", "x" * 65, "\N{SNOWMAN}", "\ud800", 1])
def test_names_that_the_host_has_to_judge(words: memoryview, name: str) -> None:
    assert not lease(words).may_write([(name, b"\x01")])


def test_much_is_not_written_without_waiting(words: memoryview) -> None:
    held = lease(words, 10_000, 1 << 40)
    assert not held.may_write([("a", bytes(101))])
    assert not held.may_write([(f"n{i}", bytes(1)) for i in range(65)])
    assert not Lease(
        CALL, work_pb2.Lease(room_variables=9, room_bytes=1 << 40, max_value_bytes=1 << 40), words
    ).may_write([("a", bytes(16 * 1024))])


def test_it_ends_with_the_call(words: memoryview) -> None:
    held = lease(words)
    held.end()
    assert held.find(["a"]) is None
    assert not held.may_write([("a", b"\x02")])


def test_it_is_for_one_thread(words: memoryview) -> None:
    held = lease(words)
    seen: list[object] = []
    other = threading.Thread(target=lambda: seen.extend([held.find(["a"]), held.may_write([("a", b"\x02")])]))
    other.start()
    other.join()
    assert seen == [None, False]
    assert held.find(["a"]) is not None


def test_no_question_leaves_before_what_was_written_before_it() -> None:
    replies = Replies(64 * 1024, 1 << 20)
    for _ in range(1_000):
        replies.write(1, [("x", bytes(100))])
    replies.ask(1, 1, b"a question")
    replies.add((1, b"\x01", 1))
    written = 0
    while (encoded := replies.next_frame()) is not None:
        frame = work_pb2.WorkUp.FromString(encoded)
        written += len(frame.write_calls)
        assert written == 1_000 or not (frame.asks or frame.ids)
    assert written == 1_000


class _Interrupted(Replies):
    """Where another thread goes on in the middle of next_frame()."""

    def _put_asks(self, frame: work_pb2.WorkUp, room: int, items: int, most: int) -> tuple[int, int]:
        self.write(2, [("y", b"\x02")])
        self.ask(2, 2, b"another question")
        self.add((2, b"\x02", 1))
        return super()._put_asks(frame, room, items, most)


def test_what_is_added_while_a_frame_is_made_leaves_in_order() -> None:
    replies = _Interrupted(64 * 1024, 1 << 20)
    replies.write(1, [("x", b"\x01")])
    replies.ask(1, 1, b"a question")
    replies.add((1, b"\x01", 1))
    frame = work_pb2.WorkUp.FromString(replies.next_frame() or b"")
    assert (list(frame.write_calls), [ask.number for ask in frame.asks], list(frame.ids)) == ([1], [1], [1])


def test_no_reply_leaves_before_what_its_call_has_written() -> None:
    replies = Replies(64 * 1024, 1 << 20)
    for call_id in range(1, 30):
        replies.write(call_id, [("x", bytes(16_000)), ("y", b"\x01")])
        replies.add((call_id, b"\x01", 1))
    written: set[int] = set()
    ended: list[int] = []
    frames = 0
    while (encoded := replies.next_frame()) is not None:
        frame = work_pb2.WorkUp.FromString(encoded)
        assert len(encoded) <= 64 * 1024
        written.update(frame.write_calls)
        ended.extend(frame.ids)
        assert written.issuperset(ended)
        assert list(frame.write_sizes) == [2] * len(frame.write_calls)
        frames += 1
    assert ended == list(range(1, 30))
    assert frames > 5

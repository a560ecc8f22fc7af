"""Streams: what a running tool yields, on its way to the host, and what the host sends it to read.

Items leave many together when they come fast, and at once when they come slowly; a thread sees to it that none waits
because its tool computes. Whoever waits, for credit or for input, drives the lane meanwhile, as who has asked does.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from math import inf
from time import monotonic, sleep
from types import CodeType
from typing import Any, NoReturn, Protocol

from snakepit import _codec
from snakepit._asks import Asks, Unanswered
from snakepit._lane import Lane
from snakepit._loops import own_loop
from snakepit._protocol import STREAM_ITEM_COST, STREAM_WINDOW
from snakepit._replies import Replies
from snakepit._tools import Tool
from snakepit.v1 import work_pb2

_SLOW = 200e-6  # seconds: how long an item may wait for the next ones
_SENDING_SHARE = 4  # they wait at least so many times as long as it takes to send them
_COST_WEIGHT = 0.1
_LATE = 1e-3  # seconds after which the thread looks for items that have not left
_GRANT = STREAM_WINDOW // 4

_Failure = work_pb2.Failure


class StreamRefused(Exception):
    """Ends the call with a failure that is not the tool's."""

    def __init__(self, kind: work_pb2.Failure.Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Calls(Protocol):
    """What streams want to know of the calls that run."""

    def running(self) -> Any:
        """The Call that runs on this thread."""

    def is_open(self, call_id: int) -> bool:
        """Whether it has not ended."""

    def await_request(self, call_id: int) -> None:
        """The host has said elsewhere that it will ask the call to stop: wait until it has."""

    def give_up_if_asked(self, call_id: int) -> None:
        """Raise Cancelled when that has been asked for, on the thread that runs the call."""


class Output:
    """The items of one call that have not left."""

    __slots__ = ("call_id", "cost", "granted", "leave_by", "offset", "queue", "used")

    def __init__(self, call_id: int) -> None:
        self.call_id = call_id
        self.queue: deque[bytes] = deque()
        self.offset = 0  # how much of the first one has left; whoever builds frames writes it
        self.used = 0  # credit, in all; the tool's thread writes it
        self.granted: float = STREAM_WINDOW  # credit, in all; whoever drives writes it
        self.leave_by = 0.0  # when the next item does not wait for others
        self.cost = 0.0  # mean seconds that it takes to let them leave


class Input:
    """What C++ sends to one call, as the iterator that its tool reads. Ends when C++ finishes."""

    def __init__(self, call_id: int, streams: Streams) -> None:
        self._call_id = call_id
        self._streams = streams
        self._items: deque[bytes | bytearray] = deque()
        self._part: bytearray | None = None
        self._used = 0
        self._finished = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        items = self._items
        if not items:
            self._streams.wait(self._call_id, lambda: items or self._finished)
            if not items:
                raise StopIteration
        data = items.popleft()
        self._used += len(data) + STREAM_ITEM_COST
        if self._used >= _GRANT:
            self._streams.grant(self._call_id, self._used)
            self._used = 0
        return _codec.decode(data)

    def take_in(self, items: work_pb2.Items) -> None:
        """For whoever drives the lane."""
        if items.total:
            if self._part is None:
                self._part = bytearray()
            self._part += items.values[0]
            if len(self._part) == items.total:
                self._items.append(self._part)
                self._part = None
        else:
            self._items.extend(items.values)
        if items.finished:
            self._finished = True


class Streams:
    """All that are open at this worker."""

    def __init__(self, calls: Calls, replies: Replies, asks: Asks, max_message_bytes: int) -> None:
        self._calls = calls
        self._replies = replies
        self._asks = asks
        self._max_message = max_message_bytes
        self._lane: Lane | None = None
        self._outputs: dict[int, Output] = {}  # of calls that run
        self._inputs: dict[int, Input] = {}  # of calls that have not ended
        self._unwanted = 0  # id of the last call of which the host has said so
        self._is_child = False  # a process that a tool has forked
        self._looker: threading.Thread | None = None
        self._bell = threading.Event()
        self._sleeps = False  # the looker: it has to be woken

    def use(self, lane: Lane) -> None:
        """Name the lane, before a tool runs."""
        self._lane = lane

    def after_fork(self) -> None:
        """In a child that a tool has forked: nothing leaves, and nothing comes."""
        self._is_child = True
        for output in self._outputs.values():
            output.leave_by = output.granted = inf
        self._sleeps = False

    # What comes. For whoever drives the lane.

    def take_in(self, word: work_pb2.StreamWord) -> None:
        for grant in word.grants:
            output = self._outputs.get(grant.call)
            if grant.bytes == 0:
                self._unwanted = grant.call
            elif output is not None:
                output.granted += grant.bytes
            self._asks.nudge(grant.call)
        for items in word.items:
            if self._calls.is_open(items.call):
                self._input_of(items.call).take_in(items)
                self._asks.nudge(items.call)

    def _input_of(self, call_id: int) -> Input:
        known = self._inputs.get(call_id)
        return known if known is not None else self._inputs.setdefault(call_id, Input(call_id, self))

    # For tools.

    def wait(self, call_id: int, is_true: Callable[[], object]) -> None:
        """Until it is, or Cancelled is raised."""
        if self._is_child or not self._calls.is_open(call_id):
            raise RuntimeError("the call is over")

        def give_up() -> None:
            if self._unwanted == call_id:
                self._unwanted = 0
                self._calls.await_request(call_id)
            self._calls.give_up_if_asked(call_id)

        try:
            self._asks.wait_until(call_id, is_true, give_up)
        except Unanswered:
            raise RuntimeError("the call is over") from None

    def grant(self, call_id: int, used: int) -> None:
        """The tool has read so much of its input."""
        self._replies.grant(call_id, used)
        if self._lane is not None:
            self._lane.flush()

    def adopt(self, tool: Tool) -> None:
        """Have a tool that yields, or reads, do so with the host, when it is called."""
        if not tool.yields and tool.input is None:
            return
        function, yields, reads = tool.function, tool.yields, tool.input
        drain = self._drain_async if yields == "async" else self._drain

        def run(*args: Any, **kwargs: Any) -> Any:
            call = self._calls.running()
            if not call.streams:
                raise StreamRefused(_Failure.BAD_ARGUMENTS, "it yields items, or takes some: use pool.stream")
            call_id = call.id
            try:
                if reads is not None:
                    given = self._input_of(call_id)
                    if reads.position is not None and len(args) > reads.position:
                        args = (*args[: reads.position], given, *args[reads.position :])
                    else:
                        kwargs[reads.name] = given
                result = function(*args, **kwargs)
                return drain(call_id, result) if yields else result
            finally:
                self._outputs.pop(call_id, None)
                self._inputs.pop(call_id, None)
                self._forget_over()

        tool.function = run
        _DRIVES.add(run.__code__)

    def _forget_over(self) -> None:
        """Input that came for calls which were not begun, or had just ended."""
        for call_id in [call_id for call_id in list(self._inputs) if not self._calls.is_open(call_id)]:
            self._inputs.pop(call_id, None)

    def _open(self, call_id: int) -> Output:
        output = self._outputs[call_id] = Output(call_id)
        self._replies.add_stream(output)
        if self._looker is None and self._lane is not None:
            self._looker = threading.Thread(target=self._look, args=(self._lane,), name="snakepit-items", daemon=True)
            self._looker.start()
        return output

    def _drain(self, call_id: int, generator: Any) -> Any:
        output = self._open(call_id)
        step, encode, put = generator.__next__, self._encode, output.queue.append
        try:
            while True:
                data = encode(step(), "item")
                if output.used >= output.granted:
                    self._await_credit(output)
                output.used += len(data) + STREAM_ITEM_COST
                put(data)
                if monotonic() >= output.leave_by:
                    self._let_leave(output)
                elif self._sleeps:
                    self._wake()
        except StopIteration as end:
            return end.value
        finally:
            generator.close()

    def _drain_async(self, call_id: int, generator: Any) -> Any:
        output = self._open(call_id)

        async def pump() -> None:
            async for item in generator:
                data = self._encode(item, "item")
                if output.used >= output.granted:
                    self._await_credit(output)
                output.used += len(data) + STREAM_ITEM_COST
                output.queue.append(data)
                if monotonic() >= output.leave_by:
                    self._let_leave(output)
                elif self._sleeps:
                    self._wake()

        _DRIVES.add(pump.__code__)
        own = own_loop()
        try:
            own.run(pump())
        except BaseException:
            own.loop.run_until_complete(generator.aclose())  # suspended in its `yield`, perhaps
            raise

    def _encode(self, item: object, root: str) -> bytes:
        try:
            data = _codec.encode(item, root)
        except _codec.Unserializable as error:
            _refuse(_Failure.UNSERIALIZABLE, str(error))
        except MemoryError:
            _refuse(_Failure.UNSERIALIZABLE, "item: no memory to encode it")
        if len(data) > self._max_message:
            _refuse(_Failure.TOO_LARGE, f"an item has {len(data)} bytes; max_message_bytes is {self._max_message}")
        return data

    def _await_credit(self, output: Output) -> None:
        self._let_leave(output)
        self.wait(output.call_id, lambda: output.used < output.granted)

    def _let_leave(self, output: Output) -> None:
        self._calls.give_up_if_asked(output.call_id)
        if self._lane is None or output.leave_by == inf:
            return
        began = monotonic()
        self._asks.flush_all(self._lane)
        now = monotonic()
        output.cost += (now - began - output.cost) * _COST_WEIGHT
        output.leave_by = now + max(_SLOW, _SENDING_SHARE * output.cost)

    # The thread that looks for items that are late.

    def _wake(self) -> None:
        self._sleeps = False
        self._bell.set()

    def _look(self, lane: Lane) -> None:
        while True:
            self._sleeps = True
            # Looked at again: what was put meanwhile has not rung.
            if not self._have_items():
                self._bell.wait()
            self._bell.clear()
            self._sleeps = False
            while True:
                sleep(_LATE)
                waiting = [output for output in list(self._outputs.values()) if output.queue]
                if not waiting:
                    break
                now = monotonic()
                if any(now >= output.leave_by for output in waiting):
                    self._asks.flush_all(lane)

    def _have_items(self) -> bool:
        return any(output.queue for output in list(self._outputs.values()))


def _refuse(kind: work_pb2.Failure.Kind, message: str) -> NoReturn:
    raise StreamRefused(kind, message) from None


_DRIVES: set[CodeType] = {Streams._drain.__code__, Streams._drain_async.__code__}


def drives_tools(code: CodeType) -> bool:
    """Whether it is ours and has the tool's code run inside of it: Cancelled may pass through."""
    return code in _DRIVES

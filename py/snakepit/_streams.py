"""Streams: what a running tool yields, on its way to the host, and what the host sends it to read.

Items leave many together when they come fast, and at once when they come slowly; a thread sees to it that none waits
because its tool computes. Whoever waits, for credit or for input, drives the lane meanwhile, as who has asked does;
where several calls run at once a thread drives it all the time, and wakes those who wait, in threads or on event loops.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from math import inf
from time import monotonic, sleep
from typing import Any, NoReturn, Protocol

from snakepit import _codec
from snakepit._asks import Asks, Unanswered
from snakepit._cancel import let_pass
from snakepit._lane import Lane
from snakepit._loops import own_loop, run_to_end
from snakepit._pace import leave_by, mean_with
from snakepit._protocol import STREAM_ITEM_COST, STREAM_WINDOW
from snakepit._replies import Replies
from snakepit._shield import shielded
from snakepit._tools import Tool
from snakepit.v1 import work_pb2

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
        """The Call that runs here: on this thread, or in this task."""

    def is_open(self, call_id: int) -> bool:
        """Whether it has not ended."""

    def await_request(self, call_id: int) -> None:
        """The host has said elsewhere that it will ask the call to stop: wait until it has."""

    def give_up_if_asked(self, call_id: int) -> None:
        """Raise Cancelled when that has been asked for, on the thread that runs the call."""

    def shield(self, call_id: int) -> AbstractContextManager[None]:
        """Around what Cancelled must not come into."""

    def shares_thread(self) -> bool:
        """Whether other calls go on in this thread."""


class Output:
    """The items of one call that have not left."""

    __slots__ = ("call_id", "cost", "granted", "is_unwanted", "leave_by", "offset", "queue", "used")

    def __init__(self, call_id: int) -> None:
        self.call_id = call_id
        self.queue: deque[bytes] = deque()
        self.offset = 0  # how much of the first one has left; whoever builds frames writes it
        self.used = 0  # credit, in all; the tool's thread writes it
        self.granted: float = STREAM_WINDOW  # credit, in all; whoever drives writes it
        self.leave_by = 0.0  # when the next item does not wait for others
        self.cost = 0.0  # mean seconds that it takes to let them leave
        self.is_unwanted = False  # the call is over, and was asked to stop

    def keep_begun_item(self) -> None:
        """And no other. For whoever builds frames."""
        begun = self.queue[0] if self.offset else None
        self.queue.clear()
        if begun is not None:
            self.queue.append(begun)


class Input:
    """What C++ sends to one call, as the iterator, of either kind, that its tool reads. Ends when C++ finishes."""

    def __init__(self, call_id: int, streams: Streams) -> None:
        self._call_id = call_id
        self._streams = streams
        self._items: deque[bytes | bytearray] = deque()
        self._part: bytearray | None = None
        self._used = 0
        self._finished = False

    def __iter__(self) -> Iterator[Any]:
        self._streams.check_may_wait_here()
        return self

    def __next__(self) -> Any:
        items = self._items
        if not items:
            self._streams.check_may_wait_here()
            self._streams.wait(self._call_id, self._is_there)
            if not items:
                raise StopIteration
        return self._take()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        items = self._items
        if not items:
            await self._streams.wait_in_task(self._call_id, self._is_there)
            if not items:
                raise StopAsyncIteration
        return self._take()

    def _is_there(self) -> bool:
        return bool(self._items) or self._finished

    @shielded
    def _take(self) -> Any:
        data = self._items.popleft()
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
        self._opening = threading.Lock()
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
                if not self._asks.has_driver:  # else those who wait are woken by Cancel itself
                    self._unwanted = grant.call
            elif output is not None:
                output.granted += grant.bytes
            self._asks.nudge(grant.call)
        for items in word.items:
            if self._calls.is_open(items.call):
                self._input_of(items.call).take_in(items)
                self._asks.nudge(items.call)
                if not self._calls.is_open(items.call):  # it was passed over meanwhile
                    self.forget(items.call)

    def forget(self, call_id: int) -> None:
        """The call does not begin: what came for it is dropped. Any thread."""
        self._inputs.pop(call_id, None)

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
            with self._calls.shield(call_id):
                self._asks.wait_until(call_id, is_true, give_up)
        except Unanswered:
            raise RuntimeError("the call is over") from None

    async def wait_in_task(self, call_id: int, is_true: Callable[[], object]) -> None:
        """As wait(); where somebody drives the lane, the event loop goes on meanwhile."""
        if not self._asks.has_driver or self._is_child:
            return self.wait(call_id, is_true)
        if not self._calls.is_open(call_id):
            raise RuntimeError("the call is over")
        try:
            await self._asks.wait_on_loop(call_id, is_true)
        except Unanswered:
            raise RuntimeError("the call is over") from None

    def check_may_wait_here(self) -> None:
        if self._calls.shares_thread():
            raise RuntimeError("input is waited for, which would hold up the event loop: read it with `async for`")

    def grant(self, call_id: int, used: int) -> None:
        """The tool has read so much of its input."""
        if self._is_child or not self._calls.is_open(call_id):
            return
        with self._calls.shield(call_id):
            self._replies.grant(call_id, used)
            if self._lane is not None:
                self._lane.flush()

    def adopt(self, tool: Tool) -> None:
        """Have a tool that yields, or reads, do so with the host, when it is called."""
        if not tool.yields and tool.input is None:
            return
        function, yields = tool.function, tool.yields
        drain = self._drain_async if yields == "async" else self._drain

        @let_pass
        def run(*args: Any, **kwargs: Any) -> Any:
            call_id = self._begin()
            try:
                args = self._with_input(tool, call_id, args, kwargs)
                result = function(*args, **kwargs)
                return drain(call_id, result) if yields else result
            finally:
                self._end(call_id)

        tool.function = run

    def share_loops(self, tools: Iterable[Tool]) -> None:
        """After adopt(), where somebody drives the lane: have async ones wait without holding up their event loop."""
        for tool in tools:
            if tool.is_async and (tool.yields or tool.input is not None):
                self._share_loop(tool)

    def _share_loop(self, tool: Tool) -> None:
        function, yields = tool.async_function, tool.yields

        async def run(*args: Any, **kwargs: Any) -> Any:
            call_id = self._begin()
            try:
                args = self._with_input(tool, call_id, args, kwargs)
                result = function(*args, **kwargs)
                if not yields:
                    return await result
                try:
                    return await self._pump(self._open(call_id), result)
                finally:
                    await result.aclose()  # suspended in its `yield`, perhaps
            finally:
                self._end(call_id)

        tool.coroutine_function = run
        tool.function = run_to_end(run)

    def _begin(self) -> int:
        """Id of the call that runs here."""
        call = self._calls.running()
        if not call.streams:
            raise StreamRefused(_Failure.BAD_ARGUMENTS, "it yields items, or takes some: use pool.stream")
        call_id: int = call.id
        return call_id

    def _with_input(self, tool: Tool, call_id: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        reads = tool.input
        if reads is None:
            return args
        given = self._input_of(call_id)
        if reads.position is not None and len(args) > reads.position:
            return (*args[: reads.position], given, *args[reads.position :])
        kwargs[reads.name] = given
        return args

    def _end(self, call_id: int) -> None:
        with self._calls.shield(call_id):
            self._outputs.pop(call_id, None)
            self._inputs.pop(call_id, None)
            self._forget_over()

    def _forget_over(self) -> None:
        """Input that came for calls that had just ended, and what Cancelled has kept from _end()."""
        every: tuple[dict[int, Any], ...] = (self._inputs, self._outputs)
        for known in every:
            for call_id in [call_id for call_id in list(known) if not self._calls.is_open(call_id)]:
                known.pop(call_id, None)

    def _open(self, call_id: int) -> Output:
        with self._calls.shield(call_id), self._opening:
            output = self._outputs[call_id] = Output(call_id)
            self._replies.add_stream(output)
            lane = self._lane
            if self._looker is None and lane is not None:
                self._looker = threading.Thread(target=self._look, args=(lane,), name="snakepit-items", daemon=True)
                self._looker.start()
        return output

    @let_pass
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
                    self._wake(call_id)
        except StopIteration as end:
            return end.value
        finally:
            generator.close()

    @let_pass
    def _drain_async(self, call_id: int, generator: Any) -> Any:
        own = own_loop()
        try:
            own.run(self._pump(self._open(call_id), generator))
        except BaseException:
            # Not in the task, which may yet be cancelled when Cancelled has come to it already.
            own.finish(generator.aclose())  # suspended in its `yield`, perhaps
            raise

    @let_pass
    async def _pump(self, output: Output, generator: Any) -> None:
        from asyncio import sleep

        async for item in generator:
            data = self._encode(item, "item")
            if output.used >= output.granted:
                self._let_leave(output)
                await self.wait_in_task(output.call_id, lambda: output.used < output.granted)
            output.used += len(data) + STREAM_ITEM_COST
            output.queue.append(data)
            if monotonic() >= output.leave_by:
                self._let_leave(output)
                await sleep(0)  # a generator that never waits is not to keep the loop for itself
            elif self._sleeps:
                self._wake(output.call_id)

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
        with self._calls.shield(output.call_id):
            self._asks.flush_all(self._lane)
        now = monotonic()
        output.cost = mean_with(output.cost, now - began)
        output.leave_by = leave_by(now, output.cost)

    # The thread that looks for items that are late.

    def _wake(self, call_id: int) -> None:
        with self._calls.shield(call_id):
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

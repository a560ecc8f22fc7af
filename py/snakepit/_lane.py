"""The worker's end of the Work stream. The only file that knows grpcio from the inside.

A lane is driven by one thread, which alone calls turn() and half_close(); flush() and wake() may be called by any.
It hands frames to its Port and asks it for frames. Nothing in here may raise once the stream is open: an exception
inside grpcio's iterator ruins the stream for good.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from math import inf
from time import monotonic
from typing import Any, Protocol, Union

import grpc

from snakepit._protocol import END_SECONDS, WORK_METHOD

try:
    from grpc._cython import cygrpc
except ImportError:  # a grpcio that is built in another way: the public iterator will do
    cygrpc = None

Metadata = tuple[tuple[str, Union[str, bytes]], ...]

_NO_FLAGS = 0


class Port(Protocol):
    """Who uses a lane. None of these may raise."""

    def on_frame(self, frame: bytes) -> None:
        """A frame came in. Called by the driving thread."""

    def next_frame(self) -> bytes | None:
        """The next frame to send, or None when nothing is ready. Called by any thread, by one at a time."""

    def pending(self) -> bool:
        """Whether next_frame() would return one."""

    def finished(self) -> bool:
        """Whether this side has said all that it will ever say."""


class Lane(Protocol):
    """See the module's text."""

    name: str

    @property
    def sending(self) -> bool:
        """Whether a frame is on its way, so that the next must wait."""

    def turn(self) -> bool:
        """Wait until something happens and take it in. False: the stream has ended."""

    def take_what_has_come(self) -> None:
        """Take in what is there, without waiting, as far as that can be known."""

    def flush(self) -> None:
        """Send what is ready, if nothing is being sent."""

    def flush_all(self, until: float = inf) -> None:
        """As flush(), and see to it that all that is ready leaves. Called by the driving thread.

        until: then no more is begun, in case that there is ever more.
        """

    def wake(self) -> None:
        """Call after finished() may have become true while the driving thread waits in turn()."""

    def half_close(self) -> None:
        """Nothing more will be sent."""


class DirectLane:
    """One thread, one completion queue, no helper threads: the way of grpcio's own blocking unary calls."""

    name = "direct"

    def __init__(self, channel: grpc.Channel, metadata: Metadata, port: Port) -> None:
        self._port = port
        self._on_frame = port.on_frame
        self._slot = threading.Lock()  # held while a send is outstanding
        self._received = cygrpc.OperationType.receive_message
        self._sent = cygrpc.OperationType.send_message
        self._ended = cygrpc.OperationType.receive_status_on_client
        self._receive = (cygrpc.ReceiveMessageOperation(_NO_FLAGS),)
        self._open = True
        self._call = _segregated_call(channel, WORK_METHOD, metadata)
        self._next_event = self._call.next_event
        self._operate(self._receive)

    @property
    def sending(self) -> bool:
        return self._slot.locked()

    def turn(self) -> bool:
        if not self._open:
            return False  # no event would ever come
        self._take(self._next_event().batch_operations)
        return self._open

    def take_what_has_come(self) -> None:
        came = True
        while self._open and came:
            self.wake()  # comes behind all that is there: so there is something to take
            came = False
            while self._open and (operations := self._next_event().batch_operations):
                self._take(operations)
                came = True

    def _take(self, operations: Any) -> None:
        for operation in operations:
            kind = operation.type()
            if kind == self._received:
                frame = operation.message()
                if frame is None:
                    self._open = False
                else:
                    self._operate(self._receive)
                    self._on_frame(frame)
            elif kind == self._sent:
                self._slot.release()
            elif kind == self._ended:
                self._open = False

    def flush(self) -> None:
        # Asked again after the slot is given back: another thread may have had something to send meanwhile.
        while self._slot.acquire(False):
            frame = self._port.next_frame()
            if frame is not None:
                self._operate((cygrpc.SendMessageOperation(frame, _NO_FLAGS),))
                return
            self._slot.release()
            if not self._port.pending():
                return

    def flush_all(self, until: float = inf) -> None:
        self.flush()
        # Frames that come meanwhile are queued by the port.
        while self._port.pending() and monotonic() < until and self.turn():
            self.flush()

    def wake(self) -> None:
        self._operate(())  # without an operation it completes at once and puts nothing on the wire

    def half_close(self) -> None:
        self._operate((cygrpc.SendCloseFromClientOperation(_NO_FLAGS),))

    def _operate(self, operations: tuple[Any, ...]) -> None:
        try:
            self._call.operate(operations, None)
        except ValueError:  # the call is over; no wider, or what a signal handler of the user's raises would be lost
            self._open = False


class IteratorLane:
    """The public interface: grpcio's own threads send, the driving thread iterates over what comes in.

    Nothing can wake the iterator, so when the port has finished, the sending thread ends our side by itself.
    """

    name = "iterator"

    def __init__(self, channel: grpc.Channel, metadata: Metadata, port: Port) -> None:
        self._port = port
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._sending = False
        open_stream = channel.stream_stream(WORK_METHOD)
        self._frames = open_stream(self._outgoing(), metadata=metadata)

    @property
    def sending(self) -> bool:
        return self._sending

    def turn(self) -> bool:
        try:
            frame = next(self._frames)
        except (StopIteration, grpc.RpcError):
            return False
        self._port.on_frame(frame)
        return True

    def take_what_has_come(self) -> None:
        pass  # nobody can know

    def flush(self) -> None:
        if not self._sending and (self._port.pending() or self._port.finished()):
            self._sending = True
            self._bell.put(None)

    def flush_all(self, until: float = inf) -> None:
        self.flush()  # the sending thread goes on until nothing is left

    def wake(self) -> None:
        self._bell.put(None)

    def half_close(self) -> None:
        self._bell.put(None)

    def _outgoing(self) -> Iterator[bytes]:
        while not self._port.finished():
            self._bell.get()
            while (frame := self._port.next_frame()) is not None:
                self._sending = True
                yield frame  # asked for the next one only when this one has been sent
            self._sending = False
            if self._port.pending():
                self._bell.put(None)  # it came between the last two lines, and flush() saw us sending
        # Returning ends our side. A host that does not end its own must not keep turn() waiting for ever.
        cut = threading.Timer(END_SECONDS, self._frames.cancel)
        cut.daemon = True
        cut.start()


def open_lane(wanted: str, channel: grpc.Channel, metadata: Metadata, port: Port, reason: str) -> Lane:
    """Open Work. `wanted` is what choose() returned; `reason` is why not "direct", empty when it is."""
    if wanted == "direct" and not reason:
        return DirectLane(channel, metadata, port)
    return IteratorLane(channel, metadata, port)


class LaneError(Exception):
    """The lane that was asked for cannot be used here."""


def choose(wanted: str) -> tuple[str, str]:
    """(name, reason): the lane to use for "auto", "direct" or "iterator", and why it is not the direct one."""
    if wanted == "iterator":
        return "iterator", "asked for"
    try:
        _test_direct()
    except Exception as error:
        reason = f"self-test with grpcio {grpc.__version__}: {type(error).__name__}: {error}"
        if wanted == "direct":
            raise LaneError(f"the direct lane was asked for, but cannot be used: {reason}") from None
        return "iterator", reason
    return "direct", ""


def _segregated_call(channel: Any, method: str, metadata: Metadata) -> Any:
    return channel._channel.segregated_call(
        cygrpc.PropagationConstants.GRPC_PROPAGATE_DEFAULTS,
        method.encode(),
        None,  # host
        None,  # deadline
        metadata,
        None,  # credentials
        (
            ((cygrpc.SendInitialMetadataOperation(metadata, _NO_FLAGS),), None),
            ((cygrpc.ReceiveStatusOnClientOperation(_NO_FLAGS),), None),
            ((cygrpc.ReceiveInitialMetadataOperation(_NO_FLAGS),), None),
        ),
        None,
    )


def _test_direct() -> None:
    """Drive a call that fails at once, against a socket that cannot exist: every name, signature and event we need."""
    if cygrpc is None:
        raise ImportError("grpc._cython.cygrpc cannot be imported")
    kinds = cygrpc.OperationType
    cygrpc.SendMessageOperation(b"", _NO_FLAGS)
    cygrpc.SendCloseFromClientOperation(_NO_FLAGS)
    options = (("grpc.use_local_subchannel_pool", 1),)
    with grpc.insecure_channel("unix:/dev/null/none", options=options) as channel:
        call = _segregated_call(channel, WORK_METHOD, ())
        call.operate((cygrpc.ReceiveMessageOperation(_NO_FLAGS),), None)
        call.operate((), None)
        missing = {kinds.receive_message, kinds.receive_status_on_client, None}
        for _ in range(5):  # one event for each batch
            operations = call.next_event().batch_operations
            missing -= {operation.type() for operation in operations} or {None}
            for operation in operations:
                if operation.type() == kinds.receive_message and operation.message() is not None:
                    raise RuntimeError("a message came from nowhere")
        if missing:
            raise RuntimeError(f"no event for operation types {sorted(map(str, missing))}")

"""The Control stream, on a thread of its own: a busy tool never delays it."""

from __future__ import annotations

import gc
import os
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import grpc

from snakepit._lane import Metadata
from snakepit._origin import Origin
from snakepit._outbox import Outbox
from snakepit._protocol import CONTROL_METHOD, MAX_BLOCKED_BY_BYTES, MAX_STACK_BYTES, MAX_STACKS_BYTES
from snakepit._telemetry import Gathered
from snakepit._text import cut, cut_middle
from snakepit.v1 import control_pb2

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Progress(Protocol):
    """What Pong tells; see control.proto."""

    @property
    def received_id(self) -> int: ...
    @property
    def begun_id(self) -> int: ...
    @property
    def ended_calls(self) -> int: ...
    @property
    def running_us(self) -> int: ...


class Controlled(Protocol):
    """Who obeys. Called on the control thread."""

    def cancel(self, ids: Sequence[int]) -> None: ...
    def recall(self, ids: Sequence[int]) -> None: ...
    def end(self, last_id: int, stop: bool) -> None: ...
    def progress(self) -> Progress: ...


class Observed(Protocol):
    """Who shows what goes on. Called on the control thread."""

    def set_log_level(self, least: int) -> None: ...
    def tell_stacks(self, tell: Callable[[str], None]) -> None:
        """Call `tell` with the stacks of all threads; later, and on another thread."""


class ControlLost(Exception):
    """The stream ended before the host had answered Hello."""


class Refused(Exception):
    """The host will not have this worker."""


class Control:
    """One Control stream."""

    def __init__(self, channel: grpc.Channel, metadata: Metadata, hello: control_pb2.Hello, gathered: Gathered) -> None:
        """Open the stream and say hello. What is gathered leaves beside everything else."""
        self._up = Outbox(gathered)
        os.register_at_fork(after_in_child=self._up.close)
        self._answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._receivers: queue.SimpleQueue[tuple[Controlled, Observed, Callable[[str], None]]] = queue.SimpleQueue()
        self._up.put(control_pb2.ControlUp(hello=hello).SerializeToString())
        open_stream = channel.stream_stream(CONTROL_METHOD)
        self._down = open_stream(self._up, metadata=metadata)
        threading.Thread(target=self._run, name="snakepit-control", daemon=True).start()

    def wait_for_welcome(self, seconds: float) -> control_pb2.Welcome:
        """The host's answer. Raises Refused or ControlLost."""
        try:
            answer = self._answer.get(timeout=seconds)
        except queue.Empty:
            raise ControlLost(f"the host did not answer hello within {seconds:g} s") from None
        if isinstance(answer, Exception):
            raise answer
        welcome: control_pb2.Welcome = answer
        return welcome

    def send_telemetry(self) -> None:
        """Begin to send what is gathered: the host has said what it wants of it."""
        self._up.send_telemetry()

    def pass_on_to(self, controlled: Controlled, observed: Observed, on_lost: Callable[[str], None]) -> None:
        """Begin to pass on what the host asks for; `on_lost` hears why the stream has ended."""
        self._receivers.put((controlled, observed, on_lost))

    def tell_of_blocked_loop(self, seconds: float, by: str, stack: str) -> None:
        """See LoopBlocked in control.proto. Any thread."""
        blocked = control_pb2.LoopBlocked(
            blocked_us=int(seconds * 1e6), by=cut(by, MAX_BLOCKED_BY_BYTES), stack=cut_middle(stack, MAX_STACK_BYTES)
        )
        self._up.put(control_pb2.ControlUp(loop_blocked=blocked).SerializeToString())

    def tell_of_slow_call(self, call: Origin, seconds: float, stack: str) -> None:
        """See SlowCall in control.proto. Any thread."""
        slow = control_pb2.SlowCall(
            id=call.id,
            running_us=int(seconds * 1e6),
            tool=call.tool,
            trace_id=call.trace_id,
            stack=cut_middle(stack, MAX_STACK_BYTES),
        )
        self._up.put(control_pb2.ControlUp(slow_call=slow).SerializeToString())

    def flush(self, seconds: float) -> None:
        """Wait, no longer than that, until telemetry that is gathered has left. The process is about to end."""
        self._up.flush(seconds)

    def _run(self) -> None:
        try:
            first = next(self._down)
        except Exception as error:
            self._up.close()
            self._answer.put(ControlLost(_reason(error)))
            return
        self._take_answer(first)
        controlled, observed, on_lost = self._receivers.get()
        try:
            for message in self._down:
                self._pass_on(controlled, observed, control_pb2.ControlDown.FromString(message))
            reason = "the host ended the Control stream"
        except Exception as error:
            reason = _reason(error)
        self._up.close()
        on_lost(reason)

    def _take_answer(self, message: bytes) -> None:
        try:
            down = control_pb2.ControlDown.FromString(message)
        except Exception as error:
            self._answer.put(ControlLost(f"the host's answer to hello cannot be read: {error}"))
            return
        which = down.WhichOneof("message")
        if which == "welcome":
            self._answer.put(down.welcome)
        elif which == "refuse":
            self._answer.put(Refused(_refusal(down.refuse)))
        else:
            self._answer.put(ControlLost(f"the host answered hello with {which or 'an unknown message'}"))

    def _pass_on(self, controlled: Controlled, observed: Observed, down: control_pb2.ControlDown) -> None:
        which = down.WhichOneof("message")
        if which == "ping":
            self._up.put(_pong(down.ping.sequence, controlled.progress()))
        elif which == "cancel":
            controlled.cancel(list(down.cancel.ids))
        elif which == "recall":
            controlled.recall(list(down.recall.ids))
        elif which == "drain":
            controlled.end(down.drain.last_id, stop=False)
        elif which == "stop":
            controlled.end(down.stop.last_id, stop=True)
        elif which == "log_level":
            observed.set_log_level(down.log_level.least)
        elif which == "stacks_request":
            number = down.stacks_request.number
            observed.tell_stacks(lambda text: self._up.put(_stacks(number, text)))


def _pong(sequence: int, progress: Progress) -> bytes:
    pong = control_pb2.Pong(
        sequence=sequence,
        received_id=progress.received_id,
        begun_id=progress.begun_id,
        ended_calls=progress.ended_calls,
        running_us=progress.running_us,
        resident_bytes=_resident_bytes(),
        gc=[n for of in gc.get_stats() for n in (of["collections"], of["collected"], of["uncollectable"])],
    )
    encoded: bytes = control_pb2.ControlUp(pong=pong).SerializeToString()
    return encoded


def _stacks(number: int, text: str) -> bytes:
    stacks = control_pb2.Stacks(number=number, text=cut_middle(text, MAX_STACKS_BYTES))
    encoded: bytes = control_pb2.ControlUp(stacks=stacks).SerializeToString()
    return encoded


def _resident_bytes() -> int:
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):  # out of descriptors, say: a pong without it beats none
        return 0


def _refusal(refuse: control_pb2.Refuse) -> str:
    try:
        reason = control_pb2.Refuse.Reason.Name(refuse.reason)
    except ValueError:  # a newer host's
        reason = f"reason {refuse.reason}"
    return f"{reason}: {refuse.message}"


def _reason(error: Exception) -> str:
    if isinstance(error, grpc.RpcError) and isinstance(error, grpc.Call):
        return f"{error.code().name}: {error.details()}"
    return f"{type(error).__name__}: {error}"

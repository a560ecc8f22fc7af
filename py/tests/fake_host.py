"""A host in Python, just enough to drive one real worker process from a test."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from snakepit import _codec
from snakepit._page import PAGE_BYTES, STACK_OFFSET
from snakepit.v1 import control_pb2, work_pb2

TOKEN = bytes(range(32))
WAIT = 10.0


@dataclass
class Answer:
    """The end of one call, in whichever way it came."""

    id: int
    run_us: int
    value: bytes | None = None
    transfer: int = 0
    failure: work_pb2.Failure | None = None


class Stream:
    """One side of a bidirectional stream, as two queues."""

    def __init__(self) -> None:
        self.received: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.to_send: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.metadata: dict[str, Any] = {}
        self.opened = threading.Event()
        self.half_closed = threading.Event()

    def handle(self, incoming: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        self.metadata = dict(context.invocation_metadata())
        self.opened.set()
        threading.Thread(target=self._read, args=(incoming,), daemon=True).start()
        while (message := self.to_send.get()) is not None:
            yield message

    def _read(self, incoming: Iterator[bytes]) -> None:
        try:
            for message in incoming:
                self.received.put(message)
        except Exception:
            pass
        self.half_closed.set()
        self.received.put(None)


def new_page() -> int:
    """A page as the host makes it for a worker: its descriptor."""
    page = os.memfd_create("page")
    os.ftruncate(page, PAGE_BYTES)
    os.lseek(page, STACK_OFFSET, os.SEEK_SET)
    return page


def word(page: int, index: int) -> int:
    """One of the page's words of 8 bytes."""
    return int.from_bytes(os.pread(page, 8, 8 * index), sys.byteorder)


def stack(page: int) -> str:
    """What faulthandler has written."""
    return os.pread(page, PAGE_BYTES - STACK_OFFSET, STACK_OFFSET).rstrip(b"\0").decode()


class FakeHost:
    """Starts a worker for a module of the given source, and speaks the wire contract to it."""

    def __init__(self, package: Path, directory: Path, source: str, lane: str = "auto", **launch: Any) -> None:
        self.directory = directory
        (directory / "user_tools.py").write_text(source)
        self.address = f"unix:{directory}/h.sock"
        self.control = Stream()
        self.work = Stream()
        self.hello = control_pb2.Hello()
        self.welcome = control_pb2.Welcome(
            protocol_minor=0,
            max_calls=64,
            max_frame_bytes=256 * 1024,
            max_message_bytes=64 << 20,
            max_inflight_bytes=8 << 20,
        )
        self._heard: dict[str, list[Any]] = {}
        self._ids = 0
        self._transfers = 0
        self._replies: dict[int, Answer] = {}
        self._values: dict[int, bytearray] = {}
        self.frames: list[work_pb2.WorkUp] = []
        self.items: dict[int, list[bytes]] = {}  # that calls have yielded
        self.used: dict[int, int] = {}  # input that they have read
        self._parts: dict[int, bytearray] = {}
        self._server = grpc.server(
            futures.ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", 4 << 20)]
        )
        handler = grpc.method_handlers_generic_handler(
            "snakepit.v1.Host",
            {
                "Control": grpc.stream_stream_rpc_method_handler(self.control.handle),
                "Work": grpc.stream_stream_rpc_method_handler(self.work.handle),
            },
        )
        self._server.add_generic_rpc_handlers((handler,))
        self._server.add_insecure_port(self.address)
        self._server.start()

        self.launch_end, child_launch = socket.socketpair()
        life_read, self.life_line = os.pipe()
        self.page = new_page()
        fds = (child_launch.fileno(), life_read, self.page)
        # Not what the test process needs for itself: the worker must choose by itself.
        environment = {name: text for name, text in os.environ.items() if not name.startswith("GRPC_")}
        self.process = subprocess.Popen(
            [
                sys.executable,
                str(package / "_boot.py"),
                "worker",
                "--launch-fd",
                str(fds[0]),
                "--life-line-fd",
                str(fds[1]),
                "--page-fd",
                str(fds[2]),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=fds,
            env=environment,
        )
        child_launch.close()
        os.close(life_read)
        fields = {
            "address": self.address,
            "worker": "w0",
            "incarnation": 3,
            "token": TOKEN.hex(),
            "module": "user_tools",
            "python_path": [str(directory)],
            "lane": lane,
            **launch,
        }
        self.launch_end.sendall(json.dumps(fields).encode() + b"\n")

    def __enter__(self) -> FakeHost:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        self.end_streams()
        self._server.stop(0).wait()
        self.launch_end.close()
        os.close(self.page)
        if self.life_line >= 0:
            os.close(self.life_line)

    # Control

    def attach(self) -> FakeHost:
        """Take hello, welcome the worker, wait for Work."""
        self.take_hello()
        self.tell(welcome=self.welcome)
        assert self.work.opened.wait(WAIT)
        return self

    def take_hello(self) -> control_pb2.Hello:
        message = self.control.received.get(timeout=WAIT)
        assert message is not None, self.failure()
        self.hello = control_pb2.ControlUp.FromString(message).hello
        return self.hello

    def tell(self, **message: Any) -> None:
        self.control.to_send.put(control_pb2.ControlDown(**message).SerializeToString())

    def ping(self, sequence: int) -> control_pb2.Pong:
        self.tell(ping=control_pb2.Ping(sequence=sequence))
        pong: control_pb2.Pong = self.hear("pong")
        return pong

    def hear(self, kind: str) -> Any:
        """The next message of a kind that the worker has sent on Control; others are kept."""
        waiting = self._heard.setdefault(kind, [])
        while not waiting:
            message = self.control.received.get(timeout=WAIT)
            assert message is not None, "the worker ended Control"
            up = control_pb2.ControlUp.FromString(message)
            which = up.WhichOneof("message")
            self._heard.setdefault(which, []).append(getattr(up, which))
        return waiting.pop(0)

    def printed(self, stream: str = "stdout") -> str:
        """The next line of the worker's, as it has come. Waits for it."""
        pipe = getattr(self.process, stream)
        assert pipe is not None
        line: bytes = pipe.readline()
        return line.decode()

    # Work

    def tool(self, name: str) -> int:
        return [spec.name for spec in self.hello.tools].index(name)

    def send(self, *calls: work_pb2.Call, chunks: Any = (), sent_us: int = 0) -> None:
        self.work.to_send.put(work_pb2.WorkDown(calls=calls, chunks=chunks, sent_us=sent_us).SerializeToString())

    def make_call(self, tool: str, arguments: object = (), **fields: Any) -> work_pb2.Call:
        self._ids += 1
        if "inline" not in fields and "transfer" not in fields:
            fields["inline"] = _codec.encode(arguments)
        fields.setdefault("tool", self.tool(tool) if tool else 0)
        return work_pb2.Call(id=self._ids, **fields)

    def call(self, tool: str, arguments: object = (), **fields: Any) -> Answer:
        """Send one call and wait for its reply."""
        call = self.make_call(tool, arguments, **fields)
        self.send(call)
        return self.reply(call.id)

    def call_large(self, tool: str, encoded: bytes, piece: int = 100_000) -> Answer:
        """Send one call whose arguments travel in pieces."""
        self._transfers += 1
        for offset in range(0, len(encoded), piece):
            self.send(
                chunks=[
                    work_pb2.Chunk(
                        transfer=self._transfers,
                        offset=offset,
                        total=len(encoded),
                        data=encoded[offset : offset + piece],
                    )
                ]
            )
        return self.call(tool, transfer=self._transfers)

    def reply(self, call_id: int) -> Answer:
        while call_id not in self._replies:
            message = self.work.received.get(timeout=WAIT)
            assert message is not None, f"the worker ended Work before reply {call_id}"
            self._take(message)
        return self._replies[call_id]

    def value(self, reply: Answer) -> Any:
        assert reply.failure is None, reply.failure
        return _codec.decode(bytes(self._values[reply.transfer]) if reply.value is None else reply.value)

    def _take(self, message: bytes) -> None:
        assert len(message) <= self.welcome.max_frame_bytes
        frame = work_pb2.WorkUp.FromString(message)
        streamed = sum(len(items.values) for items in frame.streams.items) + len(frame.streams.grants)
        assert 0 < len(frame.chunks) + len(frame.replies) + len(frame.ids) + streamed <= 512
        assert len(frame.ids) == len(frame.values) == len(frame.run_us)
        self.frames.append(frame)
        for chunk in frame.chunks:
            stored = self._values.setdefault(chunk.transfer, bytearray())
            assert chunk.offset == len(stored)
            assert 1 <= len(chunk.data) <= 128 * 1024
            stored += chunk.data
            assert len(stored) <= chunk.total
        for items in frame.streams.items:
            self._take_items(items)
        for grant in frame.streams.grants:
            assert grant.call not in self._replies
            self.used[grant.call] = self.used.get(grant.call, 0) + grant.bytes
        answers = [Answer(*column) for column in zip(frame.ids, frame.run_us, frame.values)]
        for reply in frame.replies:
            failure = reply.failure if reply.WhichOneof("outcome") == "failure" else None
            answers.append(Answer(reply.id, reply.run_us, transfer=reply.transfer, failure=failure))
        for answer in answers:
            assert answer.id not in self._replies, f"reply {answer.id} came twice"
            self._replies[answer.id] = answer

    def _take_items(self, items: work_pb2.Items) -> None:
        assert items.call not in self._replies, "an item behind the reply"
        assert items.values
        assert all(items.values)
        known = self.items.setdefault(items.call, [])
        if not items.total:
            assert items.call not in self._parts
            known.extend(items.values)
            return
        part = self._parts.setdefault(items.call, bytearray())
        part += items.values[0]
        assert len(part) <= items.total
        if len(part) == items.total:
            known.append(bytes(self._parts.pop(items.call)))

    def open(self, tool: str, arguments: object = (), **fields: Any) -> int:
        """Send a stream call; its id."""
        call = self.make_call(tool, arguments, streams=True, **fields)
        self.send(call)
        return call.id

    def say(self, **word: Any) -> None:
        """Of streams."""
        self.work.to_send.put(work_pb2.WorkDown(streams=work_pb2.StreamWord(**word)).SerializeToString())

    def take_until(self, condition: Callable[[], bool]) -> None:
        """Take frames until it holds."""
        while not condition():
            message = self.work.received.get(timeout=WAIT)
            assert message is not None, "the worker ended Work"
            self._take(message)

    # The end

    def end_streams(self) -> None:
        self.work.to_send.put(None)
        self.control.to_send.put(None)

    def exit_code(self) -> int:
        return self.process.wait(WAIT)

    def failure(self) -> dict[str, Any]:
        """The line that the worker left on the launch descriptor."""
        self.launch_end.settimeout(WAIT)
        data = b""
        while not data.endswith(b"\n"):
            part = self.launch_end.recv(65536)
            if not part:
                break
            data += part
        failure: dict[str, Any] = json.loads(data)
        return failure


def kind(reply: Answer) -> str:
    """Why a call has no value."""
    assert reply.failure is not None
    name: str = work_pb2.Failure.Kind.Name(reply.failure.kind)
    return name


def untagged(line: str) -> str:
    """A line without the tag that says which call it comes from."""
    return line.rpartition("\x1d")[2]


def until(condition: Callable[[], bool], seconds: float = WAIT) -> None:
    """Wait for something that another process does."""
    import time

    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)

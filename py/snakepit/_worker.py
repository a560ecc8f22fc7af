"""The worker process: attach to the host, then run its calls."""

from __future__ import annotations

import argparse
import atexit
import faulthandler
import os
import platform
import signal
import socket
import stat
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

from snakepit import _context, _grpc_settings, _life_line, _origin, _otel, _output, _strays
from snakepit._failure import describe
from snakepit._launch import Launch, read_launch, report_failure
from snakepit._leave import at_last, leave
from snakepit._module import import_module
from snakepit._protocol import (
    END_SECONDS,
    EXIT_BROKEN,
    EXIT_LOST,
    EXIT_REFUSED,
    EXIT_START,
    GRPC_MESSAGE_BYTES,
    PROTOCOL_MAJOR,
    PROTOCOL_MINOR,
)
from snakepit._tools import Toolbox, ToolError
from snakepit._version import __version__

if TYPE_CHECKING:
    import grpc

    from snakepit._lane import Metadata
    from snakepit._page import Page
    from snakepit._runner import Limits, Runner
    from snakepit._tool_thread import ToolThread
    from snakepit.v1 import control_pb2

_DUMP_SIGNAL = signal.SIGRTMIN + 2
_STDERR = 2
_ENVELOPE_BYTES = 8  # of ControlUp around hello
_WELCOME_SECONDS = 10.0
_EXIT_HANDLER_SECONDS = 2.0
# How long the end waits for telemetry to leave: when all goes well, and when something has gone wrong.
_FLUSH_SECONDS = 0.5
_LAST_FLUSH_SECONDS = 0.1

_CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", GRPC_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", GRPC_MESSAGE_BYTES),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.keepalive_time_ms", 2**31 - 1),  # the heartbeat is ours
)


class StartFailed(Exception):
    """Carries what ended the start."""

    def __init__(self, stage: str, cause: BaseException, code: int = EXIT_START) -> None:
        super().__init__(stage)
        self.stage = stage
        self.cause = cause
        self.code = code


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Turn whatever is raised into a StartFailed that says where."""
    try:
        yield
    except StartFailed:
        raise
    except BaseException as error:  # a module may raise anything, SystemExit included
        raise StartFailed(name, error) from None


def main(arguments: Sequence[str]) -> NoReturn:
    """Entry point of a spawned worker; ends the process."""
    parser = argparse.ArgumentParser(prog="snakepit worker", description=__doc__)
    parser.add_argument("--launch-fd", type=int, required=True)
    parser.add_argument("--life-line-fd", type=int, required=True)
    parser.add_argument("--page-fd", type=int, required=True)
    descriptors = parser.parse_args(arguments)
    prepare_process(descriptors.launch_fd, descriptors.life_line_fd, descriptors.page_fd)
    run(descriptors.launch_fd, descriptors.page_fd, _import)


def run(launch_descriptor: int, page: int, obtain: Callable[[Launch], ModuleType]) -> NoReturn:
    """A worker's life from the host's go to the end of the process.

    page: descriptor of the worker's page.
    obtain: gets the user's module, in a stage() of its own.
    """
    code = EXIT_BROKEN
    last_words: str | BaseException = ""
    try:
        code = _run(launch_descriptor, page, obtain)
    except StartFailed as failure:
        code = failure.code
        report_failure(launch_descriptor, failure.stage, describe(failure.cause))
    except BaseException as error:  # raised into the lane by a signal handler of the user's, say
        last_words = error
    finally:
        leave(code, last_words)


def _import(launch: Launch) -> ModuleType:
    with stage("import"):
        return import_module(launch.module, launch.python_path)


def prepare_process(launch: int, life_line: int, page: int) -> None:
    """What comes before everything else in a process that runs the user's code."""
    _life_line.arm(life_line)
    dump_stacks_to(page)  # first of all, so that an import that crashes or hangs can be looked at
    os.register_at_fork(after_in_child=lambda: dump_stacks_to(_STDERR))
    for descriptor in (launch, life_line, page):
        os.set_inheritable(descriptor, False)
    _close_in_children(launch, life_line, page)
    _output.install()


def dump_stacks_to(descriptor: int) -> None:
    """Have a crash write its Python stack there, and the signal by which the host asks for one.

    The host has left the page's offset where stacks belong.
    """
    faulthandler.enable(file=descriptor, all_threads=False)  # gRPC's threads have nothing to say about it
    faulthandler.register(_DUMP_SIGNAL, file=descriptor, all_threads=True, chain=False)


def _close_in_children(*descriptors: int) -> None:
    """What a tool forks must not hold: it would keep the connection open after our death, and the life-line armed."""

    def close() -> None:
        for descriptor in descriptors:
            with suppress(OSError):
                os.close(descriptor)

    os.register_at_fork(after_in_child=close)


def _run(launch_descriptor: int, page: int, obtain: Callable[[Launch], ModuleType]) -> int:
    _grpc_settings.put()
    with stage("grpc"):
        # Before the host says go: this takes most of the time of a start.
        from snakepit import _control, _host_tools, _lane, _logs, _observer, _runner, _session, _telemetry
        from snakepit._page import Page
    with stage("connect"):
        launch = read_launch(launch_descriptor)
    if launch is None:
        return EXIT_LOST
    if launch.mark:
        _strays.put(launch.mark)  # before any code of the user's
    with stage("connect"):
        lane_name, lane_reason = _lane.choose(launch.lane)
    sys.argv = [launch.module]
    module = obtain(launch)
    gathered = _telemetry.Gathered()
    logs = _logs.Logs(gathered)
    logs.install()  # after the import, which may configure logging, and before setup()
    with stage("tools"):
        toolbox = Toolbox(module, launch.groups)
        with stage("options"):
            toolbox.check_for(launch.profile)
        warmup = _warmup(toolbox, launch.warmup)
        hello = _hello(launch.module, toolbox, lane_name, lane_reason)
    try:
        with stage("setup"):
            toolbox.setup()
            threads = _tool_threads(launch, toolbox)
        # Before the first connection: hello says that this is done, and the host measures its memory then.
        with stage("warmup"):
            warmup()
    except StartFailed as failure:
        # First the report: whatever teardown() does, the host knows why, and waits for the end only a little.
        report_failure(launch_descriptor, failure.stage, describe(failure.cause))
        _tear_down(toolbox)
        return failure.code
    _ignore_interrupts()

    ending = threading.Event()
    with stage("connect"):
        channel = _dial(launch.address)
        metadata = _metadata(launch)
        control = _control.Control(channel, metadata, hello, gathered)
        at_last(lambda: control.flush(_LAST_FLUSH_SECONDS))
        try:
            welcome = control.wait_for_welcome(_WELCOME_SECONDS)
        except _control.Refused as error:
            raise StartFailed("refused", error, EXIT_REFUSED) from None
        logs.welcome(welcome.log_level or _logs.NONE)
        control.send_telemetry()
        _grpc_settings.take_back()  # programs that tools start shall not inherit them
        _close_in_children(*_connections_to(launch.address))
        limits = _runner.Limits(welcome.max_frame_bytes, welcome.max_message_bytes, welcome.max_inflight_bytes)
        runner = _runner_for(launch, toolbox, threads, limits, Page(page))
        if welcome.wants_spans:
            from snakepit._spans import Spans

            runner.record(Spans(gathered))
        if welcome.wants_spans:
            _otel.load()  # now: the first call would wait for it
        if _otel.is_importable():  # a tool's libraries may record spans of their own, which belong below its caller's
            from snakepit._contexts import Contexts

            runner.run_within(Contexts(runner))
        if welcome.slow_call_us:
            from snakepit._slow import SlowWatch

            runner.tell_of_calls(SlowWatch(welcome.slow_call_us * 1e-6, runner, control.tell_of_slow_call).look)
        _origin.set_origins(runner)
        _context.set_provider(runner.current_call)
        _context.set_batch_provider(runner.current_batch)
        _session.set_provider(runner.session)
        _host_tools.set_provider(runner.current_call, runner, welcome.host_tools)
        lane = _lane.open_lane(lane_name, channel, metadata, runner, lane_reason)

    def lost(reason: str) -> None:
        # Whoever has finished sees the streams end in any order.
        if not ending.is_set() and not runner.finished():
            leave(EXIT_LOST, reason)

    control.pass_on_to(runner, _observer.Observer(logs, runner), lost)
    runner.tell_of_blocked_loop(control.tell_of_blocked_loop)
    if not runner.serve(lane):
        leave(EXIT_LOST, "the host ended the Work stream")
    ending.set()
    _tear_down(toolbox)
    control.flush(_FLUSH_SECONDS)  # the host may end the streams once ours is half closed
    with _bounded(END_SECONDS, "waiting for the host to end the streams"):
        lane.half_close()
        while lane.turn():
            pass
    with _bounded(_EXIT_HANDLER_SECONDS, "exit handlers"), suppress(Exception):
        atexit._run_exitfuncs()  # os._exit() runs none, and sys.exit() would wait for the user's threads
    return 0


def import_for_all() -> None:
    """What every worker needs, or may need, in the process from which they are forked."""
    from snakepit import _control, _host_tools, _lane, _logs, _observer, _page, _runner, _slow, _spans  # noqa: F401


def import_for(profile: str) -> None:
    """What workers of this profile need, in the process from which they are forked."""
    if profile == "process":
        from snakepit import _batch_runner, _serial  # noqa: F401
    if profile == "thread":
        from snakepit import _threaded  # noqa: F401
    if profile == "async":
        from snakepit import _awaiting, _loop_batches  # noqa: F401


def _tool_threads(launch: Launch, toolbox: Toolbox) -> list[ToolThread]:
    """Those that there are from the start."""
    if launch.profile != "thread":
        return []
    from snakepit._tool_thread import start_tool_threads

    return start_tool_threads(toolbox, launch.width)


def _runner_for(launch: Launch, toolbox: Toolbox, threads: Sequence[ToolThread], limits: Limits, page: Page) -> Runner:
    if launch.profile == "thread":
        from snakepit._threaded import ThreadRunner

        return ThreadRunner(toolbox.tools, limits, page, threads)
    if launch.profile == "async":
        if any(tool.awaits_batches for tool in toolbox.tools):
            from snakepit._loop_batches import AsyncBatchRunner

            return AsyncBatchRunner(toolbox, limits, page, launch.width)
        from snakepit._awaiting import AsyncRunner

        return AsyncRunner(toolbox, limits, page, launch.width)
    if any(tool.batch is not None for tool in toolbox.tools):
        from snakepit._batch_runner import BatchRunner

        return BatchRunner(toolbox.tools, limits, page)
    from snakepit._serial import SerialRunner

    return SerialRunner(toolbox.tools, limits, page)


def _warmup(toolbox: Toolbox, name: str) -> Callable[[], object]:
    if not name:
        return lambda: None
    with stage("options"):
        return toolbox.for_warmup(name).function


def _tear_down(toolbox: Toolbox) -> None:
    """However long it takes: the host knows when it has waited enough, and its life-line is armed."""
    for problem in chain(toolbox.teardown_thread(), toolbox.teardown()):
        with suppress(Exception):  # stderr is closed, or the exception does not let itself be printed
            print(describe(problem).traceback, end="", file=sys.stderr)


def _dial(address: str) -> grpc.Channel:
    import grpc

    return grpc.insecure_channel(address, options=_CHANNEL_OPTIONS)


def _metadata(launch: Launch) -> Metadata:
    return (
        ("snakepit-worker", launch.worker),
        ("snakepit-incarnation", str(launch.incarnation)),
        ("snakepit-token-bin", launch.token),
    )


def _hello(module: str, toolbox: Toolbox, lane: str, lane_reason: str) -> control_pb2.Hello:
    import google.protobuf
    import grpc

    from snakepit.v1 import control_pb2

    hello = control_pb2.Hello(
        protocol_major=PROTOCOL_MAJOR,
        protocol_minor=PROTOCOL_MINOR,
        pid=os.getpid(),
        package_version=__version__,
        python_version=platform.python_version(),
        grpc_version=grpc.__version__,
        protobuf_version=google.protobuf.__version__,
        lane=lane,
        lane_reason=lane_reason,
        module=module,
    )
    for tool in toolbox.tools:
        spec = hello.tools.add(name=tool.name, doc=tool.doc, returns=tool.returns, flags=tool.flags)
        for parameter in tool.parameters:
            spec.parameters.add(
                name=parameter.name,
                kind=parameter.kind,
                annotation=parameter.annotation,
                has_default=parameter.has_default,
                default_text=parameter.default_text,
            )
    size = hello.ByteSize() + _ENVELOPE_BYTES
    if size > GRPC_MESSAGE_BYTES:
        raise ToolError(
            f"{len(toolbox.tools)} tools whose descriptions have {size} bytes; {GRPC_MESSAGE_BYTES} are allowed: "
            "shorten docstrings, or offer fewer tools in one module"
        )
    return hello


def _connections_to(address: str) -> list[int]:
    """Our descriptors that are connected to the host's socket."""
    found: list[int] = []
    path = address.partition(":")[2]
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        try:
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                with socket.socket(fileno=os.dup(descriptor)) as duplicate:
                    if duplicate.getpeername() == path:
                        found.append(descriptor)
        except OSError:  # closed meanwhile, or not connected
            continue
    return found


def _ignore_interrupts() -> None:
    """An interrupt must not raise inside the lane. A handler of ours, not SIG_IGN: programs we start inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda number, frame: None)


@contextmanager
def _bounded(seconds: float, what: str) -> Iterator[None]:
    """End the process, orderly as far as the host is concerned, when this takes too long."""
    timer = threading.Timer(seconds, leave, (0, f"{what} took more than {seconds:g} s"))
    timer.daemon = True
    timer.start()
    yield
    timer.cancel()

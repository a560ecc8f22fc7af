"""A worker that does with its connection whatever the test says: everything a real attacker in its place could do."""

import os
import socket
import stat
import subprocess
import sys
import threading

import grpc
import snakepit
from snakepit import _control, _replies

_mine = {}
_frames = []
_answered = set()

_open_control = _control.Control.__init__
_make_replies = _replies.Replies.__init__
_next_frame = _replies.Replies.next_frame
_any_replies = _replies.Replies.__bool__


def _remember(self, channel, metadata, hello, *rest):
    _mine.update(channel=channel, metadata=dict(metadata))
    _open_control(self, channel, metadata, hello, *rest)


def _without_the_forged(self, *limits):
    _make_replies(self, *limits)
    add = self.add
    self.add = lambda reply: None if reply[0] in _answered else add(reply)


_control.Control.__init__ = _remember
_replies.Replies.__init__ = _without_the_forged
_replies.Replies.next_frame = lambda self: _frames.pop(0) if _frames else _next_frame(self)
_replies.Replies.__bool__ = lambda self: bool(_frames) or _any_replies(self)


@snakepit.tool
def echo(value):
    return value


@snakepit.tool
def pid():
    return os.getpid()


@snakepit.tool
def send(*frames):
    """These bytes leave in place of the next frames, one after the other, before the reply to this call."""
    _frames.extend(frames)


@snakepit.tool
def answer(frame):
    """This leaves in place of the reply to this call."""
    _answered.add(snakepit.current_call().id)
    _frames.append(frame)


@snakepit.tool
def open_stream(method, changed):
    """Opens a stream with metadata of its own choice on the connection that is there; what the host says to it."""
    metadata = [(k, v) for k, v in {**_mine["metadata"], **changed}.items() if v is not None]
    stream = _mine["channel"].stream_stream("/snakepit.v1.Host/" + method)(iter(()), metadata=metadata, timeout=5)
    try:
        list(stream)
    except grpc.RpcError as error:
        return [error.code().name, error.details()]
    return ["OK", ""]


@snakepit.tool
def flood_control(messages):
    """As many Control streams at once, each refused."""
    done = []

    def one():
        done.append(open_stream("Control", {})[0])

    threads = [threading.Thread(target=one) for _ in range(messages)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done


@snakepit.tool
def connect_again(path):
    """A second connection of the same process: whether the host has anything to say on it."""
    with socket.socket(socket.AF_UNIX) as second:
        second.settimeout(5)
        second.connect(path)
        try:
            second.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            return second.recv(1) != b""
        except (BrokenPipeError, ConnectionResetError):
            return False


def _sockets():
    for name in os.listdir("/proc/self/fd"):
        try:
            if int(name) > 4 and stat.S_ISSOCK(os.stat(f"/proc/self/fd/{name}").st_mode):
                yield int(name)
        except OSError:
            continue


@snakepit.tool
def hang_up():
    """Ends the connection; the process lives."""
    for descriptor in _sockets():
        with socket.socket(fileno=os.dup(descriptor)) as duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)
    threading.Event().wait(60)


@snakepit.tool
def write_garbage():
    """Bytes that are no HTTP/2, into the middle of the connection."""
    for descriptor in _sockets():
        os.write(descriptor, b"\xff" * 4096)
    threading.Event().wait(60)


@snakepit.tool
def where_the_token_is():
    """Places other than the memory of this process in which the secret can be read."""
    secret = _mine["metadata"]["snakepit-token-bin"]
    forms = [secret, secret.hex().encode(), secret.hex().upper().encode()]
    places = {}
    script = (
        "import sys\n"
        "for file in ('environ', 'cmdline'):\n"
        "    sys.stdout.buffer.write(open('/proc/self/' + file, 'rb').read())\n"
    )
    places["child"] = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True).stdout
    for process in ("self", str(os.getppid())):
        for file in ("environ", "cmdline"):
            with open(f"/proc/{process}/{file}", "rb") as text:
                places[f"{process}/{file}"] = text.read()
    return [place for place, text in places.items() if any(form in text for form in forms)]


@snakepit.tool
def descriptors():
    """What this process has open, as /proc shows it."""
    found = []
    for name in sorted(os.listdir("/proc/self/fd"), key=int):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            continue
    return found

"""Requests for processes: packets of JSON with descriptors beside them, as launcher and zygote get them."""

from __future__ import annotations

import json
import os
import socket
from array import array
from collections.abc import Callable
from typing import Any

PASSED = ("launch", "life line", "page", "stdout", "stderr")  # what a process is born with beside stdin, in this order
_PACKET_BYTES = 64 * 1024
_MOST_DESCRIPTORS = len(PASSED) + 1  # one more than is right, to notice it


class BadRequest(Exception):
    """A packet that is no request."""


def receive(host: socket.socket, flags: int = 0) -> tuple[bytes, list[int]] | None:
    """The next packet and its descriptors, which are the caller's to close. None: the host has gone."""
    # Not socket.recv_fds(), which forgets the flags.
    descriptors = array("i")
    space = socket.CMSG_SPACE(_MOST_DESCRIPTORS * descriptors.itemsize)
    packet, ancillary, _, _ = host.recvmsg(_PACKET_BYTES, space, flags | socket.MSG_CMSG_CLOEXEC)
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data)
    return (packet, list(descriptors)) if packet or descriptors else None


def parse(packet: bytes) -> dict[str, Any]:
    """A map with an id, the rest unchecked."""
    try:
        request = json.loads(packet)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"not JSON: {error}") from None
    if not isinstance(request, dict) or not isinstance(request.get("id"), int):
        raise BadRequest("a request is a map with an id")
    return request


def take(host: socket.socket, obey: Callable[[dict[str, Any], list[int]], None], flags: int = 0) -> bool:
    """Take one request in, and say so when it cannot be obeyed. False: the host has gone.

    obey: may raise BadRequest or OSError; descriptors that it leaves in the list are closed behind it.
    """
    received = receive(host, flags)
    if received is None:
        return False
    packet, descriptors = received
    request_id: Any = None
    try:
        request = parse(packet)
        request_id = request["id"]
        obey(request, descriptors)
    except (BadRequest, OSError) as error:
        tell(host, {"failed": request_id, "message": str(error)})
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    return True


def unknown(request: dict[str, Any]) -> BadRequest:
    """An op that nobody here knows."""
    return BadRequest(f"unknown op {str(request.get('op'))[:40]!r}")


def check_passed(descriptors: list[int], names: tuple[str, ...] = PASSED) -> None:
    """Raise BadRequest unless there are as many as there should be."""
    if len(descriptors) != len(names):
        raise BadRequest(f"{len(descriptors)} descriptors came; needed are {', '.join(names)}")


def tell(host: socket.socket, message: dict[str, Any], *descriptors: int) -> None:
    """Send one packet. OSError when the host has gone."""
    socket.send_fds(host, [json.dumps(message).encode()], descriptors)

"""The launch descriptor: one line in with what to run, at most one line out with why it does not."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from snakepit._failure import Raised
from snakepit._groups import Groups

_LINE_BYTES = 1024 * 1024
_LANES = ("auto", "direct", "iterator")
_PROFILES = ("process", "thread", "async")
_MOST_AT_ONCE = 4096


class LaunchError(Exception):
    """The launch line is not what the contract says."""


@dataclass(frozen=True)
class Launch:
    """What to run and where to dial."""

    address: str
    worker: str
    incarnation: int
    token: bytes
    module: str
    python_path: tuple[str, ...]
    lane: str
    mark: int
    warmup: str
    profile: str
    width: int  # calls that run at once
    groups: Groups


def read_launch(descriptor: int) -> Launch | None:
    """Wait for the host's go. None: it went away instead."""
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(descriptor, 65536)
        if not part:
            return None
        line += part
        if len(line) > _LINE_BYTES:
            raise LaunchError(f"the launch line has more than {_LINE_BYTES} bytes")
    try:
        fields = json.loads(line)
        launch = Launch(
            address=str(fields["address"]),
            worker=str(fields["worker"]),
            incarnation=int(fields["incarnation"]),
            token=bytes.fromhex(fields["token"]),
            module=str(fields["module"]),
            python_path=tuple(str(entry) for entry in fields.get("python_path", ())),
            lane=str(fields.get("lane", "auto")),
            mark=int(fields.get("mark", 0)),
            warmup=str(fields.get("warmup", "")),
            profile=str(fields.get("profile", "process")),
            width=int(fields.get("width", 1)),
            groups=Groups(str(fields.get("group", "")), tuple(str(name) for name in fields.get("groups", ()))),
        )
    except (ValueError, KeyError, TypeError) as error:
        # Not the line itself: it holds the token.
        raise LaunchError(f"the launch line cannot be read: {type(error).__name__}") from None
    if launch.lane not in _LANES:
        raise LaunchError(f"lane {launch.lane!r} is none of {', '.join(_LANES)}")
    if launch.profile not in _PROFILES:
        raise LaunchError(f"profile {launch.profile!r} is none of {', '.join(_PROFILES)}")
    if not 1 <= launch.width <= _MOST_AT_ONCE:
        raise LaunchError(f"{launch.width} calls at once; 1 to {_MOST_AT_ONCE} are possible")
    return launch


def failure_report(stage: str, raised: Raised) -> bytes:
    """Why there will be no hello, as the host reads it."""
    report = {"stage": stage, "type": raised.type, "message": raised.message, "traceback": raised.traceback}
    return json.dumps(report).encode()


def report_failure(descriptor: int, stage: str, raised: Raised) -> None:
    """Tell the host why there will be no hello."""
    data = memoryview(failure_report(stage, raised) + b"\n")
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:  # the host is gone, and its life-line will tell
        pass

"""Whether this Python can run workers, and with which versions."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import platform
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

EXIT_UNFIT = 78

# (module, Debian package, PyPI package), in the order in which a person would install them
_NEEDED = (
    ("grpc", "python3-grpcio", "grpcio"),
    ("google.protobuf", "python3-protobuf", "protobuf"),
    ("msgpack", "python3-msgpack", "msgpack"),
)
_GENERATED = ("snakepit.v1.control_pb2", "snakepit.v1.work_pb2", "snakepit.v1.host_pb2")


def look() -> dict[str, Any]:
    """{"ready": versions} or {"unfit": reason}, as the host expects it. Imports for real whatever a worker needs."""
    about: dict[str, Any] = {"python": platform.python_version(), "executable": sys.executable}
    for module, debian, pypi in _NEEDED:
        problem = _import_problem(module)
        if problem:
            remedy = f"install {debian}, or run: {sys.executable} -m pip install {pypi}"
            return {"unfit": {**about, "reason": f"cannot import {module}: {problem}; {remedy}"}}
    for module in _GENERATED:
        problem = _import_problem(module)
        if problem:
            protobuf = sys.modules["google.protobuf"].__version__
            return {"unfit": {**about, "reason": f"cannot import {module} with protobuf {protobuf}: {problem}"}}
    return {"ready": {**about, **_versions()}}


def main(arguments: Sequence[str]) -> NoReturn:
    """Entry point: print what look() found."""
    found = look()
    print(json.dumps(found))
    sys.exit(EXIT_UNFIT if "unfit" in found else 0)


def _import_problem(module: str) -> str:
    try:
        importlib.import_module(module)
    except Exception as error:  # a broken extension module raises more than ImportError
        return str(error) or type(error).__name__
    return ""


def _numpy_version() -> str | None:
    # Not imported: that starts the threads of its BLAS, and the launcher, which asks too, forks.
    if importlib.util.find_spec("numpy") is None:
        return None
    try:
        return importlib.metadata.version("numpy")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _versions() -> dict[str, str | None]:
    import google.protobuf
    import grpc
    import msgpack
    from google.protobuf.internal import api_implementation

    return {
        "grpc": grpc.__version__,
        "protobuf": google.protobuf.__version__,
        "protobuf_implementation": api_implementation.Type(),
        "msgpack": ".".join(str(part) for part in msgpack.version),
        "numpy": _numpy_version(),
    }

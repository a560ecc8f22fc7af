"""Fixtures: a built package (sources and generated modules side by side) and processes that never outlive a test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from fake_host import FakeHost

_HERE = Path(__file__).resolve().parent
_SOURCES = _HERE.parent / "snakepit"
_PROTO = _HERE.parent.parent / "proto"


def _build(into: Path) -> Path:
    shutil.copytree(_SOURCES, into / "snakepit", ignore=shutil.ignore_patterns("__pycache__", "*_pb2.py*"))
    files = sorted(str(path) for path in (_PROTO / "snakepit" / "v1").glob("*.proto"))
    subprocess.run(["protoc", f"-I{_PROTO}", f"--python_out={into}", *files], check=True)
    return into


def pytest_configure(config: pytest.Config) -> None:
    """Make the package importable before the test modules are collected."""
    # This process serves gRPC and starts others: newer releases' fork handlers may abort those before exec.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    ready = os.environ.get("SNAKEPIT_PY_BUILD")
    if ready:
        build = Path(ready).resolve()
    else:
        import tempfile

        build = _build(Path(tempfile.mkdtemp(prefix="snakepit-py-")))
        config.add_cleanup(lambda: shutil.rmtree(build, ignore_errors=True))
    sys.path.insert(0, str(build))
    sys.path.insert(0, str(_HERE))
    config.stash[_BUILD] = build


_BUILD = pytest.StashKey[Path]()


@pytest.fixture(scope="session")
def package(pytestconfig: pytest.Config) -> Path:
    """Directory of the package `snakepit` under test."""
    return pytestconfig.stash[_BUILD] / "snakepit"


@pytest.fixture(params=["direct", "iterator"])
def lane(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def start(request: pytest.FixtureRequest, package: Path, tmp_path: Path) -> Iterator[Callable[..., FakeHost]]:
    """Starts a worker for a module of the given source, which is the test module's SOURCE by itself."""
    from fake_host import FakeHost

    hosts: list[FakeHost] = []

    def begin(source: str | None = None, lane: str = "auto", **launch: Any) -> FakeHost:
        hosts.append(FakeHost(package, tmp_path, request.module.SOURCE if source is None else source, lane, **launch))
        return hosts[-1]

    yield begin
    for host in hosts:
        host.__exit__()


@pytest.fixture
def host(start: Callable[..., FakeHost], lane: str) -> FakeHost:
    """A worker that waits for calls."""
    host = start(lane=lane).attach()
    assert host.hello.lane == lane
    return host


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """Each test ends what it starts."""
    before = _descendants()
    yield
    assert _descendants() - before == set()


def _descendants() -> set[int]:
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = Path("/proc", name, "stat").read_text()
            except OSError:
                continue
            parents[int(name)] = int(stat.rpartition(")")[2].split()[1])
    found = {os.getpid()}
    while True:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        if not more:
            return found
        found |= more

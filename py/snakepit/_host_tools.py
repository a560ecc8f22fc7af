"""Host tools: C++ functions that Python may call, as `snakepit.host.name(...)`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from snakepit import _codec
from snakepit._context import CurrentCall
from snakepit._host_errors import BadHostArguments, HostToolError, error_of
from snakepit._session import Host
from snakepit._shield import shielded
from snakepit.v1 import control_pb2, work_pb2

Provider = Callable[[], "CurrentCall | None"]


class HostTool:
    """One C++ function. Call it with positional arguments or with keywords, as its signature says."""

    def __init__(self, name: str, ask: Callable[[str, bytes], Any], spec: control_pb2.ToolSpec | None) -> None:
        self.__name__ = self.__qualname__ = name
        self._ask = ask
        if spec is not None:
            self.__doc__ = f"{signature_of(spec)}\n\n{spec.doc}" if spec.doc else signature_of(spec)
            self.__text_signature__ = signature_of(spec)[len(name) :].partition(" -> ")[0]

    @shielded
    def __call__(self, *args: object, **kwargs: object) -> Any:
        if args and kwargs:
            raise BadHostArguments(f"{self.__name__}: give all arguments by position, or all by name", "bad_arguments")
        try:
            arguments = _codec.encode(kwargs if kwargs else list(args), "args")
        except _codec.Unserializable as error:
            raise BadHostArguments(f"{self.__name__}: {error}", "unserializable") from None
        return self._ask(self.__name__, arguments)

    def __repr__(self) -> str:
        return f"<host tool {self.__name__}>"


class HostTools:
    """The host tools of the pool, as attributes. dir() lists those that there were when the worker started."""

    def __init__(self) -> None:
        self._current_call: Provider = lambda: None
        self._host: Host | None = None
        self._specs: dict[str, control_pb2.ToolSpec] = {}

    def __getattr__(self, name: str) -> HostTool:
        if name.startswith("__"):
            raise AttributeError(name)
        return HostTool(name, self._call, self._specs.get(name))

    def __dir__(self) -> list[str]:
        return sorted(self._specs)

    def __repr__(self) -> str:
        return f"<host tools: {', '.join(sorted(self._specs)) or 'none'}>"

    def _call(self, name: str, arguments: bytes) -> Any:
        call = self._current_call()
        if call is None or self._host is None:
            raise RuntimeError("snakepit.host works only while a tool runs for a caller")
        question = work_pb2.Question(host_call=work_pb2.HostCall(tool=name, arguments=arguments))
        finding = self._host.ask(call.id, question)
        if finding.HasField("refusal"):
            raise error_of(finding.refusal, HostToolError)
        return _codec.decode(finding.value)


def signature_of(spec: control_pb2.ToolSpec) -> str:
    """As Python would write it: "lookup(key: str) -> dict"."""
    parts = [f"{p.name}: {p.annotation}" if p.annotation else p.name for p in spec.parameters]
    return f"{spec.name}({', '.join(parts)})" + (f" -> {spec.returns}" if spec.returns else "")


host = HostTools()


def set_provider(current_call: Provider, asked: Host, specs: Iterable[control_pb2.ToolSpec]) -> None:
    """Name who knows the running call, who is asked, and which tools there are."""
    host._current_call = current_call
    host._host = asked
    host._specs = {spec.name: spec for spec in specs}

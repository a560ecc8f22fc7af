from __future__ import annotations

import math
import sys
import types
from typing import Any

import pytest
import snakepit
from snakepit import _tools


def module_of(**members: Any) -> types.ModuleType:
    module = types.ModuleType("user_tools")
    for name, member in members.items():
        if isinstance(member, type):
            member.__module__ = "user_tools"
        setattr(module, name, member)
    return module


def box(**members: Any) -> _tools.Toolbox:
    return _tools.Toolbox(module_of(**members))


@snakepit.tool
def plain(a: int, b: str = "x", *rest: float, key: bool, other: object = None, **more: Any) -> list[str]:
    """First line.

    Second.
    """
    return [str(a), b, *map(str, rest)]


def test_a_marked_function_stays_what_it_was() -> None:
    assert plain(1, key=True) == ["1", "x"]
    assert plain.__name__ == "plain"


def test_the_description_has_all_that_the_wire_wants() -> None:
    (tool,) = box(plain=plain).tools
    assert tool.name == "plain"
    assert tool.doc == "First line.\n\nSecond."
    assert tool.returns == "list[str]"
    assert [(p.name, p.kind, p.annotation, p.has_default, p.default_text) for p in tool.parameters] == [
        ("a", 2, "int", False, ""),
        ("b", 2, "str", True, "'x'"),
        ("rest", 3, "float", False, ""),
        ("key", 4, "bool", False, ""),
        ("other", 4, "object", True, "None"),
        ("more", 5, "Any", False, ""),
    ]
    assert tool.signature_text == (
        "plain(a: int, b: str = 'x', *rest: float, key: bool, other: object = None, **more: Any) -> list[str]"
    )


def test_texts_are_cut_to_their_limits() -> None:
    class Rude:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    def long(a: Any = "é" * 500, b: Any = Rude()) -> None:  # noqa: B008
        pass

    long.__doc__ = "é" * 5000
    long.__annotations__ = {"a": "é" * 5000, "b": Rude(), "return": "é" * 5000}
    (tool,) = box(long=snakepit.tool(long)).tools
    assert [len(text.encode()) for text in (tool.parameters[0].annotation, tool.returns)] == [1024, 1024]
    assert tool.parameters[1].annotation == "<Rude: repr() raised RuntimeError>"
    assert len(tool.doc.encode()) == 4096
    assert len(tool.parameters[0].default_text.encode()) <= 200
    assert "repr() raised RuntimeError" in tool.parameters[1].default_text


def test_names_order_and_aliases() -> None:
    @snakepit.tool(name="second name")
    def second() -> None: ...

    class Adapter(snakepit.Adapter):
        @snakepit.tool
        def third(self) -> None: ...
        @snakepit.tool
        @staticmethod
        def fourth() -> int:
            return 4

        @snakepit.tool(name="5th")
        @classmethod
        def fifth(cls) -> None: ...
        def hidden(self) -> None: ...

    found = box(a=second, alias=second, Adapter=Adapter, plain=plain)
    assert [tool.name for tool in found.tools] == ["second name", "third", "fourth", "5th", "plain"]
    assert found.by_name["fourth"].function() == 4


def test_adapters_are_made_once_set_up_in_order_and_torn_down_in_reverse() -> None:
    log: list[str] = []

    class Base(snakepit.Adapter):
        def setup(self) -> None:
            log.append(f"setup {type(self).__name__}")

        def teardown(self) -> None:
            log.append(f"teardown {type(self).__name__}")
            if type(self).__name__ == "Two":
                raise SystemExit(3)

        @snakepit.tool
        def shared(self) -> str:
            return "base"

    class One(Base):
        def shared(self) -> str:  # an override stays a tool
            return "one"

    class Two(snakepit.Adapter):
        setup = Base.setup
        teardown = Base.teardown

    found = box(Base=Base, One=One, Two=Two)
    assert found.by_name["shared"].function() == "one"
    found.setup()
    errors = list(found.teardown())
    assert log == ["setup One", "setup Two", "teardown Two", "teardown One"]
    assert [type(error) for error in errors] == [SystemExit]


def test_only_what_was_set_up_is_torn_down() -> None:
    log: list[str] = []

    class Good(snakepit.Adapter):
        def teardown(self) -> None:
            log.append("good")

    class Bad(snakepit.Adapter):
        def setup(self) -> None:
            raise RuntimeError("no")

        def teardown(self) -> None:
            log.append("bad")

    found = box(Good=Good, Bad=Bad, plain=plain)
    with pytest.raises(RuntimeError):
        found.setup()
    assert list(found.teardown()) == []
    assert log == ["good"]


def function_of(*parameters: str) -> Any:
    scope: dict[str, Any] = {}
    exec(f"def f({', '.join(parameters)}): ...", scope)
    return snakepit.tool(scope["f"])


def test_start_failures_say_what_to_do() -> None:
    @snakepit.tool
    async def later() -> None: ...
    @snakepit.tool(input="lines")
    def reader(*lines: Any) -> None: ...

    @snakepit.tool(name="plain")
    def other() -> None: ...
    @snakepit.tool(name="x" * 201)
    def long() -> None: ...
    @snakepit.tool(name="")
    def empty() -> None: ...

    failures: list[tuple[dict[str, Any], str]] = [
        ({}, "module 'user_tools' defines no tools: decorate a function with @snakepit.tool"),
        ({"f": reader}, "has input='lines', and no such parameter that can be given by name"),
        ({"f": plain, "g": other}, "two tools are named 'plain': user_tools.f and user_tools.g"),
        ({"f": long}, "has 201 bytes; 1 to 200 are allowed"),
        ({"f": empty}, "has 0 bytes"),
        ({"f": function_of(*(f"p{number}" for number in range(256)))}, "has 256 parameters; 255 are allowed"),
        (
            {"f": function_of("p" * 201)},
            "the name of a parameter of tool 'f' (user_tools.f) has 201 bytes; 200 are allowed",
        ),
        (
            {f"f{number}": snakepit.tool(name=f"f{number}")(lambda: 0) for number in range(10_001)},
            "has 10001 tools; 10000",
        ),
    ]
    for members, text in failures:
        with pytest.raises(_tools.ToolError) as raised:
            box(**members)
        assert text in str(raised.value)


@pytest.mark.parametrize("wrong", [int, "name", 3, math.hypot])
def test_the_decorator_refuses_what_is_no_function(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"snakepit\.tool"):
        snakepit.tool(wrong)


def test_objects_that_answer_to_any_attribute_are_no_tools() -> None:
    class Yes:
        def __getattr__(self, name: str) -> Any:
            return self

    assert [tool.name for tool in box(yes=Yes(), plain=plain, sys=sys).tools] == ["plain"]


# Arguments


def two(text: str, limit: int = 3) -> None: ...
def only_position(a: int, /, b: int = 0) -> None: ...
def only_name(*, key: int) -> None: ...
def anything(*rest: int, **more: int) -> None: ...
def nothing() -> None: ...


@pytest.mark.parametrize(
    ("function", "arguments", "text"),
    [
        (two, {"text": "a"}, None),
        (two, {"text": "a", "limit": 1}, None),
        (two, ["a"], None),
        (two, ["a", 1], None),
        (two, "a", None),
        (two, {"txt": "a"}, "unknown argument 'txt' (did you mean 'text'?); missing argument 'text'"),
        (two, {"text": "a", "zzz": 1}, "unknown argument 'zzz'; the tool is"),
        (two, {}, "missing argument 'text'"),
        (two, [], "missing argument 'text'"),
        (two, [1, 2, 3], "too many arguments: 3 given, at most 2 taken"),
        (only_position, [1], None),
        (only_position, 1, None),
        (only_position, {"a": 1}, "argument 'a' can only be given by position"),
        (only_position, {"b": 1}, "argument 'a' can only be given by position"),
        (only_name, {"key": 1}, None),
        (only_name, [], "missing argument 'key', which can only be given by name"),
        (only_name, [1], "too many arguments: 1 given, at most 0 taken; missing argument 'key'"),
        (anything, [1] * 50, None),
        (anything, {"a": 1}, None),
        (anything, None, None),
        (nothing, [], None),
        (nothing, {}, None),
        (nothing, None, "too many arguments: 1 given, at most 0 taken; the tool is nothing()"),
    ],
)
def test_arguments_are_checked_before_the_call(function: Any, arguments: Any, text: str | None) -> None:
    tool = _tools.Tool(function, function.__name__, "here")
    if isinstance(arguments, dict):
        fits = tool.accepts_keywords(arguments)
    else:
        fits = tool.accepts_positional(len(arguments) if isinstance(arguments, list) else 1)
    assert fits == (text is None)
    if text is not None:
        assert text in tool.explain(arguments)


def test_current_call_outside_of_a_call_is_a_clear_error() -> None:
    with pytest.raises(RuntimeError, match="only while a tool runs"):
        snakepit.current_call()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("warn", "warmup is 'warn', and there is no such tool; did you mean warm?"),
        ("something_else", "there are: greedy, warm"),
        (
            "greedy",
            "warmup is 'greedy', which is called without arguments: missing argument 'a'; the tool is greedy(a)",
        ),
    ],
)
def test_a_warmup_is_a_tool_without_arguments(name: str, text: str) -> None:
    @snakepit.tool
    def warm(times: int = 1) -> None: ...

    @snakepit.tool
    def greedy(a): ...  # type: ignore[no-untyped-def]

    tools = box(warm=warm, greedy=greedy)
    assert tools.for_warmup("warm").function is warm
    with pytest.raises(_tools.ToolError) as raised:
        tools.for_warmup(name)
    assert text in str(raised.value)

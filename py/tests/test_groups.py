"""Which tools a worker offers when its pool has workers of several kinds."""

from __future__ import annotations

import types
from typing import Any

import pytest
import snakepit
from snakepit._groups import Groups
from snakepit._tools import Toolbox, ToolError


def box(groups: Groups, *tools: Any) -> Toolbox:
    module = types.ModuleType("user_tools")
    for one in tools:
        one.__module__ = "user_tools"
        setattr(module, one.__name__, one)
    return Toolbox(module, groups)


@snakepit.tool
def compute() -> int:
    return 1


@snakepit.tool(group="io")
async def fetch() -> int:
    return 2


@snakepit.tool(group="gpu")
def draw() -> int:
    return 3


def names(toolbox: Toolbox) -> list[str]:
    return [tool.name for tool in toolbox.tools]


@pytest.mark.parametrize(
    ("groups", "offered"),
    [
        (Groups(), ["compute", "fetch", "draw"]),
        (Groups("cpu"), ["compute", "fetch", "draw"]),  # a name alone makes no groups
        (Groups("", ("io", "gpu")), ["compute"]),
        (Groups("io", ("io", "gpu")), ["fetch"]),
        (Groups("gpu", ("io", "gpu")), ["draw"]),
        (Groups("gpu", ("io",)), ["compute", "draw"]),  # the pool's own, which have a name
    ],
)
def test_a_worker_offers_what_belongs_to_its_group(groups: Groups, offered: list[str]) -> None:
    toolbox = box(groups, compute, fetch, draw)
    toolbox.check_for("process")
    assert names(toolbox) == offered
    assert set(toolbox.by_name) == set(offered)


def test_a_group_that_there_is_not_is_named_with_those_that_there_are() -> None:
    with pytest.raises(ToolError, match=r"'draw' has group='gpu' \(did you mean 'gpus'\?\).*the pool has: io, gpus"):
        box(Groups("", ("io", "gpus")), compute, fetch, draw).check_for("process")
    with pytest.raises(ToolError, match=r"'fetch' has group='io', .*the pool has: cpu, gpu"):
        box(Groups("cpu", ("gpu",)), compute, fetch, draw).check_for("process")


def test_a_group_without_tools_is_told() -> None:
    with pytest.raises(ToolError, match=r"no tool of user_tools belongs to the group 'gpu': say @snakepit.tool\(group"):
        box(Groups("gpu", ("io", "gpu")), compute, fetch).check_for("process")
    with pytest.raises(ToolError, match=r"no tool of user_tools belongs to the pool's own workers"):
        box(Groups("", ("io", "gpu")), fetch, draw).check_for("process")


def test_only_its_own_tools_need_be_fit_for_the_profile() -> None:
    box(Groups("io", ("io",)), compute, fetch).check_for("async")
    with pytest.raises(ToolError, match="compute"):
        box(Groups("", ("io",)), compute, fetch).check_for("async")


def test_a_name_is_taken_once_in_all_groups() -> None:
    @snakepit.tool(name="compute", group="io")
    def other() -> int:
        return 4

    with pytest.raises(ToolError, match="two tools are named 'compute'"):
        box(Groups("io", ("io",)), compute, other)


def test_adapters_are_made_where_their_tools_are() -> None:
    made = []

    class ForIo(snakepit.Adapter):
        def __init__(self) -> None:
            made.append("ForIo")

        @snakepit.tool(group="io")
        def read(self) -> int:
            return 5

    class ForBoth(snakepit.Adapter):
        def __init__(self) -> None:
            made.append("ForBoth")

        @snakepit.tool(group="io")
        def write(self) -> int:
            return 6

        @snakepit.tool
        def count(self) -> int:
            return 7

    class ForAll(snakepit.Adapter):
        def __init__(self) -> None:
            made.append("ForAll")

    own = box(Groups("", ("io",)), ForIo, ForBoth, ForAll)
    assert names(own) == ["count"]
    assert made == ["ForBoth", "ForAll"]
    assert own.by_name["count"].function() == 7
    made.clear()
    assert names(box(Groups("io", ("io",)), ForIo, ForBoth, ForAll)) == ["read", "write"]
    assert made == ["ForIo", "ForBoth", "ForAll"]


@pytest.mark.parametrize("wrong", ["", "9", "a b", "x" * 33, "ä", 3, b"io"])
def test_what_cannot_be_a_group_is_refused_where_it_is_said(wrong: Any) -> None:
    with pytest.raises(TypeError, match="group must be a name of 1 to 32"):
        snakepit.tool(group=wrong)(lambda: None)


def test_the_longest_name_will_do() -> None:
    @snakepit.tool(group="x" * 32)
    def longest() -> None:
        pass

    assert box(Groups(), longest).tools[0].flags == ["group:" + "x" * 32]

"""The command line of the Python package. No gRPC, no worker: the module is imported into this process."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NoReturn, TextIO

from snakepit import _context, _json_text
from snakepit._failure import describe, type_name
from snakepit._module import import_module
from snakepit._refusal import find_refused
from snakepit._tools import Tool, Toolbox, ToolError
from snakepit._version import __version__

EXIT_RAISED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # as shells tell an end by SIGINT
EXIT_BROKEN_PIPE = 141  # and by SIGPIPE


class _Mistake(Exception):
    """Ends the command with EXIT_USAGE."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point; ends the process."""
    options = _parser().parse_args(arguments)
    with _take_stdout() as result:
        try:
            code = _run_command(options, result)
            result.flush()
            sys.stdout.flush()
        except KeyboardInterrupt:
            code = EXIT_INTERRUPTED
        except BrokenPipeError:  # whoever read our output has gone, as head does
            null = os.open(os.devnull, os.O_WRONLY)
            for descriptor in (1, 2, result.fileno()):  # what is still buffered must not fail once more
                os.dup2(null, descriptor)
            code = EXIT_BROKEN_PIPE
    sys.exit(code)


def _take_stdout() -> TextIO:
    """Stdout, for the result alone: what anybody prints from here on, also the programs of a tool, is for stderr."""
    result = open(os.dup(1), "w", encoding="utf-8", errors="backslashreplace")
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # in order with what goes to stderr by its own name
    return result


def _run_command(options: argparse.Namespace, result: TextIO) -> int:
    try:
        code: int = options.run(options, result)
    except _Mistake as mistake:
        print(f"snakepit: {mistake}", file=sys.stderr)
        return EXIT_USAGE
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m snakepit", description="Try tools without a host.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    call = commands.add_parser("call", help="call one tool and print its result as JSON")
    call.add_argument("tool", metavar="MODULE:TOOL")
    call.add_argument(
        "arguments",
        nargs="?",
        default="[]",
        metavar="JSON",
        help="a map is keyword arguments, an array positional ones, anything else one argument; default: none",
    )
    call.set_defaults(run=_call)
    tools = commands.add_parser("tools", help="list the tools of a module")
    tools.add_argument("module", metavar="MODULE")
    tools.add_argument("--json", action="store_true", help="print an array of tool descriptions")
    tools.set_defaults(run=_list)
    return parser


def _call(options: argparse.Namespace, result: TextIO) -> int:
    module, _, name = options.tool.partition(":")
    if not module or not name:
        raise _Mistake(f"{options.tool!r} is not MODULE:TOOL")
    try:
        arguments = _json_text.loads(options.arguments)
    except _json_text.JsonError as error:
        raise _Mistake(f"arguments: {error}") from None
    refused = find_refused(arguments, "arguments")
    if refused is not None:
        raise _Mistake(refused)
    toolbox = _load(module)
    tool = toolbox.by_name.get(name)
    if tool is None:
        near = get_close_matches(name, toolbox.by_name, n=3)
        hint = f"; did you mean {' or '.join(repr(one) for one in near)}?" if near else ""
        raise _Mistake(f"module {module!r} has no tool {name!r}{hint}")
    try:
        _set_up(toolbox)
        return _run(tool, arguments, result)
    finally:
        for problem in toolbox.teardown():
            print(describe(problem).traceback, end="", file=sys.stderr)


def _run(tool: Tool, arguments: Any, result: TextIO) -> int:
    if isinstance(arguments, dict):
        fits = tool.accepts_keywords(arguments)
    else:
        fits = tool.accepts_positional(len(arguments) if isinstance(arguments, list) else 1)
    if not fits:
        raise _Mistake(tool.explain(arguments))
    if tool.yields or tool.input is not None:
        raise _Mistake(f"tool {tool.name!r} yields items, or takes some; C++ calls it with pool.stream")
    call = _context.CurrentCall(id=1, tool=tool.name)
    _context.set_provider(lambda: call)
    try:
        if isinstance(arguments, dict):
            value = tool.function(**arguments)
        elif isinstance(arguments, list):
            value = tool.function(*arguments)
        else:
            value = tool.function(arguments)
        text = _json_text.dumps(value)
    except _json_text.JsonError as error:
        print(f"snakepit: {error}", file=sys.stderr)
        return EXIT_RAISED
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # as in a worker: SystemExit of a tool is its failure, not our end
        print(describe(error).traceback, end="", file=sys.stderr)
        return EXIT_RAISED
    finally:
        _context.set_provider(lambda: None)
    print(text, file=result)
    return 0


def _list(options: argparse.Namespace, result: TextIO) -> int:
    tools = _load(options.module).tools
    if options.json:
        print(json.dumps([_as_json(tool) for tool in tools], indent=2, ensure_ascii=False), file=result)
        return 0
    for tool in tools:
        print(tool.signature_text, file=result)
        for line in tool.doc.splitlines():
            print(f"    {line}".rstrip(), file=result)
    return 0


def _as_json(tool: Tool) -> dict[str, Any]:
    return {
        "name": tool.name,
        "doc": tool.doc,
        "parameters": [
            {
                "name": parameter.name,
                "kind": parameter.kind_name,
                "annotation": parameter.annotation,
                "default": parameter.default_text if parameter.has_default else None,
            }
            for parameter in tool.parameters
        ],
        "returns": tool.returns,
    }


def _load(module: str) -> Toolbox:
    try:
        here = os.getcwd()
        return Toolbox(import_module(module, [] if {"", here} & set(sys.path) else [here]))
    except ToolError as error:
        raise _Mistake(str(error)) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may raise anything while it is imported
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            raise _Mistake(str(error)) from None
        raised = describe(error)
        raise _Mistake(f"{raised.traceback}module {module!r} cannot be imported: {_summary(error)}") from None


def _set_up(toolbox: Toolbox) -> None:
    try:
        toolbox.setup()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _Mistake(f"{describe(error).traceback}setup() failed: {_summary(error)}") from None


def _summary(error: BaseException) -> str:
    return f"{type_name(error)}: {describe(error).message}"

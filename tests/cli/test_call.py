from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Command

ARRAY = '{"$array":{"base64":"AQACAA==","dtype":"<i2","shape":[2]}}'


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (["cli_tools:echo", '["\u00e9"]'], '"\u00e9"'),
        (["cli_tools:echo", "7"], "7"),
        (["cli_tools:echo", "--", "-7"], "-7"),
        (["cli_tools:echo", "[[1, 2]]"], "[1,2]"),
        (["cli_tools:echo", '{"value": {"a": null}}'], '{"a":null}'),
        (["cli_tools:echo", "[[1]]", "--pretty"], "[\n  1\n]"),
        (["cli_tools:echo", "18446744073709551615"], "18446744073709551615"),
        (["cli_tools:echo", '{"$float": "-inf"}'], '{"$float":"-inf"}'),
        (["cli_tools:echo", '{"$bytes": "AAE="}'], '{"$bytes":"AAE="}'),
        (["cli_tools:echo", ARRAY], ARRAY),
        (["cli_tools:odd_values", '"nan"'], '{"$float":"nan"}'),
        (["cli_tools:odd_values", '"bytes"'], '{"$bytes":"AP8="}'),
        (["cli_tools:odd_values", '"array"'], ARRAY),
        (["cli_tools:add", '{"a": 1, "c": 5}'], "16"),
        (["cli_tools:add", "[1, 2]"], "3"),
        (["cli_tools:nothing"], "null"),
        (["cli_tools:variables", "--session", "alice"], '["alice",{}]'),
        (
            ["cli_tools:variables", "--session", "alice", "--var", "x=1", "--var", 'y={"a":"b=c"}'],
            '["alice",{"x":1,"y":{"a":"b=c"}}]',
        ),
    ],
)
def test_call_prints_the_result_as_json(snakepit: Command, arguments: list[str], output: str) -> None:
    assert snakepit("call", *arguments) == (0, output + "\n", "")


@pytest.mark.parametrize(
    ("arguments", "code", "output"),
    [
        (("call", "cli_tools:checked", "3"), 1, ""),
        (("call", "cli_tools:echo", "4"), 0, "4\n"),
        (("call", "cli_tools:no_such", "4"), 2, ""),
        (("map", "cli_tools:echo", "--workers", "1"), 0, "[1]\n[2]\n"),
        (("bench", "cli_tools:checked", "3", "--seconds", "0.1", "--concurrency", "1", "--json"), 1, None),
        (("tools", "no_such_module"), 2, ""),
        (("no_such_command",), 2, ""),
    ],
)
def test_nothing_depends_on_stderr(
    snakepit: Command, tmp_path: Path, arguments: tuple[str, ...], code: int, output: str | None
) -> None:
    lines = tmp_path / "lines"
    lines.write_text("[1]\n[2]\n")
    for broken in ("2>/dev/full", "2>&-"):
        run = ["sh", "-c", f'exec "$@" {broken} < {lines}', "sh", os.environ["SNAKEPIT_COMMAND"], *arguments]
        done = subprocess.run(
            run, env=snakepit.environment, cwd=snakepit.directory, stdout=subprocess.PIPE, timeout=60, check=False
        )
        assert done.returncode == code, broken
        assert output is None or done.stdout.decode() == output, broken


def test_output_that_is_closed_is_told(snakepit: Command) -> None:
    run = ["sh", "-c", 'exec "$@" >&-', "sh", os.environ["SNAKEPIT_COMMAND"], "call", "cli_tools:echo", "4"]
    done = subprocess.run(
        run, env=snakepit.environment, cwd=snakepit.directory, stderr=subprocess.PIPE, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "cannot write the output" in done.stderr.decode()


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["cli_tools:checked", "3"], 1, 'raise ValueError("three is too many") from KeyError("deep")'),
        (["cli_tools:odd_values", '"set"'], 1, "result: set"),
        (["cli_tools:odd_values", '"tag"'], 1, 'a map that looks like "$bytes"'),
        (["cli_tools:echo", '{"$bytes": "?"}'], 2, "arguments: line 1, column 1: $bytes: not base64"),
        (["cli_tools:die", "3"], 1, "exit code 7"),
        (["cli_tools:nap", "30", "--timeout", "0.2"], 1, "deadline exceeded"),
        (["cli_tools:add"], 2, "missing argument 'a'"),
        (["cli_tools:add", '{"aa": 1}'], 2, "unknown argument 'aa'"),
        (["cli_tools:ecko", "1"], 2, "did you mean echo"),
        (["cli_tools:echo", "{"], 2, "arguments: line 1, column 2"),
        (["cli_tools:echo", "@missing.json"], 2, "cannot read missing.json: No such file"),
        (["cli_tools:echo", "@/"], 2, "cannot read /: it is a directory"),
        (["cli_tools:echo", "@/proc/self/mem"], 2, "cannot read /proc/self/mem: Input/output error"),
        (["cli_tools"], 2, "is not MODULE:TOOL"),
        ([":echo"], 2, "is not MODULE:TOOL"),
        (["no_such_module:x"], 2, "no_such_module"),
        (["not-a-name:x"], 2, "import name of a Python module"),
        (["json:loads"], 2, "tools"),
        (["cli_tools:echo", "--python", "/no/such/python"], 2, "/no/such/python"),
        (["cli_tools:echo", "--python", "/bin/false"], 2, "snakepit doctor"),
        (["cli_tools:echo", "--timeout", "nan"], 2, "number of seconds"),
        (["cli_tools:echo", "--timeout=-1"], 2, "number of seconds"),
        (["cli_tools:echo", "--path", "/no/such/directory"], 2, "/no/such/directory"),
        (["cli_tools:variables"], 1, "without a session"),
        (["cli_tools:variables", "--var", "x=1"], 2, "--session"),
        (["cli_tools:variables", "--session", "s", "--var", "x"], 2, "NAME=JSON"),
        (["cli_tools:variables", "--session", "s", "--var", "x=text"], 2, "needs its quotes"),
        (["cli_tools:variables", "--session", "s" * 201], 1, "invalid name"),
    ],
)
def test_failures_have_their_exit_codes(snakepit: Command, arguments: list[str], code: int, text: str) -> None:
    ended, out, err = snakepit("call", *arguments)
    assert (ended, out) == (code, "")
    assert text in err


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("raise RuntimeError('not today')", "RuntimeError: not today"),
        ("import time; time.sleep(60)", "start timed out"),
    ],
)
def test_a_module_that_cannot_be_imported_is_a_usage_error(snakepit: Command, source: str, text: str) -> None:
    (snakepit.directory / "broken.py").write_text(source)
    code, _, err = snakepit("call", "broken:x", "--start-timeout", "1.5")
    assert (code, text in err) == (2, True), err


def test_arguments_come_from_the_standard_input_or_a_file(snakepit: Command) -> None:
    (snakepit.directory / "arguments.json").write_text('["from a file"]\n')
    assert snakepit("call", "cli_tools:echo", "@arguments.json") == (0, '"from a file"\n', "")
    assert snakepit("call", "cli_tools:echo", "-", given='["from stdin"]\n') == (0, '"from stdin"\n', "")


def test_what_tools_print_goes_to_stderr(snakepit: Command) -> None:
    code, out, err = snakepit("call", "cli_tools:speak", '"hello"')
    assert (code, out.strip().isdigit(), err) == (0, True, "[w0] hello\n")


def test_a_module_that_cannot_be_forked_is_told_of_on_stderr(snakepit: Command) -> None:
    (snakepit.directory / "threaded.py").write_text(
        "import snakepit, threading\nthreading.Thread(target=threading.Event().wait, daemon=True, name='it').start()\n"
        "@snakepit.tool\ndef f(): return 'served'\n"
    )
    code, out, err = snakepit("call", "threaded:f")
    assert (code, out) == (0, '"served"\n')
    [warning] = err.splitlines()
    assert warning.startswith("[fork server] snakepit: module threaded leaves 2 threads running (it)")
    assert warning.endswith("; so each worker is spawned")


def test_modules_are_looked_for_in_the_paths_given(snakepit: Command, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "two" / "elsewhere.py").write_text("import snakepit\n@snakepit.tool\ndef f(): return 'found'\n")
    assert snakepit("call", "elsewhere:f", "--path", "one", "--path", "two") == (0, '"found"\n', "")
    assert snakepit("call", "elsewhere:f", "--path", "one")[0] == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_call(snakepit: Command, number: signal.Signals) -> None:
    (snakepit.directory / "ready.py").write_text(
        "import snakepit, time\n@snakepit.tool\ndef wait():\n    open('up', 'w').close()\n    time.sleep(60)\n"
    )
    with snakepit.start("call", "ready:wait") as process:
        while not (snakepit.directory / "up").exists():
            assert process.poll() is None
            time.sleep(0.01)
        sent = time.monotonic()
        process.send_signal(number)
        out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (128 + number, b"")
    assert time.monotonic() - sent < 3


def test_output_that_cannot_be_written_is_an_error(snakepit: Command) -> None:
    with open("/dev/full", "wb") as full:
        code, _, err = run_with_output(snakepit, full.fileno())
    assert (code, "cannot write the output: No space left" in err) == (1, True)
    reading, writing = os.pipe()
    os.close(reading)
    code, _, err = run_with_output(snakepit, writing)
    os.close(writing)
    assert (code, "nobody reads the output" in err) == (141, True)


def run_with_output(snakepit: Command, fd: int) -> tuple[int, bytes, str]:
    with snakepit.start("call", "cli_tools:nothing", stdout=fd) as process:
        _, err = process.communicate(timeout=60)
    return process.returncode, b"", err.decode()


def test_tools_lists_signatures_and_first_lines(snakepit: Command) -> None:
    code, out, err = snakepit("tools", "cli_tools")
    assert (code, err) == (0, "")
    assert out.startswith("echo(value)\n    Give it back.\nadd(a: int, b: int = 10, *, c=0) -> int\nodd_values(")
    code, out, _ = snakepit("tools", "cli_tools", "--json")
    add = next(tool for tool in json.loads(out) if tool["name"] == "add")
    assert code == 0
    assert add["returns"] == "int"
    assert add["parameters"][1] == {
        "name": "b",
        "kind": "positional_or_keyword",
        "annotation": "int",
        "default": "10",
    }
    assert add["parameters"][0]["default"] is None
    assert snakepit("tools", "no_such_module")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--help"], 0, "snakepit doctor"),
        (["--version"], 0, "snakepit 0."),
        (["map", "--help"], 0, "in the order of the input"),
        (["call", "--help"], 0, "keyword arguments"),
        ([], 2, "Subcommands"),
        (["mpa"], 2, "did you mean map"),
        (["--nonsense"], 2, "--help"),
        (["call"], 2, "snakepit call --help"),
        (["call", "cli_tools:echo", "--nonsense"], 2, "--nonsense"),
        (["map", "cli_tools:echo", "--workers", "0"], 2, "0"),
        (["map", "cli_tools:echo", "--text", "--json"], 2, "excludes"),
        (["map", "cli_tools:echo", "--in", "missing.txt"], 2, "cannot read missing.txt: No such file"),
        (["map", "cli_tools:echo", "--in", "/"], 2, "directory"),
    ],
)
def test_usage(snakepit: Command, arguments: list[str], code: int, text: str) -> None:
    ended, out, err = snakepit(*arguments)
    assert ended == code
    assert text in (out if code == 0 else err)
    assert (err if code == 0 else out) == ""

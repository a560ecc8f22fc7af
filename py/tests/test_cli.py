from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SOURCE = '''
import numpy
import snakepit


class Counter(snakepit.Adapter):
    def setup(self) -> None:
        self.count = 40

    @snakepit.tool
    def add(self, step: int = 1) -> int:
        """Add to the counter."""
        self.count += step
        return self.count

    def teardown(self) -> None:
        print("torn down")


print("imported")


@snakepit.tool
def echo(value):
    return value


@snakepit.tool
def speak() -> None:
    print("printed")
    import subprocess
    subprocess.run(["echo", "by a program"])


@snakepit.tool
def wait() -> None:
    import time
    print("waiting")
    time.sleep(60)


@snakepit.tool
def who() -> list:
    call = snakepit.current_call()
    return [call.id, call.tool, call.session, call.remaining, call.cancelled]


@snakepit.tool
def fail(how: str):
    if how == "exit":
        raise SystemExit(0)
    if how == "set":
        return {1}
    raise ValueError("bad") from KeyError("deep")
'''


def snakepit(package: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    process = begin(package, cwd, *arguments)
    out, err = process.communicate(timeout=30)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def begin(package: Path, cwd: Path, *arguments: str, **more: Any) -> subprocess.Popen[str]:
    # The sources alone: without gRPC, protobuf and the generated modules.
    (cwd / "cli_tools.py").write_text(SOURCE)
    environment = {
        **os.environ,
        "PYTHONPATH": str(package.parent),
        "PYTHONWARNINGS": "error",
        "PYTHONIOENCODING": "ascii",
    }
    code = (
        "import sys; sys.modules['grpc'] = sys.modules['google.protobuf'] = sys.modules['msgpack'] = None;"
        "import runpy; sys.argv[0] = 'snakepit'; runpy.run_module('snakepit', run_name='__main__', alter_sys=True)"
    )
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=cwd, env=environment, encoding="utf-8", **pipes
    )


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (["cli_tools:add"], "41\n"),
        (["cli_tools:add", "[2]"], "42\n"),
        (["cli_tools:add", '{"step": 3}'], "43\n"),
        (["cli_tools:echo", '"é"'], '"é"\n'),
        (["cli_tools:echo", '{"value": {"$float": "-inf"}}'], '{"$float": "-inf"}\n'),
        (["cli_tools:echo", '{"$bytes": "AAE="}'], '{"$bytes": "AAE="}\n'),
        (["cli_tools:who"], '[1, "who", null, null, false]\n'),
        (["cli_tools:speak"], "null\n"),
    ],
)
def test_call_prints_the_result(package: Path, tmp_path: Path, arguments: list[str], output: str) -> None:
    done = snakepit(package, tmp_path, "call", *arguments)
    said = "printed\nby a program\n" if "cli_tools:speak" in arguments else ""
    assert (done.returncode, done.stdout, done.stderr) == (0, output, f"imported\n{said}torn down\n")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["cli_tools:fail", '["x"]'], 1, "ValueError: bad"),
        (["cli_tools:fail", '["exit"]'], 1, "SystemExit: 0"),
        (["cli_tools:fail", '["set"]'], 1, "result: set cannot travel"),
        (["cli_tools:fail"], 2, "missing argument 'how'"),
        (["cli_tools:fail", '{"hwo": 1}'], 2, "unknown argument 'hwo' (did you mean 'how'?)"),
        (["cli_tools:ecko", "1"], 2, "has no tool 'ecko'; did you mean 'echo'?"),
        (["cli_tools:echo", "{"], 2, "arguments: not JSON"),
        (["cli_tools:echo", "18446744073709551616"], 2, "integer of more than 64 bits"),
        (["cli_tools"], 2, "is not MODULE:TOOL"),
        (["no_such_module:x"], 2, "no module named 'no_such_module'; searched:"),
        (["json:loads"], 2, "defines no tools"),
        (["not-a-name:x"], 2, "is not the name of a module"),
    ],
)
def test_failures_have_their_exit_codes(
    package: Path, tmp_path: Path, arguments: list[str], code: int, text: str
) -> None:
    done = snakepit(package, tmp_path, "call", *arguments)
    assert done.returncode == code
    assert text in done.stderr
    assert "_cli.py" not in done.stderr


def test_a_module_that_exits_or_fails_is_named(package: Path, tmp_path: Path) -> None:
    (tmp_path / "exits.py").write_text("import sys\nsys.exit(5)\n")
    (tmp_path / "broken.py").write_text("import missing_thing\n")
    done = snakepit(package, tmp_path, "tools", "exits")
    assert (done.returncode, "module 'exits' called sys.exit(5)" in done.stderr) == (2, True)
    done = snakepit(package, tmp_path, "tools", "broken")
    assert (done.returncode, "No module named 'missing_thing'" in done.stderr) == (2, True)
    assert 'broken.py", line 1' in done.stderr
    assert "broken.py" not in snakepit(package, tmp_path, "tools", "broken.no_such_part").stderr.splitlines()[-1]


FAILING = """
class Failing(snakepit.Adapter):
    def setup(self):
        raise ValueError("no model")
"""


def test_what_was_set_up_is_torn_down_when_another_setup_fails(package: Path, tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(SOURCE + FAILING)
    done = snakepit(package, tmp_path, "call", "failing:add")
    assert (done.returncode, done.stdout) == (2, "")
    assert "setup() failed: ValueError: no model" in done.stderr
    assert "torn down" in done.stderr


def test_an_interrupt_ends_it_without_a_traceback(package: Path, tmp_path: Path) -> None:
    with begin(package, tmp_path, "call", "cli_tools:wait") as process:
        assert process.stderr is not None
        assert [process.stderr.readline() for _ in range(2)] == ["imported\n", "waiting\n"]
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "torn down\n"
    assert process.returncode == 130


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_reader_that_has_gone_ends_it_quietly(package: Path, tmp_path: Path, closed: str) -> None:
    read, write = os.pipe()
    os.close(read)
    arguments = ["cli_tools:echo", '"x"'] if closed == "stdout" else ["cli_tools:fail", '["x"]']
    with begin(package, tmp_path, "call", *arguments, **{closed: write}) as process:
        os.close(write)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 141
    assert (out, err) == (("", None) if closed == "stderr" else (None, "imported\ntorn down\n"))


def test_tools_lists_signatures_and_docs(package: Path, tmp_path: Path) -> None:
    done = snakepit(package, tmp_path, "tools", "cli_tools")
    assert done.stdout == (
        "add(step: int = 1) -> int\n    Add to the counter.\necho(value)\n"
        "speak() -> None\nwait() -> None\nwho() -> list\nfail(how: str)\n"
    )
    done = snakepit(package, tmp_path, "tools", "cli_tools", "--json")
    assert json.loads(done.stdout)[0] == {
        "name": "add",
        "doc": "Add to the counter.",
        "parameters": [{"name": "step", "kind": "positional_or_keyword", "annotation": "int", "default": "1"}],
        "returns": "int",
    }

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from operator_host import Host

if TYPE_CHECKING:
    from conftest import Command


@pytest.fixture
def host(snakepit: Command) -> Iterator[Host]:
    made = Host(snakepit)
    yield made
    made.end()


def complete(snakepit: Command, *words: str) -> list[str]:
    """What bash proposes for the last word."""
    program = Path(os.environ["SNAKEPIT_COMMAND"])
    quoted = " ".join(f"'{word}'" for word in ("snakepit", *words))
    script = f"""
        PATH={program.parent}:$PATH
        source <(snakepit completion bash)
        COMP_WORDS=({quoted}) COMP_CWORD={len(words)}
        _snakepit
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=snakepit.environment,
        cwd=snakepit.directory,
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert done.stderr == b""
    return done.stdout.decode().split()


def test_bash_completes_commands_and_options(snakepit: Command) -> None:
    assert {"call", "map", "doctor", "ps", "top", "events"} <= set(complete(snakepit, ""))
    assert complete(snakepit, "work") == ["workers"]
    assert {"--json", "--pool", "--interval", "--once"} <= set(complete(snakepit, "top", "--"))
    assert complete(snakepit, "top", "--onc") == ["--once"]
    assert complete(snakepit, "loglevel", "w") == ["warning"]
    assert complete(snakepit, "completion", "") == ["bash", "zsh", "fish"]


def test_bash_completes_workers_and_pools_that_live(host: Host) -> None:
    for command in ("stack", "recycle", "kill"):
        assert complete(host.snakepit, command, "--pool", host.pid, "") == ["w0", "w1"]
    assert complete(host.snakepit, "events", "--pool", host.pid, "--worker", "w1") == ["w1"]
    assert host.pid in complete(host.snakepit, "status", "--pool", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_script_knows_every_command_and_is_one(snakepit: Command, shell: str) -> None:
    code, out, err = snakepit("completion", shell)
    assert (code, err) == (0, "")
    for command in complete(snakepit, ""):
        assert command.startswith("-") or command in out
    if found := shutil.which(shell):
        checked = subprocess.run([found, "-n"], input=out.encode(), capture_output=True, check=False, timeout=20)
        assert (checked.returncode, checked.stderr) == (0, b"")


def test_fish_knows_pools_workers_and_which_options_take_a_value(snakepit: Command) -> None:
    _, out, _ = snakepit("completion", "fish")
    lines = out.splitlines()
    of = "complete -c snakepit -n '__fish_seen_subcommand_from "
    assert f"{of}top' -l interval -r" in lines
    assert f"{of}top' -l once" in lines
    assert f"{of}events' -l worker -x -a '(__snakepit_workers)'" in lines
    assert f"{of}drain' -l pool -x -a '(__snakepit_pools)'" in lines
    assert "workers --ids $pool" in out


def test_another_shell_is_refused(snakepit: Command) -> None:
    code, _, err = snakepit("completion", "csh")
    assert code == 2
    assert "bash" in err

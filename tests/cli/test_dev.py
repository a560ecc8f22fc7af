"""./dev in a directory of its own, with stand-ins for most of what it runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

INSTALLED = 'shift 3; for package; do echo "$package installed"; done'
SUITES = 'case "$*" in *--list*) echo "snakepit:perf / echo"; echo "snakepit:perf / map";; *) echo "$*" >> ran;; esac'


class Dev:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.programs = directory / "bin"
        self.programs.mkdir()
        (directory / "build").mkdir()
        shutil.copy(Path(os.environ["SNAKEPIT_TEST_SOURCES"]).parent / "dev", directory)
        for name in ("bash", "cat", "comm", "dirname", "grep", "mkdir", "nproc", "rm", "sed", "sort", "xargs"):
            found = shutil.which(name)
            assert found
            (self.programs / name).symlink_to(found)

    def stand_in(self, name: str, script: str = "") -> None:
        program = self.programs / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def __call__(self, *arguments: str, **variables: str) -> tuple[int, str]:
        """(exit code, stderr)"""
        environment = {"PATH": str(self.programs), **variables}
        done = subprocess.run(
            ["bash", "dev", *arguments], cwd=self.directory, env=environment, capture_output=True, text=True, timeout=60
        )
        return done.returncode, done.stderr


@pytest.fixture
def dev(tmp_path: Path) -> Dev:
    return Dev(tmp_path)


def test_setup_names_what_is_needed_where_it_cannot_look(dev: Dev) -> None:
    code, said = dev("setup")
    assert code == 1
    assert "not a Debian system" in said
    assert "libgrpc++-dev" in said
    assert "everything is installed" not in said


def test_setup_says_when_all_is_there(dev: Dev) -> None:
    dev.stand_in("dpkg-query", INSTALLED)
    assert dev("setup") == (0, "dev: everything is installed\n")


def test_perf_refuses_a_name_that_matches_nothing(dev: Dev) -> None:
    dev.stand_in("dpkg-query", INSTALLED)
    dev.stand_in("ninja")
    dev.stand_in("meson", SUITES)
    code, said = dev("perf", "echo", "mpa")
    assert (code, "no suite 'mpa'; there are: echo map" in said) == (1, True), said
    assert "--benchmark" not in (dev.directory / "ran").read_text()


def test_chaos_builds_its_program_and_hands_the_arguments_on(dev: Dev) -> None:
    dev.stand_in("dpkg-query", INSTALLED)
    dev.stand_in("meson")
    program = dev.directory / "build/tests/stress/chaos/chaos"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "ran with $*" >&2\nexit 1\n')
    program.chmod(0o755)
    dev.stand_in("ninja", 'test "$*" = "-C build chaos"')
    assert dev("chaos", "--seconds", "600", "--seed", "7") == (1, "ran with --seconds 600 --seed 7\n")


@pytest.mark.parametrize(("variables", "code"), [({}, 0), ({"CI": "true"}, 1)])
def test_check_does_without_ruff_but_not_in_ci(dev: Dev, variables: dict[str, str], code: int) -> None:
    dev.stand_in("dpkg-query", INSTALLED)
    dev.stand_in("python3", "exit 1")
    for name in ("ninja", "meson", "git", "mypy", "clang-format-19", "clang-tidy-19"):
        dev.stand_in(name)
    nowhere = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}
    ended, said = dev("check", **nowhere, **variables)
    assert ended == code, said
    assert "ruff cannot be had here" in said
    assert ("failed: check_ruff" if code else "as far as can be said without ruff") in said

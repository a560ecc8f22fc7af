"""usage: check_demo.py RUN_SH BUILD_DIRECTORY

The demo, shortened: with the files of this system, and with a few of our own. It has to find out when it is not right.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import support

RUN_SH, BUILD = sys.argv[1:]
DEMO = Path(RUN_SH).parent


def demo(**environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [RUN_SH, BUILD],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        env={**os.environ, "DEMO_SHORT": "1", **environment},
    )


def expect_story(run: "subprocess.CompletedProcess[str]", *patterns: str) -> None:
    if run.returncode != 0:
        support.fail(f"the demo ended with {run.returncode}:\n{run.stdout}\n{run.stderr}")
    for pattern in [
        r"150 lines in, 150 lines out, in the same order",
        r"compressed +[\d.]+ MB to [\d.]+ MB, \d+%",
        r"< ok 3\.142857142857143\n",
        r"< error w\d .*ZeroDivisionError",
        r"kill -9 \d+: w\d dies",
        r"w\d +pid \d+ +(ready|executing) +restarts 1, .*SIGKILL",
        r"[\d,]+ calls, every answer checked: 0 wrong, [0-4] lost",
        r"the server has stopped, its workers with it",
        r"snakepit map +[\d,]+ files/s",
        r"asio server +[\d,]+ calls/s, p50 [\d.]+ ms",
        r"worker killed +[0-4] of [\d,]+ calls lost, whole again after \d+ ms",
        *patterns,
    ]:
        if not re.search(pattern, run.stdout):
            support.fail(f"the demo did not print {pattern!r} but:\n{run.stdout}\n{run.stderr}")


def expect_failure(what: str, run: "subprocess.CompletedProcess[str]") -> None:
    if run.returncode == 0 or "NOT as told" not in run.stderr:
        support.fail(f"{what}: ended with {run.returncode}:\n{run.stdout}\n{run.stderr}")
    print(f"ok: {what} is found out")


support.adopt_orphans()
temporary = support.private_temporary()

if next(Path("/usr/share/doc").glob("*/copyright"), None):
    told = demo()
    expect_story(told)
    print(told.stdout)

with tempfile.TemporaryDirectory() as files:
    for n in range(40):
        (Path(files) / f"package{n}").mkdir()
        text = f"Package {n}, \u00a9 Zo\u00eb.\nLicensed under the Apache License, Version 2.0.\n"
        (Path(files) / f"package{n}" / "copyright").write_text(text, encoding="latin-1" if n % 4 == 0 else "utf-8")
    told = demo(DEMO_FILES=files)
    expect_story(told, r"That is not much: .* until 150 are done", r"Apache +40 ", r"not in UTF-8 +10 files")

    listed, facts = Path(files) / "list", Path(files) / "facts"
    listed.write_text("a\nb\n")
    facts.write_text('{"path": "b"}\n{"path": "a"}\n')
    swapped = [sys.executable, "-B", DEMO / "summary.py", listed, facts, "1000", Path(files) / "figures"]
    expect_failure("a wrong order", subprocess.run(swapped, capture_output=True, text=True, timeout=20))

with tempfile.TemporaryDirectory() as nothing:
    expect_failure("that there are no files", demo(DEMO_FILES=nothing))

support.expect_nothing_left(temporary)

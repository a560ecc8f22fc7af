"""`snakepit map` of a trivial tool over a million short lines: lines per second, and the command's own peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LINES = 1_000_000
WORKERS = 2
RUNS = 3
LEAST_RATE = 80_000
MOST_MB = 150
TOOL = "import snakepit\n\n\n@snakepit.tool\ndef successor(n):\n    return n + 1\n"


def run(command: str, directory: Path) -> tuple[float, float]:
    """(lines per second, MB) of one run, start and stop of the workers included."""
    arguments = [command, "map", "trivial:successor", "--workers", str(WORKERS), "--in", "in.txt", "--quiet"]
    begun = time.monotonic()
    with open(directory / "out.txt", "wb") as out:
        process = subprocess.Popen(arguments, cwd=directory, stdout=out)
        # Its peak; not a sum, but no less than that of a child it waited for, and a Python has far less.
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - begun
    if process.returncode != 0:
        sys.exit(f"snakepit map ended with {process.returncode}")
    with open(directory / "out.txt", encoding="ascii") as out_lines:
        count = 0
        for count, line in enumerate(out_lines, 1):
            if int(line) != count:
                sys.exit(f"line {count} is {line!r}")
    if count != LINES:
        sys.exit(f"{count} lines came out of {LINES}")
    return LINES / seconds, usage.ru_maxrss / 1024


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "trivial.py").write_text(TOOL)
        with open(directory / "in.txt", "w", encoding="ascii") as lines:
            lines.writelines(f"{i}\n" for i in range(LINES))
        command = str(Path(sys.argv[1]).resolve())  # run in another directory
        runs = [run(command, directory) for _ in range(RUNS)]
    rate = sorted(rate for rate, _ in runs)[RUNS // 2]
    memory = max(memory for _, memory in runs)
    against = f"{LINES:,} lines, {WORKERS} workers, {RUNS} runs"
    rows = [
        {
            "name": "map.lines_per_second",
            "value": rate,
            "unit": "lines/s",
            "bound": f">= {LEAST_RATE}",
            "holds": rate >= LEAST_RATE,
            "against": f"median; {against}",
        },
        {
            "name": "map.peak_mb",
            "value": memory,
            "unit": "MB",
            "bound": f"< {MOST_MB}",
            "holds": memory < MOST_MB,
            "against": f"the command itself, worst; {against}",
        },
    ]
    for row in rows:
        print(f"{row['name']} {row['value']:,.0f} {row['unit']}")
    if out := os.environ.get("SNAKEPIT_PERF_OUT"):
        Path(out).write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

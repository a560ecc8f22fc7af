"""What telemetry costs a call: instructions with the look for listeners against a build without it, and with listeners.

Counted by callgrind, so that neighbours on the machine do not matter: those of a long run less those of a short one,
for each call.

usage: cost.py WITH WITHOUT REPORT
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

SHORT, LONG = 2_000, 12_000
MOST_HEARD = 7_000


def instructions(program: str, calls: int, *how: str) -> int:
    """All that the program executes for so many calls."""
    counted = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, str(calls), *how],
        check=True,
        capture_output=True,
        text=True,
    )
    found = re.search(r"Collected : (\d+)", counted.stderr)
    if found is None:
        sys.exit(f"callgrind says nothing about {program}:\n{counted.stderr}")
    return int(found.group(1))


def per_call(program: str, *how: str) -> float:
    """Without what a start and an end take."""
    return (instructions(program, LONG, *how) - instructions(program, SHORT, *how)) / (LONG - SHORT)


def main() -> None:
    """Write the rows."""
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is not installed")
    with_look, without, report = sys.argv[1:]
    looked, plain, heard = per_call(with_look), per_call(without), per_call(with_look, "on")
    ratio = looked / plain
    rows = [
        {
            "name": "telemetry.off_instructions",
            "value": looked,
            "unit": "per call",
            "bound": None,
            "holds": True,
            "against": "fake worker, 32 callers, nobody listens",
        },
        {
            "name": "telemetry.off_ratio",
            "value": ratio,
            "unit": "ratio",
            "bound": "<= 1.01",
            "holds": ratio <= 1.01,
            "against": f"{plain:.0f} instructions with the bus compiled out",
        },
        {
            "name": "telemetry.on_instructions",
            "value": heard,
            "unit": "per call",
            "bound": f"<= {MOST_HEARD}",
            "holds": heard <= MOST_HEARD,
            "against": "fake worker, 32 callers, metrics and every tenth call traced",
        },
    ]
    with open(report, "w", encoding="utf-8") as out:
        json.dump(rows, out, indent=2)
    for row in rows:
        print(f"{row['name']:36} {row['value']:12.3f} {row['unit']:10} {row['bound'] or ''} {row['against']}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Merges the rows that the performance suites wrote, prints them as one table, and fails when a bound does not hold."""

import argparse
import json
import math
import sys
from pathlib import Path


def figure(value: float) -> str:
    """Three significant digits, thousands separated: 1.78, 0.0123, 125,304."""
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def read_rows(results: Path) -> list:
    """The rows of every file there, each suite's in the order in which it wrote them."""
    rows = []
    for file in sorted(results.glob("*.json")):
        rows += json.loads(file.read_text(encoding="utf-8"))
    return rows


def table(rows: list) -> str:
    """The rows in aligned columns."""
    lines = [("name", "value", "unit", "bound", "", "against")]
    for row in rows:
        verdict = "" if not row.get("bound") else "ok" if row["holds"] else "FAILS"
        lines.append(
            (row["name"], figure(row["value"]), row["unit"], row.get("bound") or "", verdict, row.get("against") or "")
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = []
    for line in lines:
        cells = [
            cell.rjust(width) if i == 1 else cell.ljust(width) for i, (cell, width) in enumerate(zip(line, widths))
        ]
        text.append("  ".join(cells).rstrip())
    return "\n".join(text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="directory with one JSON file per suite")
    parser.add_argument("--out", type=Path, required=True, help="where the merged rows go")
    options = parser.parse_args()

    rows = read_rows(options.results)
    options.out.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    if not rows:
        print("no suite has written any figures", file=sys.stderr)
        return 1
    print(table(rows))
    missed = [row["name"] for row in rows if row.get("bound") and not row["holds"]]
    if missed:
        print(f"\n{len(missed)} of the bounds do not hold: {', '.join(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

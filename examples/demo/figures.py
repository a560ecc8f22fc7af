"""The demo in figures.

usage: figures.py FIGURES_OF_MAP FIGURES_OF_CLIENTS
"""

import json
import sys
from pathlib import Path


def main() -> None:
    facts, clients = (json.loads(Path(name).read_text()) for name in sys.argv[1:])
    print(
        f"   snakepit map    {facts['files_per_second']:,.0f} files/s, {facts['megabytes_per_second']:.1f} MB/s\n"
        f"   asio server     {clients['calls_per_second']:,.0f} calls/s,"
        f" p50 {clients['p50_ms']:.2f} ms, p99 {clients['p99_ms']:.2f} ms,"
        " with its clients, in Python, on the same machine\n"
        f"   worker killed   {clients['lost']} of {clients['calls']:,} calls lost,"
        f" whole again after {clients['recovery_ms']:.0f} ms\n\n"
        "   Every line, every answer and every process was checked.\n"
    )


main()

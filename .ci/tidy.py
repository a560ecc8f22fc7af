"""clang-tidy, which spends nearly all of its time on the system's headers: the sources of a directory are read as one.

usage: tidy.py BUILD SOURCE...

Where something is found, or what does not compile as one, is read source by source, and only that counts.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# The commands are GCC's, with warnings that Clang does not know and a precompiled header; asio 1.22 does not know that
# Clang has coroutines too. A build of CI has -Werror, which would make errors of what Clang sees inside the system's
# headers.
TIDY = ["clang-tidy-19", "--quiet", "--warnings-as-errors=*", "--extra-arg=-Wno-unknown-warning-option"]
TIDY += ["--extra-arg=-Wno-error", "--extra-arg=-DASIO_HAS_CO_AWAIT=1"]


def main() -> int:
    build = Path(sys.argv[1]).resolve()
    commands = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        source = Path(entry["directory"], entry["file"]).resolve()
        without_header = re.sub(r" -fpch-preprocess -include \S+", "", entry["command"])
        commands.setdefault(source, {**entry, "command": without_header})
    rooms: dict[Path, list[Path]] = {}
    for source in map(Path, sys.argv[2:]):
        rooms.setdefault(source.parent, []).append(source.resolve())

    # A database for the sources, and for a file per room that includes them.
    ours = build / "tidy"
    ours.mkdir(exist_ok=True)
    entries, whole = [], {}
    for room, sources in rooms.items():
        whole[room] = ours / f"{room.name}.cpp"
        whole[room].write_text("".join(f'#include "{source}"  // NOLINT\n' for source in sources))
        command = commands[sources[0]]
        as_one = command["command"].replace(command["file"], str(whole[room]))
        entries.append({**command, "file": str(whole[room]), "command": as_one})
        entries += [{**commands[source], "file": str(source)} for source in sources]
    (ours / "compile_commands.json").write_text(json.dumps(entries))

    def tidy(source: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*TIDY, "-p", ours, source], capture_output=True, text=True)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        largest_first = sorted(rooms, key=lambda room: -len(rooms[room]))
        found_in = pool.map(lambda room: tidy(whole[room]).returncode != 0, largest_first)
        doubtful = [source for room, found in zip(largest_first, found_in) if found for source in rooms[room]]
        answers = [answer for answer in pool.map(tidy, doubtful) if answer.returncode != 0]
    for answer in answers:
        print(answer.stdout, end="")
    return min(len(answers), 1)


if __name__ == "__main__":
    sys.exit(main())

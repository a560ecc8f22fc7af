#!/usr/bin/env bash
# The demo: real files through `snakepit map`, then a TCP server with a worker killed under its clients.
# It checks itself, and ends with 1 when something is not as told.
#
# usage: run.sh BUILD_DIRECTORY
# In the environment: DEMO_SHORT=1, a few seconds instead of twenty; DEMO_FILES=DIRECTORY, other files to read.
set -euo pipefail

build=$(cd "${1:?usage: run.sh BUILD_DIRECTORY}" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")"
examples=$(cd .. && pwd)

snakepit=$build/lib/cli/snakepit
server=$build/examples/example_asio_server
export SNAKEPIT_PYTHON_PACKAGE=$build/py/snakepit PYTHONDONTWRITEBYTECODE=1
python=${SNAKEPIT_PYTHON:-python3}
documents=${DEMO_FILES:-/usr/share/doc}
lines_wanted=3000 clients_seconds=7
if [[ -n ${DEMO_SHORT:-} ]]; then lines_wanted=150 clients_seconds=1.5; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
exec </dev/null

title() { printf '\n%s\n\n' "$*"; }
say() { printf '%s\n' "$@" | sed 's/^./   &/'; }
die() {
    printf '\ndemo: NOT as told: %s\n' "$*" >&2
    exit 1
}

title "1. One command: a Python tool over many files"

find "$documents" -name copyright -type f -readable 2>/dev/null | LC_ALL=C sort >"$work/files" || true
files=$(wc -l <"$work/files")
((files > 0)) || die "there are no copyright files below $documents"
say "Every Debian package brings a copyright file: $files of them are below $documents."
if ((files < lines_wanted)); then
    say "That is not much: they are read again and again until $lines_wanted are done."
else
    say "The first $lines_wanted of them will do."
fi
for ((i = 0; i < lines_wanted; i += files)); do cat "$work/files"; done | head -n "$lines_wanted" >"$work/list" || true
say "The tool is examples/demo/doc_facts.py: licences named, word statistics, compressed size." \
    "" "\$ snakepit map doc_facts:survey --text --workers 2 --in list > facts.jsonl"

begin=${EPOCHREALTIME/[.,]/}
"$snakepit" map doc_facts:survey --text --workers 2 --in "$work/list" >"$work/facts.jsonl" ||
    die "snakepit map ended with $?; the first failure: $(grep -m 1 '^{"error"' "$work/facts.jsonl" || echo none)"
end=${EPOCHREALTIME/[.,]/}

"$python" summary.py "$work/list" "$work/facts.jsonl" "$((end - begin))" "$work/map.json"

title "2. A TCP server calls Python, and one of its workers is killed"

say "The server is examples/asio_server: C++, two threads of its own, a pool of 2 Python workers." \
    "A request is a line, \"TOOL TEXT\"; the answer is a line:" ""
"$python" clients.py "$server" "$examples/asio_server" "$work/files" "$clients_seconds" "$work/clients.json"

title "3. In figures"

"$python" figures.py "$work/map.json" "$work/clients.json"

#!/usr/bin/env bash
# usage: check.sh BUILD_DIRECTORY README
# Installs the build into a temporary directory, then builds and runs programs there with nothing but pkg-config.
set -euo pipefail
build=$1 readme=$2
unset SNAKEPIT_PYTHON_PACKAGE PYTHONPATH

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
meson install -C "$build" --no-rebuild --quiet --destdir "$root" >"$root/log" 2>&1 || { cat "$root/log"; exit 1; }
export PKG_CONFIG_PATH=$root$SNAKEPIT_LIBDIR/pkgconfig LD_LIBRARY_PATH=$root$SNAKEPIT_LIBDIR
mkdir "$root/app"
cd "$root/app"

fail() { echo "FAILED: $*"; exit 1; }

# expect TEXT COMMAND...: it succeeds within a minute, and its output contains the text.
expect() {
    local wanted=$1 output
    shift
    output=$(timeout 60 "$@" 2>&1 </dev/null) || fail "$* ended with $?:"$'\n'"$output"
    [[ $output == *"$wanted"* ]] || fail "$* did not print '$wanted' but:"$'\n'"$output"
    echo "ok: $* printed '$wanted'"
}

flags=$(pkg-config --cflags --libs snakepit)
[[ $flags != *grpc* && $flags != *protobuf* ]] || fail "users' flags name gRPC or protobuf: $flags"
echo "ok: flags are $flags"

# compile NAME: NAME.cpp to NAME.
compile() {
    # shellcheck disable=SC2086  # flags are words
    $CXX -std=c++20 -Wall -Wextra "$1.cpp" -o "$1" $flags || fail "$1.cpp does not compile"
}

# 1. A program of our own.
cat >numbers_tool.py <<'END'
import snakepit


@snakepit.tool
def add(a: int, b: int) -> int:
    return a + b
END
cat >program.cpp <<'END'
#include <snakepit/pool.hpp>
#include <snakepit/version.hpp>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <cstdio>
#include <fmt/core.h>

asio::awaitable<void> run(snakepit::pool& pool) {
    if (auto up = co_await pool.start(); !up) {
        fmt::print(stderr, "{}\n", up.error());
        co_return;
    }
    auto sum = co_await pool.call<int>("add", 40, 2);
    if (sum) fmt::print("{}: the sum is {}\n", SNAKEPIT_VERSION, *sum);
    else fmt::print(stderr, "{}\n", sum.error());
    co_await pool.stop();
}

int main() {
    asio::io_context io;
    snakepit::pool pool{io.get_executor(), {.module = "numbers_tool", .workers = {.min = 1}}};
    asio::co_spawn(io, run(pool), asio::detached);
    io.run();
}
END
compile program
expect "the sum is 42" ./program

# 2. README's quick start: its first block of C++ and its first block of Python, whose file the C++ names as its module.
block() { awk -v open="^\`\`\`$1" '$0 ~ open { on = 1; next } on && /^```/ { exit } on' "$readme"; }
if [[ -f $readme ]]; then
    block cpp >quickstart.cpp
    block python >quickstart.py
    module=$(sed -n 's/.*\.module = "\([^"]*\)".*/\1/p' quickstart.cpp | head -1)
    [[ -n $module ]] || fail "README's quick start names no module"
    mv quickstart.py "$module.py"
    compile quickstart
    expect "5 words" ./quickstart
fi

# 3. `python3 -m snakepit` works after an installation into the default prefix: Python looks where the package is.
[[ -f $root$SNAKEPIT_PACKAGE_DIR/__main__.py ]] || fail "the package is not in $SNAKEPIT_PACKAGE_DIR"
if [[ $SNAKEPIT_PREFIX == /usr/local && $SNAKEPIT_PYTHON == /usr/bin/* ]]; then
    expect "'${SNAKEPIT_PACKAGE_DIR%/snakepit}'" "$SNAKEPIT_PYTHON" -I -c 'import site; print(site.getsitepackages())'
fi

# 4. The command finds its package too.
expect "42" "$root$SNAKEPIT_BINDIR/snakepit" call numbers_tool:add '{"a": 40, "b": 2}'

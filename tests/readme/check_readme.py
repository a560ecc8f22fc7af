"""usage: check_readme.py BUILD_DIRECTORY SOURCE_DIRECTORY

README.md does what it says: installs the build into a temporary place, then takes every block of README there.

    ```cpp FILE, ```python FILE      are written to FILE
    ```cpp in a coroutine, ...       become the bodies of coroutines that have the pools `pool` (of text_tools) and
                                     `stats`; they have to print what their comments `// prints ...` say, in this order
    ```cpp at namespace scope        is compiled too, and its function `answer` called
    ```console                       lines behind "$ " are run; they have to print the lines that follow
    ```sh                            the commands of ./dev have to exist; nothing is run
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

LONGEST = 200
QUICK_START = {"quickstart.cpp": 15, "text_tools.py": 5}

BUILD, SOURCE = (Path(argument) for argument in sys.argv[1:])
README = (SOURCE / "README.md").read_text(encoding="utf-8")

HARNESS = """\
#include <snakepit/async.hpp>
#include <asio.hpp>
using namespace std::chrono_literals;

SCOPE

BODIES

asio::awaitable<void> run(asio::io_context& io, snakepit::pool& pool, snakepit::pool& stats, int& status) {
    auto one = co_await pool.start();
    auto two = co_await stats.start();
    if (one && two) {
        CALLS
        asio::steady_timer answered(io, asio::steady_timer::time_point::max());
        asio::co_spawn(asio::make_strand(io), answer(pool, "one two three"), [&](std::exception_ptr, std::string text) {
            fmt::print("answer: {}\\n", text);
            answered.cancel();
        });
        asio::error_code cancelled;
        co_await answered.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
        status = 0;
    }
    co_await pool.stop();
    co_await stats.stop();
}

int main() {
    int status = 1;
    asio::io_context io;
    snakepit::pool pool{io.get_executor(), {.module = "text_tools"}};
    snakepit::pool stats{io.get_executor(), {.module = "stats"}};
    asio::co_spawn(io, run(io, pool, stats, status), [](std::exception_ptr e) { if (e) std::rethrow_exception(e); });
    io.run();
    return status;
}
"""


@dataclass
class Block:
    language: str
    about: str
    text: str
    line: int


def fail(why: str) -> None:
    sys.exit(f"FAILED: README.md: {why}")


def expect(is_so: bool, why: str) -> None:
    if not is_so:
        fail(why)


def blocks() -> list[Block]:
    fence = re.compile(r"^```(\w*) ?(.*)\n((?:(?!```).*\n)*)```$", re.MULTILINE)
    return [Block(m[1], m[2], m[3], README[: m.start()].count("\n") + 1) for m in fence.finditer(README)]


def run(command: "str | list[str]", **options: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )


def install(root: Path) -> None:
    """What is installed below `root` is found from here on; nothing of the build tree is."""
    done = run(["meson", "install", "-C", str(BUILD), "--no-rebuild", "--quiet", "--destdir", str(root)])
    expect(done.returncode == 0, f"meson install:\n{done.stdout}")

    def inside(name: str) -> Path:
        return root / Path(os.environ[name]).relative_to("/")

    for name in ("SNAKEPIT_PYTHON_PACKAGE", "PYTHONPATH"):
        os.environ.pop(name, None)
    programs = root / "programs"
    programs.mkdir()
    (programs / "g++").write_text(f'#!/bin/sh\nexec {os.environ["CXX"]} "$@"\n')
    (programs / "python3").write_text(
        f"#!/bin/sh\nPYTHONPATH={shlex.quote(str(inside('SNAKEPIT_PYTHONDIR')))}"
        f' exec {shlex.quote(os.environ["SNAKEPIT_PYTHON"])} "$@"\n'
    )
    for program in programs.iterdir():
        program.chmod(0o755)
    os.environ["PATH"] = f"{programs}:{inside('SNAKEPIT_BINDIR')}:{os.environ['PATH']}"
    os.environ["LD_LIBRARY_PATH"] = str(inside("SNAKEPIT_LIBDIR"))
    os.environ["PKG_CONFIG_PATH"] = str(inside("SNAKEPIT_LIBDIR") / "pkgconfig")


def check_console(block: Block) -> None:
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, wanted = part.partition("\n")
        done = run(["bash", "-c", "set -o pipefail; " + command], timeout=120)
        expect(
            done.returncode == 0 and done.stdout == wanted,
            f"line {block.line}: `{command}` ended with {done.returncode} and printed\n{done.stdout}not\n{wanted}",
        )
        print(f"ok: {command}")


def check_fragments(scopes: list[Block], bodies: list[Block]) -> None:
    functions = "\n".join(
        f"asio::awaitable<void> fragment_{b.line}(snakepit::pool& pool, snakepit::pool& stats) {{\n"
        f'static_cast<void>(pool), static_cast<void>(stats);\n#line {b.line + 1} "README.md"\n{b.text}co_return;\n}}\n'
        for b in bodies
    )
    scope = "".join(f'#line {b.line + 1} "README.md"\n{b.text}' for b in scopes)
    calls = " ".join(f"co_await fragment_{b.line}(pool, stats);" for b in bodies)
    Path("fragments.cpp").write_text(
        HARNESS.replace("SCOPE", scope).replace("BODIES", functions).replace("CALLS", calls), encoding="utf-8"
    )
    compiled = run(
        # README.md is not the main file to g++, which then warns of lambdas that go into a coroutine's frame.
        "g++ -std=c++20 -Wall -Wextra -Werror -Wno-subobject-linkage fragments.cpp -o fragments"
        " $(pkg-config --cflags --libs snakepit)",
        shell=True,
        timeout=120,
    )
    expect(compiled.returncode == 0, f"its fragments of C++ do not compile:\n{compiled.stdout}")
    done = run(["./fragments"], timeout=60)
    wanted = [said for b in bodies for said in re.findall(r"// prints (.*)", b.text)] + ["answer: 3 words"]
    expect(
        done.returncode == 0 and done.stdout.splitlines() == wanted,
        f"its fragments of C++ ended with {done.returncode} and printed\n{done.stdout}not {wanted}",
    )
    print(f"ok: {len(bodies) + len(scopes)} fragments of C++")


def check_sh(block: Block) -> None:
    known = run([str(SOURCE / "dev"), "help"]).stdout
    for command in re.findall(r"\./dev (\w+)", block.text):
        expect(f"\n  {command} " in known, f"line {block.line}: there is no ./dev {command}")
        print(f"ok: ./dev {command} exists")


def check_words() -> None:
    expect(README.count("\n") <= LONGEST, f"has more than {LONGEST} lines")
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        expect((SOURCE / target).exists(), f"links to {target}, which does not exist")
    header = (SOURCE / "include/snakepit/error.hpp").read_text()
    for name in ("errc", "failure"):
        declared = re.findall(
            r"^    (\w+) = \d+", header.split(f"enum class {name} {{")[1].split("};")[0], re.MULTILINE
        )
        missing = [one for one in declared if f"`{one}`" not in README]
        expect(not missing and bool(declared), f"does not have these of {name}: {missing}")
    print("ok: links, errors")


def code_of(text: str) -> list[str]:
    """Lines of a source without blanks and comments."""
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("//", "# "))]


def main() -> None:
    check_words()
    found = blocks()
    expect(2 * len(found) == README.count("```"), "has a block that is not closed, or not one of the known forms")
    with tempfile.TemporaryDirectory() as root:
        install(Path(root))
        app = Path(root) / "app"
        app.mkdir()
        os.chdir(app)
        scopes, bodies = [], []
        for block in found:  # files first
            if block.language in ("cpp", "python") and re.fullmatch(r"\w+\.(cpp|py)", block.about):
                Path(block.about).write_text(block.text, encoding="utf-8")
                lines = block.text.count("\n")
                expect(lines <= QUICK_START.get(block.about, lines), f"{block.about} has {lines} lines, too many")
                if block.about in QUICK_START:
                    name = block.about if block.language == "python" else "main.cpp"
                    example = SOURCE / "examples/quickstart" / name
                    expect(code_of(block.text) == code_of(example.read_text()), f"{block.about} is not {example}")
        for block in found:
            if block.language == "console":
                check_console(block)
            elif block.language == "sh":
                check_sh(block)
            elif block.about.startswith("in a coroutine"):
                bodies.append(block)
            elif block.about == "at namespace scope":
                scopes.append(block)
            else:
                expect(Path(block.about).is_file(), f"line {block.line}: nothing checks this block")
        check_fragments(scopes, bodies)


main()

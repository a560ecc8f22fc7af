"""Entry point of every process that the host starts: launcher, worker and probe.

It is run by whatever Python the user has chosen, so its syntax is that of Python 3.6, and it makes exactly this
package importable: the directory around it may be the site-packages of another Python.
"""

import sys

_DIRECTORY = __file__.rpartition("/")[0] or "."

# Before anything else is imported: Python puts the script's own directory first, where our modules would pass for
# modules of the same names from elsewhere.
if sys.path and sys.path[0] in (_DIRECTORY, ""):
    del sys.path[0]

import importlib.util  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import platform  # noqa: E402

_MINIMUM = (3, 9)
_EXIT_UNFIT = 78


def _adopt_package():  # type: () -> None
    if "snakepit" in sys.modules:
        return
    directory = os.path.abspath(_DIRECTORY)
    spec = importlib.util.spec_from_file_location(
        "snakepit", os.path.join(directory, "__init__.py"), submodule_search_locations=[directory]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["snakepit"] = package
    spec.loader.exec_module(package)


def _refuse_old_python(arguments):  # type: (list[str]) -> None
    unfit = {
        "python": platform.python_version(),
        "executable": sys.executable,
        "reason": f"Python {platform.python_version()} is too old; {_MINIMUM[0]}.{_MINIMUM[1]} or newer is needed",
    }
    packet = json.dumps({"unfit": unfit})
    if arguments[:2] == ["launcher", "--fd"] and len(arguments) == 3:
        os.write(int(arguments[2]), packet.encode())
    elif arguments[:1] == ["probe"]:
        print(packet)
    else:
        print("snakepit: " + unfit["reason"], file=sys.stderr)
    sys.exit(_EXIT_UNFIT)


def _main(arguments):  # type: (list[str]) -> None
    if sys.version_info < _MINIMUM:
        _refuse_old_python(arguments)
    role = arguments[0] if arguments else ""
    if role == "worker":
        from snakepit._worker import main
    elif role == "launcher":
        from snakepit._launcher import main
    elif role == "probe":
        from snakepit._probe import main
    else:
        sys.exit("usage: _boot.py worker|launcher|probe ...; started by the host, not by people")
    main(arguments[1:])


if sys.version_info >= _MINIMUM:
    # Also when multiprocessing imports this file again in a process that a tool starts.
    _adopt_package()

if __name__ == "__main__":
    _main(sys.argv[1:])

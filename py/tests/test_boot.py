from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def run(package: Path, code: str) -> str:
    """Run code in a process that has been entered through _boot.py, as multiprocessing's children are."""
    start = f"import runpy; globals().update(runpy.run_path({str(package / '_boot.py')!r}, run_name='__mp_main__'))\n"
    done = subprocess.run([sys.executable, "-c", start + code], capture_output=True, text=True, cwd="/", timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_package_becomes_importable_and_its_siblings_do_not(package: Path) -> None:
    printed = run(package, "import sys, snakepit.v1; print(snakepit.__file__); print(sys.path)")
    file, path = printed.splitlines()
    assert file == str(package / "__init__.py")
    assert str(package) not in path
    assert str(package.parent) not in path


def test_our_modules_hide_none_of_the_standard_library(package: Path) -> None:
    names = {path.stem for path in package.glob("*.py")} - {"__init__", "__main__"}
    hidden = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.stdlib_module_names)"], capture_output=True, text=True
    )
    if hidden.returncode == 0:  # the list is newer than Python 3.9
        assert names.isdisjoint(hidden.stdout.split())


def test_a_python_that_is_too_old_is_unfit_and_says_so(package: Path, tmp_path: Path) -> None:
    # No old Python is at hand everywhere: the same code with a minimum that nothing meets.
    source = (package / "_boot.py").read_text().replace("_MINIMUM = (3, 9)", "_MINIMUM = (4, 0)")
    changed = tmp_path / "boot.py"
    changed.write_text(source)
    done = subprocess.run([sys.executable, str(changed), "probe"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 78
    reason = json.loads(done.stdout)["unfit"]["reason"]
    assert reason.endswith("is too old; 4.0 or newer is needed")


@pytest.mark.parametrize("role", ["", "emperor"])
def test_people_are_told_that_it_is_not_for_them(package: Path, role: str) -> None:
    done = subprocess.run(
        [sys.executable, str(package / "_boot.py"), *filter(None, [role])], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, "started by the host" in done.stderr) == (1, True)

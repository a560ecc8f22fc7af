from __future__ import annotations

import json
import os
import resource
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Command


def examine(snakepit: Command, *arguments: str, **options: Any) -> tuple[int, dict[str, Any]]:
    code, out, err = snakepit("doctor", "--json", *arguments, **options)
    assert err == ""
    report = json.loads(out)
    assert [finding for finding in report["findings"] if finding["level"] != "ok" and not finding["remedy"]] == []
    return code, report


def findings(report: dict[str, Any], level: str) -> list[dict[str, Any]]:
    return [finding for finding in report["findings"] if finding["level"] == level]


def test_all_is_well_here(snakepit: Command) -> None:
    code, report = examine(snakepit)
    assert (code, report["usable"]) == (0, True)
    assert findings(report, "problem") == []
    assert set(report) == {
        *("version", "protocol", "usable", "package_dir", "python", "pythons"),
        *("socket", "limits", "kernel", "telemetry", "optional", "worker", "findings"),
    }
    for finding in report["findings"]:
        assert set(finding) == {"level", "subject", "text", "remedy"}
        assert finding["level"] in {"ok", "warning", "problem"}
        assert finding["text"]
    chosen = [one for one in report["pythons"] if one["chosen"]]
    assert [one["path"] for one in chosen] == [report["python"]]
    assert {"path", "origin", "exists", "fit", "reason", "python", "grpc", "protobuf", "msgpack", "numpy"} < set(
        chosen[0]
    )
    assert report["socket"]["private"] is True
    assert report["socket"]["path_bytes"] <= 107
    assert report["limits"]["processors"] >= 1
    assert report["worker"]["started"]
    assert report["worker"]["answered"]
    assert report["worker"]["lane"] in {"direct", "iterator"}
    assert report["worker"]["start_method"] == "fork"
    assert 0 < report["worker"]["call_ms"] < 10_000


def test_the_text_has_a_line_for_each_finding(snakepit: Command) -> None:
    code, out, err = snakepit("doctor")
    assert (code, err) == (0, "")
    assert "chosen, the first that can run workers" in out
    assert "snakepit can be used; 0 problems" in out


def test_a_broken_variable_is_a_warning_with_its_remedy(snakepit: Command) -> None:
    code, report = examine(snakepit, env={"SNAKEPIT_PYTHON": "/no/such/python", "PATH": "/usr/bin:/bin"})
    [broken] = [one for one in report["pythons"] if one["origin"] == "$SNAKEPIT_PYTHON"]
    assert (broken["exists"], broken["fit"], broken["reason"]) == (False, False, "there is no such program")
    [warning] = [one for one in findings(report, "warning") if "/no/such/python" in one["text"]]
    assert warning["remedy"] == "correct $SNAKEPIT_PYTHON, or leave it out"
    assert code == (0 if report["python"] else 1)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("#!/bin/sh\nexit 3\n", "its exit code was 3"),
        ("#!/bin/sh\necho hello\n", "its answer cannot be understood"),
        ("#!/bin/sh\necho broken >&2\nkill -9 $$\n", "signal 9; it said: broken"),
        ("not a program\n", "it cannot be run: Exec format error"),
    ],
)
def test_a_python_that_is_none_is_a_problem(snakepit: Command, tmp_path: Path, program: str, reason: str) -> None:
    fake = tmp_path / "python"
    fake.write_text(program)
    fake.chmod(0o755)
    code, report = examine(snakepit, "--python", str(fake))
    assert (code, report["usable"], report["python"], report["worker"]) == (1, False, None, None)
    assert reason in report["pythons"][0]["reason"]


def test_a_broken_python3_first_on_path_is_a_warning_with_its_remedy(snakepit: Command, tmp_path: Path) -> None:
    broken = tmp_path / "bin" / "python3"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    _, report = examine(snakepit, env={"SNAKEPIT_PYTHON": "", "PATH": f"{broken.parent}:/usr/bin:/bin"})
    [warning] = [one for one in findings(report, "warning") if str(broken) in one["text"]]
    assert "PATH" in warning["remedy"]


def test_a_python_without_a_package_names_it(snakepit: Command, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    code, report = examine(snakepit, "--python", str(bare))
    assert code == 1
    [warning] = [one for one in findings(report, "warning") if one["subject"] == "python"]
    assert "cannot import" in warning["text"]
    assert warning["remedy"].startswith("install python3-")


def test_a_slow_protobuf_is_a_warning(snakepit: Command) -> None:
    code, report = examine(snakepit, env={"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"})
    assert code == 0
    [warning] = [one for one in findings(report, "warning") if one["subject"] == "versions"]
    assert "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION" in warning["remedy"]


def test_no_package_is_a_problem(snakepit: Command) -> None:
    code, report = examine(snakepit, env={"SNAKEPIT_PYTHON_PACKAGE": "/no/such/package"})
    assert (code, report["package_dir"]) == (1, None)
    assert [finding["subject"] for finding in findings(report, "problem")] == ["package"]


def test_a_socket_directory_that_is_not_private_is_a_problem(snakepit: Command, tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO)
    code, report = examine(snakepit, env={"TMPDIR": str(open_to_all)})
    assert (code, report["socket"]["private"]) == (1, False)
    assert "socket" in [finding["subject"] for finding in findings(report, "problem")]
    assert os.listdir(open_to_all) == []


def limited(which: int, soft: int) -> Callable[[], None]:
    """What a process is to do before it is the command."""
    return lambda: resource.setrlimit(which, (soft, resource.getrlimit(which)[1]))


def test_few_open_files_are_a_warning_with_its_remedy(snakepit: Command) -> None:
    code, report = examine(snakepit, preexec_fn=limited(resource.RLIMIT_NOFILE, 512))
    assert (code, report["limits"]["open_files"]) == (0, 512)
    [warning] = [one for one in findings(report, "warning") if "open files" in one["text"]]
    assert warning["text"] == "open files: 512"
    assert "ulimit -n 1024" in warning["remedy"]


def test_a_python_that_is_too_old_is_named_with_both_versions(snakepit: Command, tmp_path: Path) -> None:
    # The real interpreter, which says that it is an older one.
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, platform\nsys.version_info = (3, 6, 9, 'final', 0)\nplatform.python_version = lambda: '3.6.9'\n"
    )
    old = tmp_path / "old"
    old.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    old.chmod(0o755)
    code, report = examine(snakepit, "--python", str(old))
    assert (code, report["usable"], report["worker"]) == (1, False, None)
    [warning] = [one for one in findings(report, "warning") if one["subject"] == "python"]
    assert "3.6.9" in warning["text"]
    assert "too old" in warning["text"]
    assert "3.9" in warning["text"] + warning["remedy"]


def test_a_disk_that_is_full_is_a_problem_with_its_remedy(snakepit: Command) -> None:
    # No file may have a byte, and who tries is told so instead of ended.
    code, report = examine(snakepit, preexec_fn=limited(resource.RLIMIT_FSIZE, 0), restore_signals=False)
    assert (code, report["usable"], report["worker"]["started"]) == (1, False, False)
    [problem] = [one for one in findings(report, "problem") if one["subject"] == "worker"]
    assert "cannot write" in problem["text"]
    assert "TMPDIR" in problem["remedy"]


def test_the_kernel_and_optional_packages_are_looked_at(snakepit: Command) -> None:
    _, report = examine(snakepit, env={"OTEL_EXPORTER_OTLP_ENDPOINT": ""})
    assert report["kernel"] == {"memfd": True, "pidfd": True}
    assert set(report["optional"]) == {"numpy", "uvloop", "opentelemetry"}
    assert report["telemetry"] == {"traces": None, "metrics": None, "reachable": None}


def test_an_otlp_endpoint_is_reached_or_a_warning(snakepit: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as receiver:
        place = f"127.0.0.1:{receiver.getsockname()[1]}"
        code, report = examine(snakepit, env={"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{place}"})
        assert (code, report["telemetry"]) == (0, {"traces": place, "metrics": place, "reachable": True})
        # As a pool reads them: not an endpoint alone.
        only_traces = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://{place}/", "OTEL_METRICS_EXPORTER": "none"}
        _, report = examine(snakepit, env=only_traces)
        assert report["telemetry"] == {"traces": place, "metrics": None, "reachable": True}
    code, report = examine(snakepit, env={"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{place}"})
    assert (code, report["telemetry"]["reachable"]) == (0, False)
    [warning] = [one for one in findings(report, "warning") if one["subject"] == "telemetry"]
    assert place in warning["text"]
    assert "a pool runs without it" in warning["remedy"]


def test_what_a_pool_does_not_understand_of_otlp_is_told(snakepit: Command) -> None:
    code, report = examine(snakepit, env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://:4317"})
    told = [one for one in report["findings"] if one["subject"] == "telemetry" and "http://:4317" in one["text"]]
    assert told
    assert {one["level"] for one in told} in ({"warning"}, {"problem"})
    assert code == (0 if report["usable"] else 1)
    assert report["telemetry"]["reachable"] is None
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_SAMPLER": "sometimes"}
    code, report = examine(snakepit, env=variables)
    assert code == 0
    assert [one["subject"] for one in findings(report, "warning") if "sometimes" in one["text"]] == ["telemetry"]


def test_hints_are_lines_for_a_shell(snakepit: Command) -> None:
    code, report = examine(
        snakepit,
        "--fix-hints",
        env={"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        preexec_fn=limited(resource.RLIMIT_NOFILE, 512),
    )
    assert code == 0
    hints = {one["fix"] for one in report["findings"]}
    assert {
        "ulimit -n 1024",
        "unset PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION",
        "unset OTEL_EXPORTER_OTLP_ENDPOINT",
    } <= hints
    code, out, _ = snakepit("doctor", "--fix-hints", preexec_fn=limited(resource.RLIMIT_NOFILE, 512))
    assert code == 0
    assert "$  ulimit -n 1024\n" in out
    assert "$  ulimit" not in snakepit("doctor", preexec_fn=limited(resource.RLIMIT_NOFILE, 512))[1]

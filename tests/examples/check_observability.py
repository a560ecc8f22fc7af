"""usage: check_observability.py PROGRAM, in the example's directory

The dashboard and the rules of the example ask for what there is: against a pool under load, and in a real Prometheus
server that scrapes it.
"""

import atexit
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import support

PROGRAM = sys.argv[1]
DASHBOARD = Path("grafana-dashboard.json").read_text(encoding="utf-8")
RULES = Path("prometheus-rules.yml").read_text(encoding="utf-8")
SKIPPED = 77  # as Meson has it


def get(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            text: str = answer.read().decode()
            return text
    except urllib.error.HTTPError as e:
        return e.read().decode()


def until(what: str, holds: Callable[[], Any], seconds: float = 40) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := holds():
                return found
        except OSError:
            pass
        time.sleep(0.1)
    support.fail(f"never: {what}")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def expressions(dashboard: str) -> dict[str, str]:
    """What each panel asks for, with something in the place of each variable."""
    found = {}
    for panel in json.loads(dashboard)["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"].replace("$__rate_interval", "5s")
            found[f"{panel['title']} {target['refId']}"] = re.sub(r"\$(job|instance|group)\b", ".*", query)
    return found


def names_that_there_are_not(text: str, scraped: str) -> set[str]:
    """Of the metrics in the text those that the pool has not."""
    offered = set(re.findall(r"^(snakepit_\w+)", scraped, re.MULTILINE))
    return set(re.findall(r"\b(?<!:)snakepit_\w+", text)) - offered


def check_promtool(*arguments: str) -> None:
    told = subprocess.run(["promtool", "check", *arguments], capture_output=True, text=True, timeout=20)
    if told.returncode != 0:
        support.fail(f"promtool check {arguments}:\n{told.stdout}{told.stderr}")


if not (shutil.which("prometheus") and shutil.which("promtool")):
    print("prometheus and promtool are not installed")
    sys.exit(1 if "CI" in os.environ else SKIPPED)

support.adopt_orphans()
temporary = support.private_temporary()
check_promtool("rules", "prometheus-rules.yml")
check_promtool("config", "prometheus.yml")

pool = subprocess.Popen([PROGRAM, "12", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
atexit.register(pool.kill)  # when something is not as it should be; its workers end with it
assert pool.stdout
first = pool.stdout.readline()
if not re.fullmatch(r"metrics at port \d+ for 12 s\n", first):
    support.fail(f"the program printed {first!r}")
pool_address = f"127.0.0.1:{first.split()[3]}"
metrics = f"http://{pool_address}/metrics"
until("a restart", lambda: re.search(r"snakepit_worker_restarts_total\S* [1-9]", get(metrics)))

rule_queries = re.findall(r"expr:((?:.|\n)*?)\n +(?:- |for|labels)", RULES + "\n  - ")
wanted = "\n".join([*expressions(DASHBOARD).values(), *rule_queries])
scraped = get(metrics)
if unknown := names_that_there_are_not(wanted, scraped):
    support.fail(f"the dashboard or the rules ask for {unknown}, which the pool has not")
if names_that_there_are_not(wanted + " snakepit_no_such_total", scraped) != {"snakepit_no_such_total"}:
    support.fail("a name that there is not would not be found")

home = Path(temporary) / "prometheus"
home.mkdir()
shutil.copy("prometheus-rules.yml", home)
(home / "prometheus.yml").write_text(
    "global: {scrape_interval: 500ms, evaluation_interval: 500ms}\nrule_files: [prometheus-rules.yml]\n"
    f"scrape_configs: [{{job_name: snakepit, static_configs: [{{targets: ['{pool_address}']}}]}}]\n"
)
port = free_port()
with (home / "log").open("w") as log:
    server = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={home}/prometheus.yml",
            f"--storage.tsdb.path={home}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=log,
        stderr=log,
    )
try:

    def ask(query: str) -> Any:
        url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(query)}"
        answer = json.loads(get(url))
        if answer["status"] != "success":
            support.fail(f"{query}: {answer['error']}")
        return answer["data"]["result"]

    until("Prometheus is up", lambda: "is Ready" in get(f"http://127.0.0.1:{port}/-/ready"))
    until("Prometheus has scraped the pool", lambda: ask("count_over_time(snakepit_calls_total[30s]) > 3"))
    silent = {name: query for name, query in expressions(DASHBOARD).items() if not ask(query)}
    if silent:
        support.fail(f"panels that stay empty: {silent}\n{(home / 'log').read_text()}")
    for record in re.findall(r"record: (\S+)", RULES):
        until(f"{record} has a value", partial(ask, record))
    print(f"{len(expressions(DASHBOARD))} queries of the dashboard have answers")
finally:
    server.send_signal(signal.SIGTERM)
    server.wait(timeout=20)

rest, _ = pool.communicate(timeout=60)
if pool.returncode != 0 or not re.fullmatch(r"\d+ calls, \d+ of them well\n", rest):
    support.fail(f"the program ended with {pool.returncode}: {rest}")
shutil.rmtree(home)
support.expect_nothing_left(temporary)

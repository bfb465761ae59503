"""``python -m app`` as a user runs it: a process, its output and its exit code."""

from __future__ import annotations

import json
import re
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app import paths

HEALTHY = (
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{"status":"healthy"}'
)
HTML = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 26\r\n\r\n<html><b>Hello</b></html>\n"
GARBAGE = b"\x00\xff\x13\x37 this is no HTTP \x1b[31m at all\n" * 20


@pytest.fixture
def serve() -> Iterator[Callable[[bytes], str]]:
    """Start a server that answers whatever it is asked with these bytes; returns its URL."""
    servers = []

    def start(answer: bytes) -> str:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.settimeout(5)
                try:
                    self.request.recv(65536)
                    self.request.sendall(answer)
                except OSError:
                    return

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def one_message(result: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in result.stdout + result.stderr
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, lines
    return lines[0]


def test_help_shows_every_command(greenlight) -> None:
    shown = greenlight("--help").stdout
    for command in (
        "assess",
        "discover",
        "load",
        "compare",
        "rescore",
        "dashboard",
        "sample",
        "checks",
        "runs",
        "faults",
    ):
        assert command in shown


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["assess", "sampel"], "There is no target 'sampel'. Did you mean 'sample'?"),
        (["assess", "nowhere/x.toml"], "there is no such target file"),
        (
            ["assess", "http://127.0.0.1:9"],
            "No answer from http://127.0.0.1:9: connection refused. Start the service",
        ),
        (["assess", "http://"], "is not an http(s) URL with a host"),
        (["discover", "127.0.0.1:8003"], "is not a URL that begins with http"),
        (["checks", "show", "cache.hitrate"], "Did you mean cache.hit_rate?"),
        (["runs", "show", "77"], "There is no run with id 77"),
        (["runs", "cancel", "77"], "There is no run 77"),
        (["compare", "1", "2"], "There is no run with id 1"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(greenlight, words: list[str], says: str) -> None:
    result = greenlight(*words)
    assert result.returncode == 2
    assert says in one_message(result)


def test_a_target_with_an_unknown_key_names_file_key_and_the_nearest_known(greenlight, data: Path) -> None:
    (data / "targets" / "shop.toml").write_text('url = "http://127.0.0.1:9"\n[health]\nlivenes = "/h"')
    result = greenlight("assess", "shop")
    assert result.returncode == 2
    assert "shop.toml: health.livenes: unknown key; did you mean 'liveness'?" in one_message(result)


def test_a_rubric_that_sums_to_99_is_refused(greenlight, tmp_path: Path, serve) -> None:
    text = (paths.ROOT / "data" / "rubric.toml").read_text().replace("points = 3", "points = 2", 1)
    (tmp_path / "rubric.toml").write_text(text)
    result = greenlight("assess", serve(HEALTHY), GREENLIGHT_RUBRIC=str(tmp_path / "rubric.toml"))
    assert result.returncode == 2
    assert "add up to 99, not 100" in one_message(result)


def test_an_unknown_check_pattern_or_profile_is_refused(greenlight, serve) -> None:
    url = serve(HEALTHY)
    for words, says in (
        (("--only", "cash.*"), "No check matches 'cash.*'"),
        (("--profile", "fast"), "quick, standard, deep"),
    ):
        result = greenlight("assess", url, *words)
        assert result.returncode == 2
        assert says in result.stderr


@pytest.mark.parametrize("answer", [HTML, GARBAGE, b""], ids=["html", "garbage", "nothing"])
def test_a_service_that_answers_nonsense_is_a_scored_run_with_a_finding_for_each_check(
    greenlight, serve, tmp_path: Path, answer: bytes
) -> None:
    result = greenlight("assess", serve(answer), "--json", str(tmp_path / "out.json"))
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    assert "\x1b[31m" not in result.stdout
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["state"] == "finished"
    assert document["verdict"] == "NOT READY"
    assert all(finding["reason"] for finding in document["findings"])
    passed = {item["check"] for item in document["findings"] if item["outcome"] in ("pass", "error")}
    assert passed <= {"endpoint_health.single_server"}  # one process listens, whatever it says


def target(data: Path, url: str) -> None:
    (data / "targets" / "shop.toml").write_text(f'url = "{url}"\n[health]\nliveness = "/health"')


def test_a_gate_that_fails_is_exit_code_1_and_says_which(greenlight, serve, data: Path) -> None:
    target(data, serve(HTML.replace(b"200 OK", b"500 No")))
    only = ("assess", "shop", "--only", "endpoint_health.liveness")
    by_score = greenlight(*only, "--fail-under", "50")
    assert (by_score.returncode, "is under 50" in by_score.stderr) == (1, True)
    by_severity = greenlight(*only, "--fail-on", "P0")
    assert (by_severity.returncode, "endpoint_health.liveness failed" in by_severity.stderr) == (1, True)


def test_a_gate_that_holds_is_exit_code_0(greenlight, serve, data: Path) -> None:
    target(data, serve(HEALTHY))
    result = greenlight(
        "assess", "shop", "--only", "endpoint_health.liveness", "--fail-on", "P1", "--fail-under", "1"
    )
    assert result.returncode == 0, result.stderr


def test_json_on_standard_output_is_nothing_but_json(greenlight, serve, data: Path) -> None:
    target(data, serve(HEALTHY))
    result = greenlight("assess", "shop", "--only", "endpoint_health.liveness", "--json", "-")
    assert json.loads(result.stdout)["target"] == "shop"


def test_a_run_is_kept_shown_exported_and_scored_again(greenlight, serve, data: Path, tmp_path: Path) -> None:
    target(data, serve(HEALTHY))
    assert greenlight("assess", "shop", "--only", "endpoint_health.liveness").returncode == 0
    assert "shop" in greenlight("runs", "list").stdout
    assert "NOT READY" in greenlight("runs", "show", "1").stdout.upper()
    for form in ("json", "markdown", "html", "load-results"):
        exported = greenlight("runs", "export", "1", "--format", form)
        assert (exported.returncode, len(exported.stdout) > 50) == (0, True)
    before = json.loads(greenlight("runs", "export", "1").stdout)["score"]
    text = (paths.ROOT / "data" / "rubric.toml").read_text()
    for check, points in (("liveness", 4), ("primary_route", 0)):
        entry = re.compile(rf'(\[checks\."endpoint_health\.{check}"\][^\[]*?points = )\d+')
        text = entry.sub(rf"\g<1>{points}", text)
    (tmp_path / "other.toml").write_text(text)
    again = greenlight("rescore", "1", "--rubric", str(tmp_path / "other.toml"), "--json", "-")
    assert (before, json.loads(again.stdout)["score"]) == (1.0, 4.0)


def test_a_third_party_check_runs_and_is_scored_without_a_change_to_the_project(
    greenlight, serve, data: Path
) -> None:
    url = serve(HEALTHY.replace(b"20\r\n\r\n", b"36\r\n\r\n").replace(b"}", b',"version":"1.2"}'))
    target(data, url)
    folder = str(paths.ROOT / "tests" / "plugins")
    result = greenlight("assess", "shop", "--only", "house.*", "--json", "-", GREENLIGHT_PLUGINS=folder)
    assert result.returncode == 0, result.stderr
    found = {finding["check"]: finding for finding in json.loads(result.stdout)["findings"]}
    assert found["house.version_stated"]["outcome"] == "pass"
    assert (found["house.version_stated"]["points"], found["house.version_stated"]["earned"]) == (4, 4)
    assert sum(finding["points"] for finding in found.values()) == pytest.approx(100)


def test_a_broken_third_party_check_is_one_message(greenlight, tmp_path: Path) -> None:
    (tmp_path / "plugins" / "mine").mkdir(parents=True)
    (tmp_path / "plugins" / "mine" / "bad.py").write_text("import nowhere_to_be_found")
    result = greenlight("checks", "list", GREENLIGHT_PLUGINS=str(tmp_path / "plugins"))
    assert result.returncode == 2
    assert "bad.py: cannot be imported: ModuleNotFoundError" in one_message(result)


def test_the_readme_shows_the_third_party_check_as_it_is() -> None:
    readme = (paths.ROOT / "README.md").read_text()
    for file in ("house/version_stated.py", "rubric.toml"):
        assert (paths.ROOT / "tests" / "plugins" / file).read_text() in readme

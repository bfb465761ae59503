"""curl_line: what it prints does in a real shell what the request says."""

from __future__ import annotations

import subprocess

import pytest

from checks.contract import Request, curl_line
from tests.checks.scripted import a_target

HOSTILE = 'it\'s "$HOME" `id` $(id) \\ ! 100% \n{"a": "\u00e9"}'


def sent_by(line: str, **environment: str) -> list[bytes]:
    """The words that a shell gives to curl in ``line``, and the body on its standard input, last."""
    program = "curl() { printf '%s\\0' \"$@\"; case $* in *@-) cat;; esac; }\n" + line
    run = subprocess.run(["sh", "-c", program], capture_output=True, check=True, env=environment)
    return run.stdout.split(b"\0")


@pytest.mark.parametrize("body", [b"", b"plain", HOSTILE.encode(), b'\xff\x01%s\\n{"a"'], ids=repr)
def test_a_shell_sends_exactly_the_body(body):
    words = sent_by(curl_line(a_target(), Request("POST", "/api", {}, body)))
    assert words[:4] == [b"-sS", b"-X", b"POST", b"http://127.0.0.1:1/api"]
    assert body == (words[5] if b"--data-raw" in words else words[-1])


def test_a_reference_is_a_variable_that_the_shell_fills_in():
    line = curl_line(a_target(), Request("GET", "/", {"Authorization": "Bearer ${TOKEN}"}))
    assert "${TOKEN}" not in line
    assert b"Authorization: Bearer let-me-in" in sent_by(line, TOKEN="let-me-in")


def test_a_long_body_comes_from_a_command():
    line = curl_line(a_target(), Request("POST", "/api", {}, b"["), stdin="printf '[[['")
    assert sent_by(line)[-1] == b"[[["

"""The bytes that are sent."""

from __future__ import annotations

import json

import pytest
import uvloop

from app.instruments.load.http1.requests import RequestWriter
from checks.contract import InstrumentFailure
from checks.contract.target import Target
from checks.contract.target.service import Ask
from tests.instruments.load.loads import a_target, answers, load
from tests.instruments.servers import scripted


def written(resolve=str, url="http://127.0.0.1:8080/base", prompt="Ask “me”\n{nonce}?", **ask):
    target = Target.model_validate({"url": url, "ask": ask})
    assert isinstance(target.ask, Ask)
    writer = RequestWriter(target, target.ask, resolve)
    request = writer.fill(writer.template(prompt), writer.user(3))
    head, body = request.split(b"\r\n\r\n", 1)
    first, *lines = head.decode().split("\r\n")
    return first, dict(line.split(": ", 1) for line in lines), body


def test_every_placeholder_is_filled_where_it_stands_and_the_length_is_right():
    body = {"m": "{prompt}", "ids": ["{user}", "{session}", "{nonce}"]}
    first, headers, data = written(
        path="/chat?u={user}&q={prompt}", body=body, headers={"X-User": "{user}"}, idempotency_header="Key"
    )
    sent = json.loads(data)
    assert sent["m"] == "Ask “me”\n{nonce}?"
    user, session, nonce = sent["ids"]
    assert first == f"POST /base/chat?u={user}&q=Ask%20%E2%80%9Cme%E2%80%9D%0A%7Bnonce%7D%3F HTTP/1.1"
    assert headers["Content-Length"] == str(len(data))
    assert headers["X-User"] == user
    assert headers["Key"] == nonce != session
    assert headers["Host"] == "127.0.0.1:8080"
    assert headers["Accept-Encoding"] == "identity"
    assert len(nonce) == len(session) == 36


@pytest.mark.parametrize(
    ("url", "host"),
    [("http://example.org", "example.org"), ("https://[::1]:444", "[::1]:444"), ("https://a.b:443", "a.b")],
)
def test_the_host_header_names_a_port_only_where_it_is_not_the_scheme_s_own(url, host):
    assert written(url=url, path="/x")[1]["Host"] == host


def test_declared_headers_win_and_the_length_is_never_a_declared_one():
    _, headers, _ = written(
        path="/x",
        body="hello",
        headers={
            "host": "vhost",
            "accept-encoding": "gzip",
            "content-length": "9999",
            "Transfer-Encoding": "x",
        },
    )
    assert headers["host"] == "vhost"
    assert headers["accept-encoding"] == "gzip"
    assert {"Host", "Accept-Encoding", "Transfer-Encoding", "content-length"}.isdisjoint(headers)
    assert headers["Content-Length"] == "5"


def test_a_get_without_a_body_has_no_length_and_a_post_always_has_one():
    assert "Content-Length" not in written(path="/x", method="GET")[1]
    assert written(path="/x", method="POST")[1]["Content-Length"] == "0"


def test_secrets_are_filled_into_headers_path_and_body_and_escaped_there():
    def resolve(text):
        return {"${TOKEN}": 'a"b', "${ID}": "x/y"}[text]

    first, headers, data = written(
        resolve, path="/c/${ID}", headers={"Authorization": "Bearer ${TOKEN}"}, body='{"k": "${TOKEN}"}'
    )
    assert first.startswith("POST /base/c/x%2Fy ")
    assert headers["Authorization"] == 'Bearer a"b'
    assert json.loads(data) == {"k": 'a"b'}
    assert json.loads(written(resolve, path="/c", body={"k": ["${TOKEN}"]})[2]) == {"k": ['a"b']}


def test_a_reference_in_a_question_is_not_filled():
    def resolve(text):
        raise AssertionError(text)

    assert b"${HOME}" in written(resolve, path="/x", body={"m": "{prompt}"}, prompt="${HOME}")[2]


def test_a_missing_secret_is_told_by_its_name():
    def resolve(text):
        raise InstrumentFailure("no environment variable TOKEN is set", missing="TOKEN")

    with pytest.raises(InstrumentFailure, match="TOKEN"):
        written(resolve, path="/x", headers={"A": "${TOKEN}"})


def test_a_secret_with_a_line_end_is_not_sent_as_a_header():
    with pytest.raises(InstrumentFailure, match="header Authorization holds a control character") as failure:
        written(lambda text: "x\r\nEvil: 1", path="/x", headers={"Authorization": "${TOKEN}"})
    assert "Evil" not in failure.value.reason


def test_a_wild_path_cannot_break_the_request_line():
    assert written(path="/a b\r\nEvil: 1")[0] == "POST /base/a%20bEvil:%201 HTTP/1.1"


def test_a_service_reads_what_was_written():
    async def main():
        async with scripted(answers()) as server:
            await load(a_target(server.url + "/base"), users=1, prompts=["Größe? “x”"])
            return server.visits

    visits = uvloop.run(main())
    assert {(visit.method, visit.path) for visit in visits} == {("POST", "/base/ask")}
    assert {json.loads(visit.body)["message"] for visit in visits} == {"Größe? “x”"}

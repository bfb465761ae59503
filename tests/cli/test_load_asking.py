"""What ``load`` is asked for on the command line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cli.load_asking import (
    AskedError,
    dask_address,
    names_a_request,
    plain_target,
    questions,
    stages,
)
from app.targets import TargetError
from checks.contract.load import Stage


def test_a_rate_is_one_stage_and_neither_rate_nor_stage_is_the_closed_model():
    assert stages([], 50.0, 10.0) == (Stage(10.0, 50.0, 50.0),)
    assert stages([], None, 10.0) == ()


def test_stages_are_a_rate_or_a_ramp_for_some_seconds():
    assert stages(["20:5", "20:100:30"], None, 10.0) == (Stage(5.0, 20.0, 20.0), Stage(30.0, 20.0, 100.0))


@pytest.mark.parametrize(
    "text", ["", "20", "20:5:1:1", "a:5", "20:0", "20:-1", "-1:5", "0:5", "0:0:5", "nan:5", "inf:5", "5:inf"]
)
def test_a_stage_that_makes_no_sense_is_refused_and_quoted(text):
    with pytest.raises(AskedError, match=f"--stage {text}: "):
        stages([text], None, 10.0)


@given(st.text())
def test_any_text_is_a_stage_or_refused(text):
    try:
        found = stages([text], None, 1.0)
    except AskedError:
        return
    assert found[0].duration_s > 0
    assert max(found[0].from_per_s, found[0].to_per_s) > 0


def test_questions_are_one_a_line_and_empty_lines_are_passed_over(tmp_path: Path):
    file = tmp_path / "questions.txt"
    file.write_bytes("\ufeffWhere is my order?\r\n\n  Grüße?  \n".encode())
    assert questions(file) == ("Where is my order?", "Grüße?")


def test_json_lines_have_them_under_the_key_prompt(tmp_path: Path):
    file = tmp_path / "questions.jsonl"
    file.write_text('{"prompt": "One?", "id": 1}\n\n{"prompt": "Two\\nlines?"}\n')
    assert questions(file) == ("One?", "Two\nlines?")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("q.jsonl", b'{"prompt": "One?"}\n{"prompt": 2}\n', 'q.jsonl:2: no text under the key "prompt"'),
        ("q.jsonl", b'{"prompt": "One?"}\n[]\n', 'q.jsonl:2: no text under the key "prompt"'),
        ("q.jsonl", b"{prompt: 1}\n", "q.jsonl:1: not JSON"),
        ("q.jsonl", b"[" * 100_000, "q.jsonl:1: not JSON"),
        ("q.txt", b"One?\n\xff\xfe\n", "q.txt:2: not UTF-8 text"),
        ("q.txt", b"\n \n", "q.txt: holds no question"),
        ("q.txt", b"x" * 100_001, "q.txt:1: a question of more than 100,000 characters"),
        ("q.txt", b"x\n" * 100_001, "q.txt: more than 100,000 questions"),
    ],
)
def test_a_file_of_questions_that_cannot_be_used_is_refused_by_file_and_line(
    tmp_path: Path, name, content, says
):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AskedError, match=says):
        questions(tmp_path / name)


def test_a_file_that_is_not_there_or_has_no_end_is_refused(tmp_path: Path):
    with pytest.raises(AskedError, match=r"--prompts .*nothing.txt: cannot be read: No such file"):
        questions(tmp_path / "nothing.txt")
    with pytest.raises(AskedError, match="--prompts /dev/zero: larger than 64 MiB"):
        questions(Path("/dev/zero"))


@pytest.mark.parametrize(
    ("url", "whether"),
    [
        ("http://127.0.0.1:8080", False),
        ("http://127.0.0.1:8080/", True),
        ("http://127.0.0.1:8080/api", True),
        ("http://127.0.0.1:8080?q=1", True),
    ],
)
def test_a_url_with_a_path_or_a_query_names_a_request(url, whether):
    assert names_a_request(url) is whether


def test_a_url_is_asked_as_it_stands_and_any_2xx_is_good():
    target = plain_target(
        "http://127.0.0.1:8080/api/items?q=a%20b", None, ["Accept: text/html", "X-A:b: c"], None
    )
    assert target.url == "http://127.0.0.1:8080"
    request = target.ask.render()
    assert (request.method, request.url, request.body) == ("GET", "/api/items?q=a%20b", b"")
    assert request.headers == {"Accept": "text/html", "X-A": "b: c"}
    assert {200, 201, 204, 299} <= set(target.ask.good_statuses)


def test_a_body_makes_it_a_post_and_may_be_a_file(tmp_path: Path):
    (tmp_path / "body.json").write_text('{"q": "{prompt}"}')
    by_file = plain_target("http://127.0.0.1/", None, [], f"@{tmp_path}/body.json").ask
    assert (by_file.method, by_file.render(prompt='a "b"').body) == ("POST", b'{"q": "a \\"b\\""}')
    assert plain_target("http://127.0.0.1/", "put", [], "x").ask.method == "PUT"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"headers": ["no colon"]}, "--header 'no colon': give it as"),
        ({"headers": ["a b: c"]}, "'a b' is not a header name"),
        ({"headers": ["A: b\nC: d"]}, "control character"),
        ({"method": "G T"}, "not an HTTP method"),
        ({"method": "head"}, "--method head: the end of its reply cannot be told. Use GET"),
        ({"body": "@/nowhere"}, "--body /nowhere: cannot be read"),
        ({"url": "http://[::1/x"}, "Invalid IPv6 URL"),
        ({"url": "http:///x"}, "not an http"),
    ],
)
def test_a_plain_request_that_cannot_be_is_refused(changes, says):
    asked = {"url": "http://127.0.0.1/", "method": None, "headers": [], "body": None} | changes
    with pytest.raises((AskedError, TargetError), match=says):
        plain_target(**asked)


def test_the_address_of_a_cluster_is_checked(monkeypatch):
    monkeypatch.delenv("GREENLIGHT_DASK", raising=False)
    assert dask_address() is None
    monkeypatch.setenv("GREENLIGHT_DASK", "tcp://127.0.0.1:8786")
    assert dask_address() == "tcp://127.0.0.1:8786"
    monkeypatch.setenv("GREENLIGHT_DASK", "127.0.0.1:8786")
    with pytest.raises(AskedError, match=r"GREENLIGHT_DASK is '127.0.0.1:8786'; give .* tcp://host:port"):
        dask_address()

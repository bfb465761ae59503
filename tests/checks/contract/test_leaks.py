"""What counts as showing too much, and what does not, in replies as frameworks and databases write them."""

from __future__ import annotations

import json
import time

import pytest

from checks.contract import Reply
from checks.contract.leaks import MAX_CHARS, leaks_in

TRACE, DEBUG, SQL = "a stack trace", "a debug page", "SQL"
PATH, NAME = "a path of the server", "the name of an exception in the code"


def kinds(text: str, sent: tuple[str, ...] = ()) -> set[str]:
    return {kind for kind, _ in leaks_in(Reply("", 500, body=text.encode()), sent)}


LEAKS = [
    ('Traceback (most recent call last):\n  File "main.py", line 3, in f', TRACE),
    ("java.lang.NullPointerException\n\tat com.shop.Api.ask(Api.java:41)", TRACE),
    ("TypeError: x\n    at ask (/srv/app/routes/ask.js:12:7)", TRACE),
    ("Error\n    at C:\\shop\\api\\ask.js:12:7", TRACE),
    ("<pre>TypeError: x<br> &nbsp; &nbsp;at Layer.handle (/usr/src/app/index.js:3:9)</pre>", TRACE),
    ("panic: runtime error: index out of range\n\ngoroutine 7 [running]:", TRACE),
    ("thread 'main' panicked at src/main.rs:4", TRACE),
    ("   at Shop.Api.Ask(String q) in D:\\src\\Api.cs:line 41", TRACE),
    ("#0 /var/www/html/index.php(12): ask()", TRACE),
    ("PHP Fatal error:  Uncaught Error", TRACE),
    ("app/models/shop.rb:12:in `find'", TRACE),
    ("<title>KeyError // Werkzeug Debugger</title>", DEBUG),
    ("You&#x27;re seeing this error because you have <code>DEBUG = True</code>", DEBUG),
    ("<h1>Server Error in '/' Application.</h1>", DEBUG),
    ("cannot open /srv/shop/settings.toml", PATH),
    ("no such file: /home/deploy/shop/data", PATH),
    ("/usr/lib/python3.11/json/decoder.py", PATH),
    ("in /app/.venv/lib/python3.11/site-packages/fastapi/routing.py", PATH),
    ("C:\\inetpub\\wwwroot\\shop\\web.config", PATH),
    ("SELECT id FROM shops WHERE token = 'x'", SQL),
    ("SELECT id,\n name\nFROM shops", SQL),
    ('syntax error at or near "\'"', SQL),
    ('near "\'": syntax error', SQL),
    ("You have an error in your SQL syntax; check the manual", SQL),
    ("SQLSTATE[42S22]: Column not found", SQL),
    ("ORA-00933: SQL command not properly ended", SQL),
    ('duplicate key value violates unique constraint "shops_pkey"', SQL),
    ("UNIQUE constraint failed: shops.token", SQL),
    ("sqlalchemy.exc.OperationalError: (x)", NAME),
    ("redis.exceptions.ConnectionError: Error 111", NAME),
    ("com.shop.orders.NotFoundException", NAME),
    ("cannot reach redis://:hunter2@cache:6379/0", "a password in a URL"),
    ("key sk-live-4eC39HqLyjWDarjtT1zdp7dc was refused", "an API key"),
]


@pytest.mark.parametrize(("text", "kind"), LEAKS, ids=[text[:30] for text, _ in LEAKS])
def test_a_leak_is_known_by_its_form_in_a_text_and_inside_json(text, kind):
    assert kind in kinds(text)
    assert kind in kinds(json.dumps({"error": {"details": [text]}}))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Not Found",
        "The request does not have the expected shape.",
        "Value error, must hold something besides white space",
        "Select an option from the list, update it, and delete what you do not need.",
        '{"type": "https://errors.shop.example/ValidationError", "instance": "/app/orders/7"}',
        '{"error": {"type": "invalid_request_error", "code": "model_not_found", "param": "model"}}',
        '{"detail": [{"type": "json_invalid", "loc": ["body", 14], "msg": "JSON decode error", "ctx": {}}]}',
        '{"url": "https://errors.pydantic.dev/2.11/v/json_invalid"}',
        '{"path": "/api/home/orders", "timestamp": "2025-11-24T10:00:00.000+00:00", "error": "Not Found"}',
        "<html><head><title>404 Not Found</title></head><hr><center>nginx/1.18.0</center></html>",
        '<html><script src="/app/main.3f2a.js"></script><link href="/data/style.css"><p>Not here</p></html>',
        "Cannot GET /unknown",
        "Please send application/json; see https://docs.shop.example/home/api/errors.html",
        '{"request_id": "9f0c2a6e5d7b4f1e8f0c2a6e5d7b4f1e"}',
        "The number 3.Error is not one",
    ],
)
def test_ordinary_errors_show_nothing(text):
    assert kinds(text) == set()


def test_an_echo_of_what_was_sent_is_no_leak():
    sent = ("/srv/shop/settings.py", '{"q": "SELECT a FROM b"}', "abc")
    assert kinds("no such path: /srv/shop/settings.py", sent) == set()
    assert kinds(json.dumps({"input": '{"q": "SELECT a FROM b"}'}), sent) == set()
    assert kinds("/srv/shop/other.py", sent) == {PATH}


def test_a_leak_is_told_with_its_place_and_never_with_its_text():
    body = {"detail": "no", "debug": {"frames": [{"file": "/srv/shop/ask.py"}]}}
    assert leaks_in(Reply("", 500, body=json.dumps(body).encode()), ()) == [(PATH, "debug.frames.file")]


@pytest.mark.parametrize(
    "text",
    [
        "at " * 50_000,
        "/srv/" + "a/" * 60_000,
        "/srv/" * 30_000,
        "SELECT " * 20_000,
        "at a(" * 30_000,
        "<" * 200_000,
        "<a" * 100_000,
        "a." * 80_000,
        "a.A" * 60_000,
        "A" * 200_000,
        '{"a":' * 50_000,
        json.dumps(["x" * 50] * 40_000),
        "C:\\" + "a\\" * 60_000,
        "sk-" * 60_000,
        "eyJ-" * 60_000,
        "://:a" * 60_000,
        "UPDATE x" * 60_000,
    ],
    ids=lambda text: text[:6],
)
def test_a_hostile_text_costs_no_time(text):
    began = time.process_time()
    kinds(text)
    assert time.process_time() - began < 1


def test_only_so_much_is_read():
    assert kinds("x" * MAX_CHARS + " /srv/shop/ask.py") == set()

"""What an error reply must not show: how the service is made. Pure.

The forms are those of common languages, frameworks and databases. What was sent is taken out first, since an
echo of it tells nobody anything. Every repetition in a form is bounded: the text is a stranger's.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence

from checks.contract.instruments.http import Reply
from checks.contract.secrets import secret_form

MAX_CHARS = 16_000  # of a reply, in all
MAX_STRINGS = 200
MAX_NODES = 2_000
MAX_PLACE = 60
SHORTEST_ECHO = 3
CODE = (
    r"(?:py|pyc|[cm]?[jt]sx?|java|kt|scala|rb|php|go|rs|cs|cpp|so|dll|jar|conf|cfg|ini|ya?ml|toml|env|sql|sock"
    r"|pem|key|log)"
)
ROOT = r"(?<![\w./:-])/(?:usr|home|var|srv|opt|app|root|etc|tmp|workspace|Users|mnt|data|code|project)"
FORMS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile("|".join(forms)))
    for kind, forms in (
        (
            "a debug page",
            (
                r"Werkzeug Debugger|__debugger__=|re seeing this error because you have|\bDEBUG = True",
                r"Whoops, looks like something went wrong|Action Controller: Exception caught",
                r"Server Error in '/|An unhandled exception occurred while processing the request",
                r"Symfony Exception|laravel-ignition|Starlette Debugger|GraphQL debugger",
            ),
        ),
        (
            "a stack trace",
            (
                r"Traceback \(most recent call last\)|File \"[^\"\n]{1,200}\", line \d",
                r"\bat [\w$.<>/]{1,200}\([\w$]{1,80}\.(?:java|kt|scala|groovy):\d|Exception in thread \"",
                r"\bat (?:[\w.<>\[\] ]{1,100}\()?(?:file://|/|[A-Za-z]:\\)[^\s()]{1,200}:\d{1,6}:\d|node:internal/",
                r"\bgoroutine \d{1,9} \[|panic: runtime error|thread '[^'\n]{1,80}' panicked at",
                r"\bat [\w.`<>\[\]]{1,200}\([^)\n]{0,200}\) in \S{1,200}:line \d",
                r"#\d{1,3} /\S{1,200}\.php\(\d|PHP (?:Fatal|Warning|Notice|Parse) ",
                r"\.rb:\d{1,6}:in [`']|\(elixir \d",
            ),
        ),
        (
            "SQL",
            (
                r"\bSELECT\b[^\x00]{1,300}?\bFROM\b|\b(?:INSERT INTO|DELETE FROM)\b|\bUPDATE \S{1,60} SET\b",
                r"SQLSTATE|\bORA-\d{5}\b|\bPG::[A-Z]\w|syntax error at or near|\": syntax error",
                r"You have an error in your SQL syntax|unterminated quoted string|Unclosed quotation mark",
                r"relation \"\w{1,80}\" does not exist|violates \w{1,20} constraint|constraint failed: ",
                r"no such (?:table|column): ",
            ),
        ),
        (
            "a path of the server",
            (
                rf"{ROOT}/(?:[\w.+@-]{{1,80}}/){{0,20}}[\w+@-]{{0,80}}\.{CODE}\b",
                r"(?<![\w./:-])/(?:usr/(?:lib|local|src)|var/(?:www|lib|log)|home/[\w.-]{1,40}|Users/[\w.-]{1,40})/\w",
                r"\b[A-Za-z]:\\[\w .-]{1,80}\\|(?:site|dist)-packages/|node_modules/",
            ),
        ),
        (
            "the name of an exception in the code",
            (r"\b[a-z_]\w{0,40}(?:\.\w{1,60}){0,8}\.[A-Z]\w{0,60}?(?:Error|Exception)\b",),
        ),
    )
)


def leaks_in(reply: Reply, sent: Sequence[str]) -> list[tuple[str, str]]:
    """What the reply shows and where (a dotted path into its JSON, "" elsewhere), each kind once.

    ``sent`` are the texts of the request.
    """
    echoes = sorted({text for text in sent if len(text) >= SHORTEST_ECHO}, key=len, reverse=True)
    found: dict[str, str] = {}
    for place, text in _texts(reply):
        for echo in echoes:
            text = text.replace(echo, " ")  # noqa: PLW2901 - it is worn down step by step
        for kind in _kinds(text):
            found.setdefault(kind, place)
    return list(found.items())


def _kinds(text: str) -> Iterator[str]:
    for kind, form in FORMS:
        if form.search(text):
            yield kind
    if secret := secret_form(text):
        yield secret


def _texts(reply: Reply) -> Iterator[tuple[str, str]]:
    document = reply.document()
    left = MAX_CHARS
    strings: Iterable[tuple[str, str]] = _strings(document) if document is not None else [("", _plain(reply))]
    for (place, text), _ in zip(strings, range(MAX_STRINGS), strict=False):
        if left <= 0:
            return
        yield place, text[:left]
        left -= len(text)


def _strings(document: object) -> Iterator[tuple[str, str]]:
    queue: list[tuple[str, object]] = [("", document)]
    for place, node in queue:  # grows while it is walked: breadth first
        if len(queue) > MAX_NODES:
            return
        if isinstance(node, dict):
            queue += [(f"{place}.{name}".lstrip(".")[:MAX_PLACE], value) for name, value in node.items()]
        elif isinstance(node, list):
            queue += [(place, value) for value in node]
        elif isinstance(node, str):
            yield place, node


def _plain(reply: Reply) -> str:
    """The text of a page as it is read: without tags, whose addresses are no paths of the server."""
    text = reply.text[: 4 * MAX_CHARS]
    if "<" not in text:
        return text
    return html.unescape(re.sub(r"<[^<>]{0,2000}>", " ", text))

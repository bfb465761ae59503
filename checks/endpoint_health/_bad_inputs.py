"""Inputs that no service should take, made by changing a good request. Pure; private to this family.

Each is derived from the declared request, so it fits a body of any shape. ``invalid`` marks those that are
plainly no request, so that a 2xx for one proves that wrong data is accepted; without a schema that is known
of the question alone, and of what is not JSON at all. The others may be refused or coped with, but not crash.
"""

from __future__ import annotations

import copy
import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from checks.contract import BodyField, Request, at_path

DEPTH = 10_000  # far above any parser's own limit, and below common limits of size
MAX_FIELDS = 12
MAX_DEPTH = 5
RAW = "\ue000raw"  # stands in a document for text that json.dumps would not write
RAW_TEXTS = {
    "1e999": "1e999",
    "NaN": "NaN",
    "-Infinity": "-Infinity",
    "a number of 400 digits": "9" * 400,
    "a lone surrogate": '"\\ud800"',
    "a NUL character": '"\\u0000"',
}
NOT_JSON = ("NaN", "-Infinity")
WRONG_VALUES: Mapping[str, tuple[tuple[str, Any], ...]] = {
    "string": (
        ("an object", {"a": 1}),
        ("a list that holds null", [None]),
        ("a number", 12345),
        ("true", True),
    ),
    "number": (("text", "many"), ("an object", {}), ("a list", [])),
    "integer": (("text", "many"), ("an object", {}), ("a list", [])),
    "boolean": (("text", "perhaps"), ("an object", {}), ("a list", [])),
    "object": (("text", "text"), ("a list", [])),
    "array": (("text", "text"), ("an object", {"a": 1})),
}
EXTREMES: Mapping[str, tuple[tuple[str, Any], ...]] = {
    "string": (("10,000 characters", "x" * 10_000),),
    "number": (("-1", -1), ("10 to the 18th", 10**18)),
}
MAX_LENGTH = 20_000  # of a text that is too long by one character
MAX_ITEMS = 1_000
COERCIBLE = ("a number", "true")  # to text; some frameworks do, so only a schema makes it wrong


@dataclass(frozen=True)
class Case:
    """One bad input. ``stdin`` is a shell command that prints its body, for one too long to be shown."""

    name: str
    request: Request
    invalid: bool
    stdin: str = ""
    heavy: bool = False


def bad_inputs(
    good: Callable[[], Request],
    prompt: str,
    fields: Mapping[str, BodyField],
    taken_methods: frozenset[str] = frozenset(),
) -> Iterator[Case]:
    """All cases for the request that ``good`` makes anew each time; what is most likely to harm comes last.

    ``fields`` is what a schema says of the body, empty where there is none; ``taken_methods`` are operations
    of their own at the same path.
    """
    kind = _content_type(good())
    document = _parsed(good().body)
    yield from _wrong_methods(good, taken_methods)
    if isinstance(document, (dict, list)):
        yield from _JsonCases(good, prompt, fields, document).all()
    elif "x-www-form-urlencoded" in kind:
        yield from _form(good, prompt)
    elif good().body:
        yield Case("an empty body", _with_body(good(), b""), True)
        yield Case("invalid UTF-8", _with_body(good(), b"\xff\xfe\xfa"), False)
    else:
        yield from _query(good, prompt)


class _JsonCases:
    """Changes of a JSON body."""

    def __init__(
        self, good: Callable[[], Request], prompt: str, fields: Mapping[str, BodyField], document: Any
    ) -> None:
        self._good = good
        self._fields = fields
        self._document = document
        self._paths = list(_paths(document))[:MAX_FIELDS]
        asked = [path for path in self._paths if _holds(at_path(document, path), prompt)]
        self._prompt = max(asked, key=len, default="")

    def all(self) -> Iterator[Case]:
        """Every change, the heavy ones last."""
        yield from self._malformed()
        yield from self._bare()
        for path in self._paths:
            yield from self._wrong_types(path)
            yield from self._out_of_range(path)
        yield from self._undeclared()
        yield from self._numbers()
        yield from self._texts()
        yield from self._content_types()
        yield from self._deep()

    def _malformed(self) -> Iterator[Case]:
        body = self._good().body
        for name, changed in (
            ("an empty body", b""),
            ("a body that is no JSON", b"What is your refund policy?"),
            ("JSON cut short", body[:-1]),
            ("JSON with an end too many", body + b"}"),
        ):
            yield Case(name, _with_body(self._good(), changed), True)

    def _bare(self) -> Iterator[Case]:
        other: Any = [] if isinstance(self._document, dict) else {}
        for value in (1, "text", True, None, other):
            yield self._whole(f"a bare {json.dumps(value)} as body", value, True)
        if isinstance(self._document, dict):
            yield self._whole("a list around the body", [self._document], True)
            yield self._whole("an object without a field", {}, bool(self._prompt))

    def _wrong_types(self, path: str) -> Iterator[Case]:
        value, rule = at_path(self._document, path), self._fields.get(path)
        needed = self._leads_to_question(path)
        known = needed or rule is not None
        may_be_null = rule is not None and (rule.nullable or rule.kind == "")
        for name, wrong in WRONG_VALUES.get(rule.kind if rule and rule.kind else _kind(value), ()):
            coerced = name in COERCIBLE and not (rule and rule.kind == "string")
            yield self._put(path, f"{name} as `{path}`", wrong, known and not coerced)
        yield self._put(path, f"null as `{path}`", None, known and not may_be_null)
        yield self._without(path, needed or bool(rule and rule.required))
        if isinstance(value, list):
            item = self._fields.get(f"{path}.0")
            sure = needed or (item is not None and not item.nullable)
            yield self._put(path, f"null inside the list `{path}`", [*value, None], sure)

    def _out_of_range(self, path: str) -> Iterator[Case]:
        """What the schema's limits forbid; without limits, values that few services think of."""
        value, rule = at_path(self._document, path), self._fields.get(path)
        for name, outside in _outside(rule, value) if rule else ():
            yield self._put(path, f"{name} as `{path}`", outside, True)
        for name, extreme in EXTREMES.get(_kind(value), ()) if path != self._prompt else ():
            yield self._put(path, f"{name} as `{path}`", extreme, False)

    def _undeclared(self) -> Iterator[Case]:
        """Optional fields that the schema knows and the declared body leaves out."""
        left_out = [path for path in self._fields if "." not in path and path not in self._paths]
        for path in left_out[:MAX_FIELDS] if isinstance(self._document, dict) else ():
            rule = self._fields[path]
            wrong = WRONG_VALUES.get(rule.kind, ())[:1]
            for name, value in (*wrong, *_outside(rule, None)):
                yield self._put(path, f"{name} as `{path}`", value, True)
            if not rule.nullable:
                yield self._put(path, f"null as `{path}`", None, False)

    def _numbers(self) -> Iterator[Case]:
        numeric = [path for path in self._paths if _kind(at_path(self._document, path)) == "number"]
        for path in numeric or [self._prompt] if self._prompt else numeric:
            for name in ("1e999", "NaN", "-Infinity", "a number of 400 digits"):
                sure = name in NOT_JSON or (path == self._prompt and path in self._fields)
                yield self._put(path, f"{name} as `{path}`", RAW + name, sure)

    def _texts(self) -> Iterator[Case]:
        """Text that parses and cannot be written again, in each field: what one refuses, another may keep."""
        for path in self._paths:
            if isinstance(at_path(self._document, path), str):
                for name in ("a lone surrogate", "a NUL character"):
                    yield self._put(path, f"{name} as `{path}`", RAW + name, False)
                broken = (
                    self._changed(path, RAW).encode().replace(json.dumps(RAW).encode(), b'"\xff\xfe\xfa"')
                )
                yield Case(f"invalid UTF-8 as `{path}`", _with_body(self._good(), broken), True)

    def _content_types(self) -> Iterator[Case]:
        for kind in ("text/plain", "application/xml", "application/json; charset=no-such-charset"):
            yield Case(f"the right body called {kind}", _with_type(self._good(), kind), False)
        xml = _with_body(_with_type(self._good(), "application/xml"), b"<question>What?</question>")
        yield Case("a body of XML", xml, True)

    def _deep(self) -> Iterator[Case]:
        if self._prompt:
            around = self._changed(self._prompt, RAW + "deep").split(json.dumps(RAW + "deep"))
            if len(around) == 2:
                name = f"{DEPTH} nested lists as `{self._prompt}`"
                yield self._nested(name, (around[0], "[", "]", around[1]))
        yield self._nested(f"{DEPTH} nested lists as body", ("", "[", "]", ""))
        yield self._nested(f"{DEPTH} nested objects as body", ("", '{"a":', "}", ""))

    def _nested(self, name: str, parts: tuple[str, str, str, str]) -> Case:
        head, begin, end, tail = parts
        middle = "1" if begin.endswith(":") else ""
        body = head + begin * DEPTH + middle + end * DEPTH + tail
        program = f"print({head!r} + {begin!r} * {DEPTH} + {middle!r} + {end!r} * {DEPTH} + {tail!r}, end='')"
        stdin = f"python3 -c {shlex.quote(program)}"
        return Case(name, _with_body(self._good(), body.encode()), True, stdin, heavy=True)

    def _leads_to_question(self, path: str) -> bool:
        return self._prompt == path or self._prompt.startswith(f"{path}.")

    def _put(self, path: str, name: str, value: Any, invalid: bool) -> Case:
        return Case(name, _with_body(self._good(), _dumped(self._changed(path, value))), invalid)

    def _without(self, path: str, invalid: bool) -> Case:
        changed = copy.deepcopy(self._document)
        holder, last = _holder(changed, path)
        del holder[last]
        return Case(f"no `{path}`", _with_body(self._good(), json.dumps(changed).encode()), invalid)

    def _changed(self, path: str, value: Any) -> str:
        changed = copy.deepcopy(self._document)
        holder, last = _holder(changed, path)
        holder[last] = value
        return json.dumps(changed, ensure_ascii=True)

    def _whole(self, name: str, value: Any, invalid: bool) -> Case:
        return Case(name, _with_body(self._good(), json.dumps(value).encode()), invalid)


def _outside(rule: BodyField, value: Any) -> Iterator[tuple[str, Any]]:
    """Values just outside the bounds that a schema sets, each in words."""
    bounds = rule.bounds
    if rule.kind == "string":
        if bounds.get("maxLength", MAX_LENGTH) < MAX_LENGTH:
            yield f"{bounds['maxLength'] + 1:g} characters", "x" * int(bounds["maxLength"] + 1)
        if bounds.get("minLength", 0) >= 1:
            yield "too short a text", "x" * int(min(bounds["minLength"] - 1, MAX_LENGTH))
        if "enum" in bounds:
            yield "a text that is no choice", "no-such-choice"
    elif rule.kind in ("number", "integer"):
        for limit, exclusive, step in (
            ("minimum", "exclusiveMinimum", -1),
            ("maximum", "exclusiveMaximum", 1),
        ):
            at = bounds.get(limit)
            closed = bounds.get(exclusive)
            if closed is not None and closed is not True and closed is not False:
                yield f"{closed:g}, outside {exclusive}", closed
            elif at is not None:
                outside = at if closed else at + step
                yield f"{outside:g}, outside {limit}", outside
    elif rule.kind == "array" and isinstance(value, list):
        if bounds.get("maxItems", MAX_ITEMS) < MAX_ITEMS and value:
            yield f"{bounds['maxItems'] + 1:g} items", value[:1] * int(bounds["maxItems"] + 1)
        if bounds.get("minItems", 0) >= 1:
            yield "too few items", value[:1] * int(min(bounds["minItems"] - 1, MAX_ITEMS))


def _form(good: Callable[[], Request], prompt: str) -> Iterator[Case]:
    pairs = parse_qsl(good().body.decode("utf-8", "replace"), keep_blank_values=True)
    yield Case("an empty body", _with_body(good(), b""), True)
    for number, (name, value) in enumerate(pairs[:MAX_FIELDS]):
        rest = pairs[:number] + pairs[number + 1 :]
        yield Case(f"no `{name}`", _with_body(good(), urlencode(rest).encode()), prompt in value)
        for what, text in (
            ("invalid UTF-8", "%FF%FE"),
            ("a broken escape", "%ZZ"),
            ("a NUL character", "%00"),
        ):
            body = "&".join(filter(None, (urlencode(rest), f"{quote(name)}={text}")))
            yield Case(f"{what} as `{name}`", _with_body(good(), body.encode()), False)
    yield Case("a body of JSON", _with_body(_with_type(good(), "application/json"), b'{"a": 1}'), True)
    yield Case("a body of XML", _with_body(_with_type(good(), "application/xml"), b"<a>What?</a>"), True)
    yield Case("a form called text/plain", _with_type(good(), "text/plain"), False)


def _query(good: Callable[[], Request], prompt: str) -> Iterator[Case]:
    asked = quote(prompt)
    for what, text in (("no question", ""), ("invalid UTF-8", "%FF%FE"), ("a NUL character", "%00")):
        request = good()
        if asked in request.url:
            yield Case(f"{what} in the path", replace(request, url=request.url.replace(asked, text)), False)


def _wrong_methods(good: Callable[[], Request], taken: frozenset[str]) -> Iterator[Case]:
    """GET, and PATCH without a body: methods that change nothing even where they are operations after all."""
    for method in ("GET", "PATCH"):
        if method not in taken | {good().method}:
            yield Case(f"method {method}", replace(_with_body(good(), b""), method=method), False)


def _dumped(text: str) -> bytes:
    for name, raw in RAW_TEXTS.items():
        text = text.replace(json.dumps(RAW + name), raw)
    return text.encode()


def _paths(node: Any, prefix: str = "", depth: int = 0) -> Iterator[str]:
    if depth < MAX_DEPTH and isinstance(node, (dict, list)):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for name, value in items:
            if str(name) and "." not in str(name):
                yield f"{prefix}{name}"
                yield from _paths(value, f"{prefix}{name}.", depth + 1)


def _holds(value: Any, prompt: str) -> bool:
    return isinstance(value, str) and prompt in value


def _holder(document: Any, path: str) -> tuple[Any, Any]:
    parents, _, last = path.rpartition(".")
    holder = at_path(document, parents) if parents else document
    return holder, int(last) if isinstance(holder, list) else last


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    kinds = ((str, "string"), ((int, float), "number"), (dict, "object"), (list, "array"))
    return next((name for types, name in kinds if isinstance(value, types)), "")


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _content_type(request: Request) -> str:
    return next(
        (value for name, value in request.headers.items() if name.lower() == "content-type"), ""
    ).lower()


def _with_body(request: Request, body: bytes) -> Request:
    return replace(request, body=body)


def _with_type(request: Request, kind: str) -> Request:
    headers = {name: value for name, value in request.headers.items() if name.lower() != "content-type"}
    return replace(request, headers={**headers, "Content-Type": kind})

"""Finds the service's OpenAPI documents (3.0, 3.1, Swagger 2.0; JSON or YAML) and lists their operations.

A document is somebody else's text: it is bounded, nothing in it leads off the target, and what cannot be read
is left out.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from time import monotonic
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from app.instruments.http import HttpProbe
from app.instruments.openapi.contract import deviations, examples
from app.instruments.openapi.fields import body_fields
from app.instruments.openapi.json_text import read_json
from app.instruments.openapi.schemas import Builder, as_dict, as_list, prompt_path
from app.instruments.openapi.yaml_text import read_yaml
from app.instruments.origins import Origin
from checks.contract import (
    Deviation,
    Examples,
    FailureKind,
    InstrumentFailure,
    Operation,
    Reply,
    Request,
    Target,
    Wish,
)

KEPT_BYTES = 30 << 20
MAX_JSON_PARTS = 6_000_000  # commas and brackets; 30 MB of a real document hold about 2 million
MAX_OPERATIONS = 1_000
MAX_DOCUMENTS = 10
MAX_PAGE_CHARS = 1 << 20
MAX_PARAMETERS = 50
MAX_PATH_CHARS = 500
MAX_SUMMARY_CHARS = 200
REQUEST_TIMEOUT_S = 5.0
DOCUMENT_TIMEOUT_S = 15.0  # for a declared one, which may be large and come from afar
SEARCH_TIMEOUT_S = 20.0

# Where frameworks publish one; a service may have several, so all of these are looked at.
DOCUMENTS = (
    "/openapi.json",
    "/swagger.json",
    "/v3/api-docs",
    "/api/openapi.json",
    "/openapi.yaml",
    "/v2/api-docs",
    "/api-docs",
    "/swagger/v1/swagger.json",
)
# Rarer places, looked at while there is none: ASP.NET, Quarkus, Go's swag, Django, Flask, NestJS, Symfony.
RARER = (
    *("/openapi/v1.json", "/q/openapi", "/swagger/doc.json", "/api/schema/", "/apispec_1.json", "/api-json"),
    *(
        "/api/doc.json",
        "/openapi",
        "/openapi.yml",
        "/swagger.yaml",
        "/api/swagger.json",
        "/api/v1/openapi.json",
    ),
    *("/v1/openapi.json", "/docs/openapi.json", "/schema/openapi.json", "/.well-known/openapi.json"),
)
PAGES = (
    *("/docs", "/v3/api-docs/swagger-config", "/swagger-ui/index.html", "/swagger-ui/swagger-initializer.js"),
    *("/redoc", "/api/docs", "/swagger/index.html", "/"),
)
LINK = re.compile(
    r"""(?:\burl["']?\s*[:=]|spec-url\s*=|href\s*=)\s*["']([^"'<>\s]{1,500})["']""", re.IGNORECASE
)
LINK_HEADER = re.compile(r"""<([^<>\s]{1,500})>[^,]{0,200}\brel="?[\w ]{0,50}service-desc""")  # RFC 8631
DOCUMENT_HINT = re.compile(r"(?i)openapi|swagger|api-docs|\.json|\.ya?ml")
METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
STREAM_HINT = re.compile(r"(?i)(?:\b|_)(?:stream(?:ing)?|sse|events?)(?:\b|_)")
SAFE_PATH = re.compile(r"/[\x21-\x7e]*")


class OpenApiDocuments:
    """Looks where the target says, else where frameworks publish a document, else on pages that link to one.

    What was found is read once.
    """

    def __init__(self, target: Target, http: HttpProbe) -> None:
        self._target = target
        self._http = http
        self._found: dict[tuple[str, str], tuple[Mapping[str, Any], Operation]] | None = None
        self._seen: dict[str, int] = {}  # places looked at, with their status; 0: no reply
        self._room = KEPT_BYTES  # for all documents together
        self._unread: list[str] = []  # what is there and cannot be read, in words

    async def operations(self) -> list[Operation]:
        """All operations of all documents found, at most MAX_OPERATIONS.

        Raises InstrumentFailure where there is no document (``missing`` then names the key that says where
        it is, or what opens it), or the service cannot be reached.
        """
        if self._found is None:
            found: dict[tuple[str, str], tuple[Mapping[str, Any], Operation]] = {}
            for document in await self._documents():
                for operation in operations_of(document):
                    if len(found) == MAX_OPERATIONS:
                        break
                    found.setdefault((operation.method, operation.path), (document, operation))
            self._found = found
        return [operation for _, operation in self._found.values()]

    async def examples(self, wishes: Sequence[Wish], *, seed: int) -> Examples:
        """Requests made by the schemas of operations that ``operations`` gave. Raises InstrumentFailure."""
        return await examples(self._by_document([wish.operation for wish in wishes]), wishes, seed)

    async def deviations(
        self, replies: Sequence[tuple[Operation, Reply]]
    ) -> list[tuple[Deviation, ...] | None]:
        """In which way each reply is not as its operation declares. Raises InstrumentFailure."""
        return await deviations(self._by_document([operation for operation, _ in replies]), replies)

    def _by_document(self, operations: Sequence[Operation]) -> list[tuple[Mapping[str, Any], str, list[int]]]:
        """Each document with its base path, and which of ``operations`` (by position) are its own."""
        grouped: dict[int, tuple[Mapping[str, Any], str, list[int]]] = {}
        for position, operation in enumerate(operations):
            document, _ = (self._found or {})[operation.method, operation.path]
            group = grouped.setdefault(id(document), (document, _base_path(document), []))
            group[2].append(position)
        return list(grouped.values())

    async def _documents(self) -> list[Mapping[str, Any]]:
        end = monotonic() + SEARCH_TIMEOUT_S
        declared = self._target.openapi.document if self._target.openapi else None
        if declared:
            found = [document async for document in self._at((declared,), end)]
        else:
            found = [document async for document in self._at(DOCUMENTS, end)]
            found = found or [document async for document in self._at(RARER, end)]
            found = found or await self._linked(end)
        if not found:
            raise self._none(declared)
        return found

    async def _at(self, places: Sequence[str], end: float) -> AsyncIterator[Mapping[str, Any]]:
        for place in places:
            reply = await self._get(place, end)
            document = self._read(reply) if reply else None
            if document is not None:
                yield document

    async def _linked(self, end: float) -> list[Mapping[str, Any]]:
        for page in PAGES:
            reply = await self._get(page, end)
            links = list(self._links(reply)) if reply else []
            found = [document async for document in self._at(links, end)]
            if found:
                return found
        return []

    async def _get(self, place: str, end: float) -> Reply | None:
        """The reply with status 200 at a place not yet seen, or None."""
        url = self._target.absolute(place)
        left_s = end - monotonic()
        if url in self._seen or left_s <= 0:
            return None
        declared = self._target.openapi
        headers = declared.headers if declared else {}
        timeout_s = DOCUMENT_TIMEOUT_S if declared and place == declared.document else REQUEST_TIMEOUT_S
        reply = await self._http.send(Request("GET", url, headers), timeout_s=min(timeout_s, left_s))
        self._seen[url] = 0 if reply.failure else reply.status or 0
        if reply.failure is not None and reply.failure.kind is FailureKind.REFUSED:
            raise InstrumentFailure(f"The service cannot be reached: {reply.failure.detail}.")
        await asyncio.sleep(0)  # parsing what came holds the loop up, so let a cancellation in between
        return reply if reply.status == 200 and reply.failure is None else None

    def _read(self, reply: Reply) -> Mapping[str, Any] | None:
        if len(reply.body) > self._room:
            return None  # with what was read it is too much to keep; the first ones are the likeliest
        document, problem = read_document(reply)
        self._room -= len(reply.body) if document is not None else 0
        if problem:
            self._unread.append(f"{urlsplit(reply.url).path[:100]} {problem}")
        return document

    def _links(self, page: Reply) -> Iterator[str]:
        """Links of a documentation page, within the target, that may lead to a document."""
        named = LINK_HEADER.findall(page.headers.get("link", ""))
        links = dict.fromkeys(LINK.findall(page.text[:MAX_PAGE_CHARS]))
        likely = [*named, *(link for link in links if DOCUMENT_HINT.search(link))]
        for link in likely[:MAX_DOCUMENTS]:
            try:
                url = urljoin(page.url, link)
                if Origin.of(url) == Origin.of(self._target.url):
                    yield url
            except (ValueError, InstrumentFailure):  # a link that is no URL leads nowhere
                continue

    def _none(self, declared: str | None) -> InstrumentFailure:
        if self._unread:
            return InstrumentFailure(
                f"No OpenAPI document can be read: {self._unread[0]}.", missing="openapi.document"
            )
        closed = [url for url, status in self._seen.items() if status in (401, 403)]
        if closed:
            return InstrumentFailure(
                f"{urlsplit(closed[0]).path} asks for a credential. Add it as `[openapi] headers`.",
                missing="openapi.headers",
            )
        silent = [url for url, status in self._seen.items() if status in (0, 429) or status >= 500]
        if silent:  # what is not found so proves nothing
            return InstrumentFailure(
                f"No OpenAPI document was found, but {urlsplit(silent[0]).path} and {len(silent) - 1} other "
                "places gave no reply of their own (none in time, a redirect elsewhere, 429, a server error)."
            )
        if declared:
            status = self._seen.get(self._target.absolute(declared)) or "no reply"
            where = f"at {declared}, which `[openapi] document` names ({status})"
        else:
            more = f"{len(self._seen) - 3} other usual places"
            where = f"at {', '.join(DOCUMENTS[:3])}, {more} or linked from a /docs page"
        return InstrumentFailure(f"No OpenAPI document was found {where}.", missing="openapi.document")


def read_document(reply: Reply) -> tuple[Mapping[str, Any] | None, str]:
    """The OpenAPI document that a reply holds, or None and why: "" where it does not look like one at all."""
    start = reply.body.lstrip()[:1]
    if reply.truncated:
        return None, f"is larger than {KEPT_BYTES >> 20} MB"
    if b"paths" not in reply.body or start == b"<":
        return None, ""
    try:
        parsed = _json(reply) if start in b"{[" else read_yaml(reply.text)
    except ValueError as error:
        return None, f"cannot be read ({' '.join(str(error).split())[:100]})"
    return _sound(parsed) if isinstance(parsed, dict) else (None, "")


def _json(reply: Reply) -> object:
    body = reply.body
    if body.count(b",") + body.count(b"[") + body.count(b"{") > MAX_JSON_PARTS:
        raise ValueError("more parts than any document needs")
    try:
        return read_json(body)
    except ValueError as error:
        raise ValueError("not sound JSON") from error


def _sound(parsed: dict[str, Any]) -> tuple[Mapping[str, Any] | None, str]:
    version = str(parsed.get("openapi") or parsed.get("swagger") or "")
    if not version:
        return None, ""
    if not version.startswith(("2.", "3.")):
        return None, f"is of version {version[:20]!a}, not 2.0, 3.0 or 3.1"
    return (parsed, "") if isinstance(parsed.get("paths"), dict) else (None, "has no `paths`")


def operations_of(document: Mapping[str, Any]) -> Iterator[Operation]:
    """The operations of one document, with paths that can be sent as they stand."""
    builder = Builder(document)
    base = _base_path(document)
    for path, item in as_dict(document.get("paths")).items():
        if not isinstance(path, str) or len(path) > MAX_PATH_CHARS or not SAFE_PATH.fullmatch(path):
            continue
        entry = builder.resolved(item)
        for method in METHODS:
            if isinstance(entry.get(method), dict):
                yield _operation(builder, base + path, method, entry)


def _operation(builder: Builder, path: str, method: str, item: Mapping[str, Any]) -> Operation:
    operation = as_dict(item[method])
    parameters = [
        builder.resolved(parameter)
        for owner in (item, operation)
        for parameter in as_list(owner.get("parameters"))[:MAX_PARAMETERS]
    ]
    content_type, body = builder.body(operation, parameters)
    name = f"{path} {operation.get('operationId', '')} {operation.get('summary', '')}"
    summary = str(operation.get("summary") or operation.get("operationId") or "")
    return Operation(
        method=method.upper(),
        path=_filled_path(builder, path, parameters),
        template=path,
        summary="".join(character for character in summary if character.isprintable())[:MAX_SUMMARY_CHARS],
        body=body,
        content_type=content_type,
        streams=_event_stream(builder, operation) or bool(STREAM_HINT.search(name)),
        prompt_field=prompt_path(body),
        fields=body_fields(builder, operation, parameters),
    )


def _base_path(document: Mapping[str, Any]) -> str:
    """The path that all paths stand under. Of a server only its path counts: its host may be another."""
    servers = as_list(document.get("servers"))
    if servers:
        server = as_dict(servers[0])
        url = str(server.get("url") or "")
        for name, variable in as_dict(server.get("variables")).items():
            url = url.replace(f"{{{name}}}", str(as_dict(variable).get("default", "")))
    else:
        url = str(document.get("basePath") or "")
    try:
        path = urlsplit(url).path.rstrip("/")
    except ValueError:
        return ""
    path = path if path.startswith("/") or not path else "/" + path
    return path if SAFE_PATH.fullmatch(path) and "{" not in path and len(path) <= MAX_PATH_CHARS else ""


def _filled_path(builder: Builder, path: str, parameters: list[Mapping[str, Any]]) -> str:
    """``path`` with its parameters filled in, and the query parameters that are required."""
    query = []
    for parameter in parameters:
        name, where = str(parameter.get("name", "")), parameter.get("in")
        if where == "path":
            path = path.replace(f"{{{name}}}", quote(str(builder.parameter(parameter)), safe=""))
        elif where == "query" and parameter.get("required") is True:
            query.append(f"{quote(name, safe='')}={quote(str(builder.parameter(parameter)), safe='')}")
    path = re.sub(r"\{[^{}/]*\}", "1", path)
    return f"{path}?{'&'.join(query)}" if query else path


def _event_stream(builder: Builder, operation: Mapping[str, Any]) -> bool:
    kinds = list(as_list(operation.get("produces", builder.document.get("produces"))))
    for response in as_dict(operation.get("responses")).values():
        kinds += list(as_dict(builder.resolved(response).get("content")))
    return any(str(kind).lower().startswith("text/event-stream") for kind in kinds)

"""Finds the service's OpenAPI documents (3.0, 3.1, Swagger 2.0; JSON or YAML) and lists their operations.

A document is somebody else's text: it is bounded, nothing in it leads off the target, and what cannot be read
is left out.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from time import monotonic
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import yaml

from app.instruments.http import HttpProbe
from app.instruments.openapi.fields import body_fields
from app.instruments.openapi.schemas import Builder, as_dict, as_list, prompt_path
from app.instruments.origins import Origin
from checks.contract import FailureKind, InstrumentFailure, Operation, Reply, Request, Target

KEPT_BYTES = 30 << 20
YAML_BYTES = 5 << 20  # some seconds of parsing; larger documents come as JSON
MAX_YAML_DEPTH = 100  # libyaml's loader follows deep nesting down the C stack until the process dies
MAX_OPERATIONS = 1_000
MAX_DOCUMENTS = 10
MAX_PAGE_CHARS = 1 << 20
MAX_PARAMETERS = 50
MAX_PATH_CHARS = 500
MAX_SUMMARY_CHARS = 200
REQUEST_TIMEOUT_S = 5.0
SEARCH_TIMEOUT_S = 20.0

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
PAGES = ("/docs", "/v3/api-docs/swagger-config", "/swagger-ui/index.html", "/redoc", "/api/docs", "/")
LINK = re.compile(
    r"""(?:\burl["']?\s*[:=]|spec-url\s*=|href\s*=)\s*["']([^"'<>\s]{1,500})["']""", re.IGNORECASE
)
DOCUMENT_HINT = re.compile(r"(?i)openapi|swagger|api-docs|\.json|\.ya?ml")
METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
STREAM_HINT = re.compile(r"(?i)(?:\b|_)(?:stream(?:ing)?|sse|events?)(?:\b|_)")
SAFE_PATH = re.compile(r"/[\x21-\x7e]*")


class OpenApiDocuments:
    """Looks where frameworks publish their document, then on documentation pages that link to one."""

    def __init__(self, target: Target, http: HttpProbe) -> None:
        self._target = target
        self._http = http

    async def operations(self) -> list[Operation]:
        """All operations of all documents found, at most MAX_OPERATIONS.

        Raises InstrumentFailure where there is no document, or the service cannot be reached.
        """
        documents = await self._documents()
        found: dict[tuple[str, str], Operation] = {}
        for document in documents:
            for operation in operations_of(document):
                if len(found) == MAX_OPERATIONS:
                    break
                found.setdefault((operation.method, operation.path), operation)
        if not documents:
            places = ", ".join(DOCUMENTS[:3])
            raise InstrumentFailure(f"No OpenAPI document was found at {places} or linked from a /docs page.")
        return list(found.values())

    async def _documents(self) -> list[Mapping[str, Any]]:
        end = monotonic() + SEARCH_TIMEOUT_S
        documents = []
        seen: set[str] = set()
        for place in DOCUMENTS:
            document = document_of(await self._get(place, seen, end))
            if document is not None:
                documents.append(document)
        if documents:
            return documents
        for page in PAGES:
            reply = await self._get(page, seen, end)
            for url in self._links(reply) if reply else ():
                document = document_of(await self._get(url, seen, end))
                if document is not None:
                    documents.append(document)
            if documents:
                break
        return documents

    async def _get(self, place: str, seen: set[str], end: float) -> Reply | None:
        """The reply with status 200 at a place not yet seen, or None."""
        url = self._target.absolute(place)
        left_s = end - monotonic()
        if url in seen or left_s <= 0:
            return None
        seen.add(url)
        reply = await self._http.send(Request("GET", url), timeout_s=min(REQUEST_TIMEOUT_S, left_s))
        if reply.failure is not None and reply.failure.kind is FailureKind.REFUSED:
            raise InstrumentFailure(f"The service cannot be reached: {reply.failure.detail}.")
        await asyncio.sleep(0)  # parsing what came holds the loop up, so let a cancellation in between
        return reply if reply.status == 200 and reply.failure is None else None

    def _links(self, page: Reply) -> Iterator[str]:
        """Links of a documentation page, within the target, that may lead to a document."""
        links = dict.fromkeys(LINK.findall(page.text[:MAX_PAGE_CHARS]))
        likely = [link for link in links if DOCUMENT_HINT.search(link)]
        for link in likely[:MAX_DOCUMENTS]:
            try:
                url = urljoin(page.url, link)
                if Origin.of(url) == Origin.of(self._target.url):
                    yield url
            except (ValueError, InstrumentFailure):  # a link that is no URL leads nowhere
                continue


def document_of(reply: Reply | None) -> Mapping[str, Any] | None:
    """The OpenAPI document that a reply holds, or None."""
    if reply is None or reply.truncated:
        return None
    parsed = reply.document()
    if parsed is None and len(reply.body) <= YAML_BYTES and b"paths" in reply.body:
        parsed = _yaml(reply.text)
    if not isinstance(parsed, dict) or not isinstance(parsed.get("paths"), dict):
        return None
    version = str(parsed.get("openapi") or parsed.get("swagger") or "")
    return parsed if version.startswith(("2.", "3.")) else None


class _PlainLoader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]  # either
    """Safe YAML without merge keys, with which a few lines can grow to gigabytes."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Leave ``<<`` as an ordinary key."""
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                key.tag = "tag:yaml.org,2002:str"


def _yaml(text: str) -> object:
    depth = 0
    try:
        for event in yaml.parse(text, _PlainLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_YAML_DEPTH:
                return None
        return yaml.load(text, _PlainLoader)  # noqa: S506 - derived from a safe loader
    except (yaml.YAMLError, ValueError, LookupError, TypeError, RecursionError):
        return None


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

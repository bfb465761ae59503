"""The HTTP API of a server of the team's monitoring: base path, credentials, TLS, and typed, bounded replies.

Prometheus, Alertmanager and Grafana differ in paths and models; how they are asked, and what is said where
they cannot be read, is the same and stands here.
"""

from __future__ import annotations

import base64
import json
import math
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Self, TypeVar
from urllib.parse import quote, urlencode

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from app.instruments.failures import in_words, one_line
from app.instruments.http import HttpProbe
from app.instruments.origins import Origin
from app.instruments.references import References, names_in
from app.instruments.wire import Wire
from checks.contract import FailureKind, InstrumentFailure, Reply, Request, ServerDown
from checks.contract.target.monitoring import Server

KEPT_BYTES = 16 << 20  # a server of a thousand teams has rules of about 10 MB
TIMEOUT_S = 10.0
MAX_QUOTED_CHARS = 300
HTML = (b"<!doctype", b"<html")
NOBODY_THERE = frozenset((502, 503, 504))  # what a proxy answers in its place


class Read(BaseModel):
    """What is read of a reply; all else in it is ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


AnyRead = TypeVar("AnyRead", bound=BaseModel)


def _number(value: object) -> float:
    """A number as a JSON number or as a text (``NaN``, ``+Inf``)."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError("is no number")  # noqa: TRY004 - pydantic collects ValueErrors
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError("is beyond all numbers") from error


def _finite(value: object) -> float:
    number = _number(value)
    if not math.isfinite(number):
        raise ValueError("is no finite number")
    return number


def _moment(value: object) -> float:
    """Seconds since the epoch of a time in RFC 3339; 0 for the zero time of Go, which means never."""
    if not isinstance(value, str):
        raise ValueError("is no time")  # noqa: TRY004 - pydantic collects ValueErrors
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError("is a time without a zone")
    return moment.timestamp() if moment.year > 1 else 0.0


def _list(value: object) -> object:
    """Go writes an empty list as null."""
    return () if value is None else value


def _table(value: object) -> object:
    return {} if value is None else value


Number = Annotated[float, BeforeValidator(_number)]
Finite = Annotated[float, BeforeValidator(_finite)]
Moment = Annotated[float, BeforeValidator(_moment)]
Labels = Annotated[dict[str, str], BeforeValidator(_table)]
OrEmpty = BeforeValidator(_list)


@dataclass(frozen=True, slots=True)
class Place:
    """Which server is meant: its ``name`` for people, its ``table`` in the target file, its address."""

    name: str
    table: str
    url: str

    def down(self, what: str) -> ServerDown:
        """The same where the server gives no reply, whatever the target file says."""
        return ServerDown(f"{self.name} {self.url} {what}.")

    def failed(self, what: str, remedy: str = "", *, missing: str | None = None) -> InstrumentFailure:
        """``Prometheus http://...: <what>. <remedy>``; ``missing`` is a key of the server's table."""
        sentence = f"{self.name} {self.url} {what}."
        key = f"{self.table}.{missing}" if missing else None
        return InstrumentFailure(f"{sentence} {remedy}".rstrip(), missing=key)


class ServerApi:
    """One declared server. Use it within ``async with``, which closes its connections.

    Nothing is sent anywhere else, and none of the target's other secrets is known here. Only reading
    methods are sent, unless ``may_post``.
    """

    def __init__(
        self,
        name: str,
        table: str,
        declared: Server | None,
        references: References,
        *,
        until: float = math.inf,
        may_post: bool = False,
    ) -> None:
        self.place = Place(name, table, declared.url if declared else "")
        self._declared = declared
        self._references = references
        self._until = until
        self._refusal = None if may_post else InstrumentFailure(f"{name} is only read.")
        self._wire: Wire | None = None
        self._headers: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._wire is not None:
            await self._wire.__aexit__(*exception)

    async def get(
        self, kind: type[AnyRead], path: str, query: Mapping[str, str | Sequence[str]] | None = None
    ) -> AnyRead:
        """The JSON at ``path`` below the server's base path. Raises InstrumentFailure for anything else."""
        return self.parsed(kind, await self.reply(path, query), path)

    async def text(self, path: str) -> Reply:
        """The reply at ``path``, of status 200 and in whole. Raises InstrumentFailure for anything else."""
        reply = await self.reply(path, accept="*/*")
        if reply.status != 200:
            raise self.refused(reply, path)
        return reply

    async def reply(
        self, path: str, query: Mapping[str, str | Sequence[str]] | None = None, accept: str | None = None
    ) -> Reply:
        """Whatever it replies, in whole. Raises InstrumentFailure where there is no whole reply."""
        url = f"{path}?{urlencode(query, doseq=True)}" if query else path
        return await self._whole(Request("GET", url, {"Accept": accept or "application/json"}), path)

    async def post(self, path: str, document: object) -> Reply:
        """The reply to a POST of JSON, in whole. Raises InstrumentFailure where there is none.

        What looks like a reference in ``document`` came from the server, and gets no value.
        """
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        body = json.dumps(document).replace("${", "\\u0024{")
        return await self._whole(Request("POST", path, headers, body.encode()), path)

    def parsed(self, kind: type[AnyRead], reply: Reply, path: str) -> AnyRead:
        """The body of a good reply as ``kind``. Raises InstrumentFailure for any other."""
        if reply.status != 200 or _is_page(reply):
            raise self.refused(reply, path)
        try:
            return kind.model_validate_json(reply.body)
        except ValidationError as error:
            raise self.place.failed(
                f"answers {path} with what its API does not say: {_first_fault(error)}",
                f"Is {self.place.table}.url that of {self.place.name}?",
                missing="url",
            ) from error

    def refused(self, reply: Reply, path: str) -> InstrumentFailure:
        """Why a whole reply is not what was asked for, and what to change."""
        place, table = self.place, self.place.table
        if reply.status in (401, 403):
            what = "asks for a credential" if reply.status == 401 else "refuses this credential"
            remedy = (
                f'Add `[{table}] headers` (Authorization = "Bearer ${{NAME}}"), or `username` and '
                "`password`, of somebody who may read it."
            )
            return place.failed(f"{what} ({reply.status} for {path})", remedy, missing="headers")
        if reply.status == 404:
            remedy = f"Correct `[{table}] url`: it may need the path that is in front of its API."
            return place.failed(f"has no {path} (404)", remedy, missing="url")
        if _is_page(reply):
            remedy = f"Correct `[{table}] url`, or add `[{table}] headers`, where the page is a login's."
            return place.failed(f"answers {path} with a web page, not with JSON", remedy, missing="url")
        said = one_line(reply.text, MAX_QUOTED_CHARS)
        what = f"answers {path} with status {reply.status}{f': {said}' if said else ''}"
        return place.down(what) if reply.status in NOBODY_THERE else place.failed(what)

    async def _whole(self, request: Request, path: str) -> Reply:
        wire = self._opened()
        sent = replace(request, headers={**request.headers, **self._headers})
        reply = await HttpProbe(wire, kept_bytes=KEPT_BYTES).send(sent, timeout_s=TIMEOUT_S)
        if reply.failure is not None:
            if reply.failure.kind is FailureKind.REDIRECT:
                table = self.place.table
                raise self.place.failed(
                    f"sends us away from {path}: it {one_line(reply.failure.detail)}",
                    f"Correct `[{table}] url`, or add `[{table}] headers`, where that is a login.",
                    missing="url",
                )
            if reply.failure.kind is FailureKind.TLS:
                raise self.place.failed(
                    f"cannot be trusted: {one_line(reply.failure.detail)}",
                    f"Give the certificate of its authority as `[{self.place.table}] ca_file`.",
                    missing="ca_file",
                )
            raise self.place.down(f"cannot be read: {one_line(reply.failure.detail)}")
        if reply.truncated:
            raise self.place.failed(f"answers {path} with more than {KEPT_BYTES >> 20} MiB")
        return reply

    def _opened(self) -> Wire:
        """The wire to it, made when something is first asked: the server may be optional to a check."""
        if self._wire is not None:
            return self._wire
        declared, table = self._declared, self.place.table
        if declared is None:
            raise InstrumentFailure(
                f"No {self.place.name} is declared. Add `[{table}] url` to the target file.",
                missing=f"{table}.url",
            )
        texts = (*declared.headers.values(), declared.username or "", declared.password or "")
        self._headers = dict(declared.headers)
        if declared.username is not None and declared.password is not None:
            self._headers["Authorization"] = self._basic(declared.username, declared.password)
        self._wire = Wire(
            declared.url,
            {Origin.of(declared.url): names_in(*texts)},
            self._references,
            lambda _origin: self._refusal,
            until=self._until,
            tls=self._trusted(declared.ca_file),
        )
        return self._wire

    def _basic(self, username: str, password: str) -> str:
        """The header's value, by a reference of its own: what is made of a secret is hidden as it is."""
        pair = f"{self._references.resolve(username)}:{self._references.resolve(password)}"
        made, [name, *_] = f"GREENLIGHT_BASIC_{self.place.table.upper()}", sorted(names_in(password))
        self._references.made(made, base64.b64encode(pair.encode()).decode(), of=name)
        return f"Basic ${{{made}}}"

    def _trusted(self, ca_file: str | None) -> ssl.SSLContext | None:
        if ca_file is None:
            return None
        try:
            return ssl.create_default_context(cafile=ca_file)
        except (OSError, ValueError) as error:
            raise self.place.failed(
                f"cannot be asked: the certificate {ca_file} cannot be read: {in_words(error)}",
                f"Correct `[{self.place.table}] ca_file`.",
                missing="ca_file",
            ) from error


def path_part(text: str) -> str:
    """``text`` as one part of a path, whatever it holds."""
    return quote(text, safe="")


def _is_page(reply: Reply) -> bool:
    kind = reply.headers.get("content-type", "")
    return "html" in kind or reply.body[:100].lstrip().lower().startswith(HTML)


def _first_fault(error: ValidationError) -> str:
    [first, *_] = error.errors(include_url=False, include_context=False, include_input=False)
    where = ".".join(str(part) for part in first["loc"])[:MAX_QUOTED_CHARS]
    return one_line(f"{where}: {first['msg']}" if where else first["msg"], MAX_QUOTED_CHARS)


def texts_in(value: object) -> tuple[str, ...]:
    """The texts of a list that YAML gave; nothing where it is none."""
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()

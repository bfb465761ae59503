"""Looks at a service: sends requests to what may be there, and keeps what answered and why."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Iterable, Mapping
from random import Random
from typing import Any
from urllib.parse import urlsplit

from app import targets
from app.discovery import arriving, candidates, reading
from app.discovery.arriving import DiscoveryError, Say
from app.discovery.cleaning import remark
from app.discovery.found import Discovery
from app.discovery.sending import Sender
from app.instruments.http import HttpProbe
from app.instruments.openapi import KEPT_BYTES, OpenApiDocuments
from app.instruments.origins import Origin, declared_origins
from app.instruments.policy import Policy
from app.instruments.prompts import RunPrompts
from app.instruments.references import References, names_in
from app.instruments.wire import Wire
from checks.contract import InstrumentFailure, Operation, Reply, Target, plural, printable
from checks.contract.target.auth import REFERENCE
from checks.contract.target.calls import HEADER_NAME

MAX_TRIED = 5  # operations that are asked, and streams
MAX_NAMED = 8  # routes that are listed by name
MAX_BODIES = 10  # that are tried at one guessed route
ASKED_FOR_KEY = (401, 403)
NOT_THERE = (404, 405, 410, 501)
SECRET_HEADERS = ("authorization", "cookie", "key", "token", "secret")


def discover(url: str, within_s: float | None = None) -> Target:
    """Look at ``url`` and return a target of what was found; what is a guess is listed in ``guessed``.

    Sends GET requests, and a question to routes that look like chat; routes that look as if they change
    something are left alone. Off loopback only an allow-listed host is sent questions. Raises TimeoutError
    where it takes longer than ``within_s``.
    """
    return asyncio.run(_looked(url, {}, lambda _: None, within_s, first_look=False)).target


def explore(url: str, headers: Mapping[str, str], say: Say, within_s: float | None = None) -> Discovery:
    """The same with all that was learnt; ``say`` hears how it goes, ``headers`` go with each question.

    Raises DiscoveryError where nothing that speaks HTTP answers at ``url`` itself.
    """
    _checked(headers)
    return asyncio.run(_looked(url, headers, lambda text: say(printable(text)), within_s, first_look=True))


def _checked(headers: Mapping[str, str]) -> None:
    """Raises DiscoveryError for a header that cannot be sent, and for a secret that would reach the file."""
    for name, value in headers.items():
        if not HEADER_NAME.match(name) or not (value.isascii() and value.isprintable()):
            raise DiscoveryError(
                f"The header {remark(name)!r} cannot be sent: see its name and its characters."
            )
        if any(word in name.lower() for word in SECRET_HEADERS) and not REFERENCE.search(value):
            raise DiscoveryError(
                f"The header {name} looks like a secret, and a target file holds none. Set an environment "
                f"variable and refer to it: -H '{name}: ${{NAME}}'."
            )
        for variable in names_in(value) - os.environ.keys():
            raise DiscoveryError(f"The header {name} refers to {variable}, and no such variable is set.")


async def _looked(
    url: str, headers: Mapping[str, str], say: Say, within_s: float | None, *, first_look: bool
) -> Discovery:
    bare = targets.validated({"url": url}, source=url, key=targets.url_key(url))
    policy = Policy.from_environment(os.environ, faults=False)
    origins = {**declared_origins(bare), Origin.of(url): names_in(*headers.values())}
    wire = Wire(url, origins, References(os.environ), policy.refusal)
    async with asyncio.timeout(within_s), wire:
        if first_look:
            await arriving.first_look(url, HttpProbe(wire), say)
        return await _Explorer(bare, wire, dict(headers), say).found()


class _Explorer:
    """One look: collects tables of the target file in ``_tables``, and where they come from in ``_why``."""

    def __init__(self, bare: Target, wire: Wire, headers: dict[str, str], say: Say) -> None:
        self._bare = bare
        self._wire = wire
        self._headers = headers
        self._say = say
        self._sender = Sender(wire, headers, say)
        self._prompts = RunPrompts(bare.prompts.repeat, Random())
        self._tables: dict[str, dict[str, Any]] = {}
        self._why: dict[str, str] = {}
        self._aside: list[str] = []

    async def found(self) -> Discovery:
        """Look at everything once."""
        nowhere = f"/greenlight-looks-{secrets.token_hex(6)}"
        nothing = await self._sender.get(nowhere)
        operations = await self._operations()
        await self._health(operations, nothing)
        if not await self._openai(operations, nothing):
            await self._business(operations, nowhere)
        await self._meters()
        if self._sender.refused:
            self._aside.append(f"No question was sent: {self._sender.refused}")
        self._missing()
        document = {"url": self._bare.url, **self._tables, "guessed": tuple(self._why)}
        target = targets.validated(document, source=self._bare.url, key=self._bare.key)
        return Discovery(target, self._why, tuple(self._aside))

    def _missing(self) -> None:
        for name, what in (("ask", "business request"), ("health", "health route")):
            if name not in self._tables:
                self._say(f"No {what} was found: add `[{name}]` to the file.")
                self._aside.append(f"No {what} was found. Add `[{name}]`.")

    # What is there

    async def _operations(self) -> list[Operation]:
        documents = OpenApiDocuments(self._bare, HttpProbe(self._wire, kept_bytes=KEPT_BYTES))
        try:
            found = await documents.operations()
        except InstrumentFailure as failure:
            self._say(f"{remark(failure.reason)} Usual routes are tried instead.")
            self._aside.append("There is no OpenAPI document, so usual routes were tried.")
            return []
        self._say(f"OpenAPI lists {plural(len(found), 'operation')}.")
        left = [item for item in found if candidates.changes(item)]
        if left:
            named = ", ".join(f"{item.method} {remark(item.path)[:60]}" for item in left[:MAX_NAMED])
            more = f" and {len(left) - MAX_NAMED} more" if len(left) > MAX_NAMED else ""
            self._say(f"Not tried, since they may change something: {named}{more}.")
            self._aside.append(
                f"Not tried, since they may change something: {plural(len(left), 'operation')}:"
            )
            self._aside += [f"  {item.method} {item.path[:80]} {item.summary}" for item in left[:MAX_NAMED]]
        return found

    async def _health(self, operations: list[Operation], nothing: Reply) -> None:
        """Routes by the names that they usually have; one that answers as any place does proves nothing."""
        listed = {item.path for item in operations if item.method == "GET" and "?" not in item.path}
        kinds = (
            ("liveness", candidates.LIVENESS),
            ("readiness", candidates.READINESS),
            ("metrics", candidates.METRICS),
        )
        table: dict[str, Any] = {}
        for kind, usual in kinds:
            last_words = {place.rpartition("/")[2] for place in usual}
            own = sorted((path for path in listed if path.rpartition("/")[2] in last_words), key=len)
            for place in dict.fromkeys([*own[:MAX_TRIED], *usual]):
                if place not in table.values() and await self._is_health(kind, place, nothing, table):
                    table[kind] = place
                    self._why[f"health.{kind}"] = self._health_why(kind, place, listed)
                    self._say(f"{kind.capitalize()}: GET {remark(place)}.")
                    break
        if table:
            self._tables["health"] = table

    def _health_why(self, kind: str, place: str, listed: set[str]) -> str:
        where = "OpenAPI lists it" if place in listed else "a usual place"
        return f"Guess by its name ({where}): it answers" + (
            " with Prometheus text." if kind == "metrics" else " and is no web page."
        )

    async def _is_health(self, kind: str, place: str, nothing: Reply, table: dict[str, Any]) -> bool:
        reply = await self._sender.get(place)
        if reply.status in ASKED_FOR_KEY and nothing.status not in ASKED_FOR_KEY:
            if not self._headers:
                self._aside.append(f"GET {place} asks for a credential: look again with -H, or add it.")
                return False
            reply = await self._sender.get(place, self._headers)
            table |= {"headers": self._headers} if reply.status == 200 else {}
        redirected = urlsplit(reply.url).path != urlsplit(self._bare.absolute(place)).path
        good = reply.failure is None and reply.status in (200, 204) and not redirected
        if not good or reading.same(reply, nothing):
            return False
        return (
            reading.is_metrics(reply)
            if kind == "metrics"
            else not (reading.is_page(reply) or reading.is_metrics(reply))
        )

    async def _meters(self) -> None:
        """Counters that one new question moves: a person can tell which counts requests and which paid calls.

        The page is read twice before, so that what reading it moves is left out.
        """
        place = self._tables.get("health", {}).get("metrics")
        if place is None or not self._why.get("ask", "").startswith("Tried"):
            return
        pages = [await self._sender.get(place, self._tables["health"].get("headers")) for _ in range(2)]
        await self._sender.ask(self._tables["ask"], self._prompts.fresh(1)[0])
        pages.append(await self._sender.get(place, self._tables["health"].get("headers")))
        if moved := reading.moved_counters(pages):
            self._aside.append(
                "One new question moved these counters of the metrics page. Which of them counts"
            )
            self._aside.append("requests goes to [health.requests], which counts paid calls to [upstream]:")
            self._aside += [f"  {line}" for line in moved[:MAX_NAMED]]
            self._say(f"One new question moved {plural(len(moved), 'counter')} of {remark(place)}.")

    # OpenAI's API

    async def _openai(self, operations: list[Operation], nothing: Reply) -> bool:
        """Whether the service speaks OpenAI's API, by its list of models or its OpenAPI document."""
        listed = [item.path for item in operations if item.path.endswith(candidates.OPENAI_ENDING)]
        place = min(listed, key=len, default=candidates.OPENAI_ROUTE)
        shop = f"{place.removesuffix(candidates.OPENAI_ENDING)}/models"
        reply = await self._sender.get(shop, self._headers)
        models = reading.model_names(reply.document()) if reply.status == 200 else []
        locked = reply.status in ASKED_FOR_KEY and nothing.status not in ASKED_FOR_KEY
        if locked and not listed:  # a lock before all of /v1 says nothing of what is behind it
            beside = await self._sender.get(f"{shop}-{secrets.token_hex(6)}", self._headers)
            locked = beside.status not in ASKED_FOR_KEY
        if not (models or listed or locked):
            return False
        model = candidates.chatting(models)
        self._say(f"It speaks OpenAI's API: {len(models) or 'no'} models at GET {shop}.")
        self._why["ask.body"] = (
            f"The model is of the {len(models)} at {shop}: {', '.join(models[:MAX_NAMED])}"
            if models
            else f"Guess: {shop} names no model (status {reply.status}); put yours in the place of MODEL."
        )
        tables = candidates.openai_tables(place, model or "MODEL")
        for name, table in tables.items():
            if not locked:
                table.pop("headers")
            if self._headers:
                table["headers"] = self._headers
            self._tables[name] = table
        if locked and not self._headers:
            key = candidates.OPENAI_KEY
            said = f"Guess: {shop} asks for a key. Set {key} to it, and look again with -H to have it tried."
            self._why |= {"ask": said, "stream": said}
        else:
            await self._try_openai(tables)
        return True

    async def _try_openai(self, tables: dict[str, dict[str, Any]]) -> None:
        asked = await self._asked(tables["ask"])
        self._why["ask"] = self._tried(asked[0] if asked else None, tables["ask"]["path"])
        if asked and (marker := self._marker(asked)):
            self._tables["ask"]["cached"] = marker
        stream = await self._sender.read(tables["stream"], self._prompts.fresh(1)[0])
        self._why["stream"] = (
            f"Tried: {len(stream.events)} events came."
            if stream
            else "Guess: no event came when it was tried. Remove it if the service does not stream."
        )

    # The business request of any other service

    async def _business(self, operations: list[Operation], nowhere: str) -> None:
        askable = candidates.asking(operations)
        whole = [item for item in askable if not item.streams or candidates.may_stream(item)]
        streams = [item for item in askable if item not in whole]
        await self._ask_listed(whole[:MAX_TRIED])
        if not operations:  # a document that lists no question says that there is none
            await self._ask_usual(nowhere)
        tables = [candidates.call_table(item) for item in streams[:MAX_TRIED]]
        tables += [
            candidates.call_table(item, stream=True)
            for item in whole[:MAX_TRIED]
            if candidates.may_stream(item)
        ]
        await self._stream_of([table for table in tables if table], listed=bool(operations))

    async def _ask_listed(self, operations: Iterable[Operation]) -> None:
        """Ask operations of OpenAPI until one answers; the first stands as a guess where none does."""
        first: tuple[dict[str, Any], str] | None = None
        for operation in operations:
            table = candidates.call_table(operation)
            if table is None:
                continue
            self._say(f"Trying {operation.method} {remark(operation.path)} ...")
            asked = await self._asked(table)
            if asked and self._accept(table, asked, "OpenAPI lists it"):
                return
            said = self._tried(asked[0] if asked else None, operation.path)
            first = first or (table, said)
        if first:
            self._tables["ask"] = {**first[0], **({"headers": self._headers} if self._headers else {})}
            self._why["ask"] = first[1]

    async def _asked(self, table: Mapping[str, Any]) -> tuple[Reply, Reply, str] | None:
        """The replies to one question asked twice, and the question; once where it was not answered."""
        prompt = self._prompts.fresh(1)[0]
        first = await self._sender.ask(table, prompt)
        if first is None:
            return None
        good = first.status in (200, 201) and first.failure is None
        again = await self._sender.ask(table, prompt) if good else None
        return first, again or first, prompt

    def _tried(self, reply: Reply | None, place: str) -> str:
        if reply is None:
            return f"Guess: {place} was not tried."
        if reply.failure is not None:
            return f"Guess: tried, and it did not answer: {reply.failure.detail}."
        if reply.status in ASKED_FOR_KEY:
            return f"Guess: it asks for a credential ({reply.status}). Look again with -H 'NAME: ${{ENV}}'."
        if reply.status not in (200, 201):
            return f"Guess: tried, and it answered {reply.status}."
        return f"Tried: it answered {reply.status} in {reply.elapsed_ms / 1000:.1f} s."

    def _accept(self, table: dict[str, Any], asked: tuple[Reply, Reply, str], where: str) -> bool:
        """Keep ``table`` as the business request where its reply holds a text."""
        first, _, prompt = asked
        if first.status not in (200, 201) or first.failure is not None or reading.is_page(first):
            return False
        document = first.document()
        path = reading.answer_path(document, prompt)
        if path is None and (document is not None or not first.text.strip()):
            return False
        headers = {**self._headers, **table.get("headers", {})}
        kept = {**table, **({"headers": headers} if headers else {}), **({"answer": path} if path else {})}
        self._why["ask"] = f"{self._tried(first, table['path'])} {where}; that it is the one is a guess."
        if path:
            self._why["ask.answer"] = "Guess: the longest text of the reply, or the one with a telling name."
        if marker := self._marker(asked):
            kept["cached"] = marker
        self._tables["ask"] = kept
        self._say(f"It answers at {table['method']} {remark(table['path'])}.")
        return True

    def _marker(self, asked: tuple[Reply, Reply, str]) -> dict[str, Any] | None:
        first, again, _ = asked
        found = reading.cache_marker((first.headers, first.document()), (again.headers, again.document()))
        if found is None:
            self._aside.append("No reply says whether it is cached. If one does, add `cached` to [ask].")
            return None
        marker, changed = found
        self._why["ask.cached"] = (
            "It changed when the same question was asked again."
            if changed
            else "Guess by its name: it was the same for a question and its repetition."
        )
        return marker

    # Guesses where there is no OpenAPI

    async def _ask_usual(self, nowhere: str) -> None:
        """Ask at usual routes, unless the service answers a question anywhere, which proves nothing."""
        unknown = await self._sender.ask({"path": nowhere, "body": {"message": "{prompt}"}}, "Hello?")
        if unknown is None or unknown.status is None or unknown.status not in NOT_THERE:
            status = f" ({unknown.status})" if unknown and unknown.status else ""
            self._aside.append(
                f"A route that cannot exist was not refused with 404{status}: none is guessed."
            )
            return
        for place in candidates.ASK_ROUTES:
            if await self._usual_route(place):
                return

    async def _usual_route(self, place: str) -> bool:
        """Try usual bodies at one place, led by what its errors name."""
        untried = list(candidates.USUAL_FIELDS)
        others: list[str] = []
        name, as_form = untried.pop(0), False
        for _ in range(MAX_BODIES):
            table = _usual_table(place, name, others, as_form=as_form)
            asked = await self._asked(table)
            if asked is not None and asked[0].status == 405 and "GET" in asked[0].headers.get("allow", ""):
                return await self._usual_query(place)
            if asked is None or asked[0].status is None or asked[0].status in NOT_THERE:
                return False
            if self._accept(table, asked, "A usual route with a usual body"):
                return True
            if asked[0].status in ASKED_FOR_KEY:
                self._tables["ask"], self._why["ask"] = table, self._tried(asked[0], place)
                return True
            as_form = as_form or asked[0].status == 415
            named = reading.fields_named(asked[0])
            fresh_others = [each for each in named if each not in others and _is_other(each)]
            others += fresh_others
            likely = [each for each in candidates.likely_fields(named) if each in untried]
            if fresh_others or not (likely or untried):
                continue
            name = likely[0] if likely else untried[0]
            untried.remove(name)
        return False

    async def _usual_query(self, place: str) -> bool:
        """Try usual names of a question in the query of a place that is only read."""
        for name in candidates.USUAL_QUERIES:
            table = {"method": "GET", "path": f"{place}?{name}={{prompt}}"}
            asked = await self._asked(table)
            if asked and self._accept(table, asked, "A usual route with a usual query"):
                return True
        return False

    async def _stream_of(self, tables: list[dict[str, Any]], *, listed: bool) -> None:
        where = "OpenAPI lists it"
        if not listed:
            tables, where = self._usual_streams(), "A usual route"
        for table in tables:
            prompt = self._prompts.fresh(1)[0]
            reply = await self._sender.read(table, prompt)
            if reply is None:
                continue
            self._say(f"It streams at {table['method']} {remark(table['path'])}.")
            found = reading.stream_reading(reply, await self._sender.read(table, prompt))
            headers = {**self._headers, **table.get("headers", {})}
            self._tables["stream"] = {**table, **({"headers": headers} if headers else {}), **found}
            self._why["stream"] = (
                f"Tried: {len(reply.events)} events came. {where}. Where the text is, and what ends the "
                "stream, is a guess from the events."
            )
            return

    def _usual_streams(self) -> list[dict[str, Any]]:
        """Below the business request, at usual places, and the business request asked for a stream."""
        ask: dict[str, Any] = self._tables.get("ask", {})
        kept = {key: ask[key] for key in ("headers", "body") if key in ask}
        bodies = [kept] if kept else [{"body": candidates.usual_body("message")}]
        bodies.append({"body": candidates.usual_body("messages")})
        own = [f"{ask['path']}{ending}" for ending in candidates.STREAM_ENDINGS] if ask else []
        places = dict.fromkeys([*own, *candidates.STREAM_ROUTES])
        tables = [{"method": "POST", "path": place, **body} for place in places for body in bodies]
        if isinstance(ask.get("body"), dict):
            streamed = {**ask["body"], "stream": True}
            tables.insert(0, {"method": "POST", "path": ask["path"], **kept, "body": streamed})
        return tables


def _usual_table(place: str, name: str, others: list[str], *, as_form: bool) -> dict[str, Any]:
    body = candidates.usual_body(name, others)
    table: dict[str, Any] = {"method": "POST", "path": place, "body": body}
    if as_form:
        return {**table, "headers": {"Content-Type": candidates.FORM}, "body": candidates.form(body)}
    return table


def _is_other(name: str) -> bool:
    return bool(candidates.SESSIONS.search(name) or candidates.USERS.match(name))

"""Where requests may go: the target, and the other places that its file declares. Nowhere else."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from app.instruments.references import names_in
from checks.contract import Call, InstrumentFailure, Target, Transaction
from checks.contract.target.auth import Auth

DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port: what "the same place" means."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """The origin of an absolute http(s) URL. Raises InstrumentFailure for anything else."""
        try:
            parts = urlsplit(url)
            port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
        except ValueError as error:
            raise InstrumentFailure(f"{url[:200]!r} is not a URL: {error}.") from error
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
            raise InstrumentFailure(f"{url[:200]!r} is not an http(s) URL with a host.")
        return cls(parts.scheme, parts.hostname.lower(), port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine by its name or number alone; nothing is looked up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")


def declared_origins(target: Target) -> Mapping[Origin, frozenset[str]]:
    """Every origin that the target declares, with the environment variables whose values it may receive."""
    names: dict[Origin, frozenset[str]] = defaultdict(frozenset)
    for place, texts in _places(target):
        url = target.absolute(place)
        names[Origin.of(url)] |= names_in(url, *texts)
    return dict(names)


def _places(target: Target) -> Iterator[tuple[str, Iterable[str]]]:
    yield "/", ()
    for call in (target.ask, target.stream):
        if call is not None:
            yield call.path, _texts(call)
    if target.transaction is not None:
        yield from _of_transaction(target, target.transaction)
    for place in (target.health.liveness, target.health.readiness, target.health.metrics):
        if place is not None:
            yield place, target.health.headers.values()
    if target.auth is not None:
        yield from _with_credentials(target, target.auth)
    if target.openapi is not None:
        yield target.openapi.document or "/", target.openapi.headers.values()
    if target.upstream is not None:
        yield target.upstream.calls.url, target.upstream.calls.headers.values()
    if target.stream is not None and target.stream.open is not None:
        yield target.stream.open.url, target.stream.open.headers.values()
    for place in target.prometheus.runbooks if target.prometheus else ():
        yield place, ()


def _of_transaction(target: Target, transaction: Transaction) -> Iterator[tuple[str, Iterable[str]]]:
    failing = [text for _, each in transaction.failings for text in each.fail_header.values()]
    for call in transaction.calls:
        with_one = target.auth is not None and target.auth.sent_with(None, call.headers) != call.headers
        others = target.auth.credentials if target.auth is not None and with_one else ()
        yield call.path, (*_texts(call), *failing, *others)
    for probe in transaction.state:
        yield probe.url, probe.headers.values()
    if transaction.flagged is not None:
        yield transaction.flagged.url, transaction.flagged.headers.values()


def _with_credentials(target: Target, auth: Auth) -> Iterator[tuple[str, Iterable[str]]]:
    limit = target.objectives.rate_limit
    places = [call.path for call in (target.ask, target.stream) if call is not None]
    if limit is not None and limit.path is not None:
        places.append(limit.path)
    for place in places:
        yield place, auth.credentials
    for call in auth.protected:
        yield call.path, (*_texts(call), *auth.credentials)


def _texts(call: Call) -> Iterator[str]:
    yield from call.headers.values()
    yield call.body if isinstance(call.body, str) else repr(call.body)

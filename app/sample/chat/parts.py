"""The parts of the chat API, put together from its settings. Defects replace parts here, and only here."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx

from app.sample.chat.answers import Answering, Answers
from app.sample.chat.broken import access
from app.sample.chat.broken import answers as broken_answers
from app.sample.chat.broken import book as broken_book
from app.sample.chat.broken import caching as broken_caching
from app.sample.chat.broken import load as broken_load
from app.sample.chat.broken import ordering as broken_ordering
from app.sample.chat.broken import server as broken_server
from app.sample.chat.broken import telemetry as broken_telemetry
from app.sample.chat.broken import upstream as broken_upstream
from app.sample.chat.cache import Memory, RedisAnswers, TwoLevels
from app.sample.chat.ordering.book import OrderBook
from app.sample.chat.ordering.idempotency import IdempotencyKeys
from app.sample.chat.ordering.orders import Compensations, Journal, Orders
from app.sample.chat.ordering.partners import PartnerStep
from app.sample.chat.sessions import Sessions
from app.sample.chat.settings import Settings
from app.sample.chat.shops import Lists, Tokens
from app.sample.chat.telemetry import Telemetry


@dataclass
class Parts:
    """What the routes work with."""

    settings: Settings
    telemetry: Telemetry
    cache: TwoLevels
    answers: Answering
    sessions: Sessions
    orders: Orders
    compensations: Compensations
    idempotency: IdempotencyKeys[str]
    tokens: Tokens
    book: OrderBook
    lists: Lists
    model_client: httpx.AsyncClient
    partner_clients: list[httpx.AsyncClient]
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    async def close(self) -> None:
        """Close what is open."""
        await self.compensations.close()
        self.book.close()
        await self.cache.close()
        for client in (self.model_client, *self.partner_clients):
            await client.aclose()


def build(settings: Settings) -> Parts:
    """Make the parts; nothing connects yet."""
    settings, defects = broken_upstream.settings(broken_answers.settings(settings)), settings.defects
    telemetry = broken_telemetry.spoiled(broken_telemetry.kind(defects)(), defects)
    model_client = _client(settings.model_url, settings.model_timeout_s, settings.model_connect_timeout_s)
    model_kind = broken_caching.model_kind(broken_answers.model_kind(defects), defects)
    model = broken_upstream.model_kind(model_kind, defects)(
        model_client,
        timeout_s=settings.model_timeout_s,
        tries=settings.model_tries,
        calls=telemetry.model_calls,
        breaker=broken_upstream.breaker(defects),
    )
    ttl_s = broken_server.ttl_s(settings)
    redis = RedisAnswers(settings.cache_url, ttl_s=ttl_s, timeout_s=settings.cache_timeout_s)
    memory = Memory(settings.memory_entries, settings.cache_ttl_s)
    cache = broken_caching.levels_kind(defects)(redis, memory, telemetry.cache_up)
    kept = broken_load.cache(broken_answers.cache(cache, redis, model, defects), defects)
    places = broken_load.places_kind(defects)(
        settings.model_parallel, settings.model_waiting, settings.model_wait_s
    )
    kept = broken_server.cache(kept, settings)
    flights = broken_caching.flights(broken_answers.flights(defects), defects)
    answers = Answers(broken_caching.cache(kept, defects), model, places, flights, telemetry)
    streaming = broken_caching.answers(answers, model, defects)
    answering = broken_server.answers(broken_answers.answers(streaming, defects), cache, settings)
    healthy_steps, partner_clients = _steps(settings)
    steps, journal = broken_ordering.steps(healthy_steps, defects), Journal(settings.journal)
    compensations = broken_ordering.compensations(steps, journal, telemetry, defects)
    return Parts(
        settings=settings,
        telemetry=telemetry,
        cache=cache,
        answers=broken_load.answers(broken_upstream.answers(answering, defects), defects),
        sessions=Sessions(),
        orders=Orders(steps, journal, compensations, telemetry),
        compensations=compensations,
        idempotency=broken_ordering.keys(defects),
        tokens=access.tokens(settings.shop_key, defects),
        book=broken_book.book(settings.journal.with_name("orders.jsonl"), defects),
        lists=access.lists(defects),
        model_client=model_client,
        partner_clients=partner_clients,
    )


def _steps(settings: Settings) -> tuple[list[PartnerStep], list[httpx.AsyncClient]]:
    partners = (
        ("stock", "reservations", settings.stock_url),
        ("drafts", "drafts", settings.drafts_url),
        ("invoices", "invoices", settings.invoices_url),
    )
    within_s = settings.partner_timeout_s
    clients = [_client(url, within_s, within_s) for _, _, url in partners]
    steps = [
        PartnerStep(name, kind, client) for (name, kind, _), client in zip(partners, clients, strict=True)
    ]
    return steps, clients


def _client(url: str, timeout_s: float | None, connect_timeout_s: float) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=url,
        timeout=httpx.Timeout(timeout_s, connect=connect_timeout_s),
        limits=httpx.Limits(max_connections=200, max_keepalive_connections=50),
        trust_env=False,
    )

"""Trips that are booked in three requests: the trip, its seats, its payment. Made with aiohttp and SQLite.

What a trip has begun is in the database before it is tried, and a janitor undoes what failed. Keys are rows:
who comes while the first is under way gets 409. ``X-Fail-Step`` makes a step fail, for whoever tests it.

``python booking.py PORT`` runs it (with ``--background`` and returns); it needs BOOKING_PARTNERS, a URL, and
BOOKING_FOLDER. BOOKING_BROKEN names one way in which it is broken.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, web

PARTNERS = os.environ.get("BOOKING_PARTNERS", "")
BROKEN = os.environ.get("BOOKING_BROKEN", "")
FOLDER = Path(os.environ.get("BOOKING_FOLDER", "."))
JANITOR_EVERY_S = 0.2
THINKING_S = 0.03
TABLES = """
create table if not exists keys (key text primary key, digest text, status int, reply text);
create table if not exists trips (reference text primary key, state text, seats int, begun text);
"""
Handler = Callable[[web.Request, dict[str, Any]], Awaitable[tuple[int, dict[str, Any]]]]
LEFT: set[str] = set()  # trips that people must see to
TAKEN_UP: set[str] = set()  # what was still to be undone when it started


class StepError(Exception):
    """A step failed."""


def database() -> sqlite3.Connection:
    connection = sqlite3.connect(FOLDER / "booking.db", isolation_level=None)
    connection.row_factory = sqlite3.Row
    return connection


def change(sql: str, *values: Any) -> int:
    with closing(database()) as connection:
        return connection.execute(sql, values).rowcount


def rows(sql: str, *values: Any) -> list[sqlite3.Row]:
    with closing(database()) as connection:
        return connection.execute(sql, values).fetchall()


def once(handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
    """One effect and one reply for one key."""

    async def handled(request: web.Request) -> web.Response:
        text = await request.text()
        key, digest = request.headers.get("Idempotency-Key", ""), hashlib.sha256(text.encode()).hexdigest()
        if not key:
            return web.json_response({"title": "Idempotency-Key is missing"}, status=400)
        if BROKEN == "charges_twice":
            key = uuid.uuid4().hex
        if BROKEN != "charges_twice_at_once":
            taken = change("insert or ignore into keys values (?, ?, 0, '')", key, digest) == 0
        else:
            taken = bool(rows("select 1 from keys where key = ?", key))
        if taken:
            return known(key, digest)
        status, reply = await handler(request, json.loads(text))
        if status >= 500:  # may be tried again
            change("delete from keys where key = ?", key)
        else:
            change("replace into keys values (?, ?, ?, ?)", key, digest, status, json.dumps(reply))
        return web.json_response(reply, status=status)

    return handled


def known(key: str, digest: str) -> web.Response:
    [row] = rows("select * from keys where key = ?", key)
    if row["digest"] != digest:
        return web.json_response({"title": "the key was used for something else"}, status=422)
    if not row["status"]:
        return web.json_response({"title": "this is under way"}, status=409)
    return web.json_response(json.loads(row["reply"]), status=row["status"])


async def new_trip(request: web.Request, given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    reference = f"trip/{uuid.uuid4().hex[:12]}"  # whoever puts it into a path must escape it
    change("insert into trips values (?, 'open', ?, '')", reference, given["seats"])
    return 201, {"trip": {"ref": reference}, "links": []}


async def hold_seats(request: web.Request, given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    trip = trip_of(request)
    try:
        await step(request, "seat", trip, f"rail/{slug(trip)}", {"seats": trip["seats"]})
    except StepError:
        return await failed(trip)
    return 201, {"hold": 7_000 + trip["seats"]}


async def pay(request: web.Request, given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    trip = trip_of(request)
    if given.get("hold") != 7_000 + trip["seats"]:
        return 422, {"title": "no such hold"}
    charge = uuid.uuid4().hex if BROKEN.startswith("charges_twice") else slug(trip)
    try:
        await step(request, "payment", trip, f"bank/{charge}", {"amount": given["amount"]})
        await step(request, "confirmation", trip, f"rail/{slug(trip)}", {"confirmed": True})
    except StepError:
        return await failed(trip)
    change("update trips set state = 'booked' where reference = ?", trip["reference"])
    return 201, {"ticket": trip["reference"]}


def slug(trip: sqlite3.Row) -> str:
    return str(trip["reference"]).replace("/", "-")


def trip_of(request: web.Request) -> sqlite3.Row:
    found = rows("select * from trips where reference = ?", request.match_info["trip"])
    may = ("open", "booked") if BROKEN.startswith("charges_twice") else ("open",)
    if not found or found[0]["state"] not in may:
        raise web.HTTPNotFound
    return found[0]


async def step(request: web.Request, name: str, trip: sqlite3.Row, place: str, content: Any) -> None:
    """Do one step at a partner; that it has begun is kept before it is tried."""
    begun = "update trips set begun = begun || ' ' || ? where reference = ?"
    change(begun, place, trip["reference"])
    await asyncio.sleep(THINKING_S)
    if request.headers.get("X-Fail-Step") == name or not await call("PUT", place, content):
        raise StepError


async def call(method: str, place: str, content: Any = None) -> bool:
    try:
        async with (
            ClientSession(timeout=ClientTimeout(1)) as session,
            session.request(method, f"{PARTNERS}/{place}", json=content) as reply,
        ):
            return reply.ok
    except (ClientError, TimeoutError):
        return False


async def failed(trip: sqlite3.Row) -> tuple[int, dict[str, Any]]:
    state = "cancelled" if BROKEN == "no_undo" else "undoing"
    change("update trips set state = ? where reference = ?", state, trip["reference"])
    await undo_all()
    return 502, {"title": "the trip was not booked"}


async def undo_all() -> None:
    for trip in rows("select * from trips where state = 'undoing'"):
        if trip["reference"] not in LEFT or trip["reference"] in TAKEN_UP:
            await undo(trip)


async def undo(trip: sqlite3.Row) -> None:
    places = [place for place in trip["begun"].split() if BROKEN != "keeps_seat" or place[:4] != "rail"]
    undone = [await call("DELETE", place) for place in places]
    if all(undone) or BROKEN == "undo_once":
        change("update trips set state = 'cancelled' where reference = ?", trip["reference"])
    elif BROKEN in ("undo_shown", "undo_at_restart"):
        LEFT.add(trip["reference"])


async def janitor(_: web.Application) -> AsyncIterator[None]:
    state = "cancelled" if BROKEN == "undo_in_memory" else "undoing"
    change("update trips set state = ? where state = 'undoing'", state)
    if BROKEN == "undo_at_restart":
        TAKEN_UP.update(trip["reference"] for trip in rows("select * from trips where state = 'undoing'"))

    async def goes_round() -> None:
        while True:
            await asyncio.sleep(JANITOR_EVERY_S)
            await undo_all()

    task = asyncio.create_task(goes_round())
    yield
    task.cancel()


async def show(request: web.Request) -> web.Response:
    found = rows("select * from trips where reference = ?", request.match_info["trip"])
    return web.json_response(dict(found[0])) if found else web.json_response({}, status=404)


async def status(_: web.Request) -> web.Response:
    pending = rows("select 1 from trips where state = 'undoing'")
    return web.json_response({"status": "ok", "trips_to_undo": len(pending)})


def main(port: int) -> None:
    with closing(database()) as connection:
        connection.executescript(TABLES)
    app = web.Application()
    app.cleanup_ctx.append(janitor)
    app.router.add_post("/trips", once(new_trip))
    app.router.add_get("/trips/{trip}", show)
    app.router.add_post("/trips/{trip}/seat", once(hold_seats))
    app.router.add_post("/trips/{trip}/payment", once(pay))
    app.router.add_get("/status", status)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


if __name__ == "__main__":
    if "--background" in sys.argv:
        subprocess.Popen([sys.executable, __file__, sys.argv[1]], start_new_session=True)
    else:
        main(int(sys.argv[1]))

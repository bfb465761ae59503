"""What travels is protected, and other sites' pages are kept out.

Why it matters
    A session that crosses the network in the clear, or under a certificate that ended yesterday, belongs to
    whoever listens, or to nobody. And a service that lets any page call it with its users' credentials gives
    each page they visit what they can see.

How it is measured
    Over TLS, handshakes show the version, whether the certificate is trusted, for this name and for how
    long, and whether TLS 1.0 or 1.1 is agreed to (RFC 8996 forbids both). A few routes are read, good and
    unknown ones, for `X-Content-Type-Options: nosniff` and `Strict-Transport-Security`. Then the health route
    and the preflight of the business route are asked as pages of other sites would: a site of a random name,
    `null`, and names that look like this service or like the declared `web_origins`. None of them may be
    let in with credentials. On this machine plain HTTP crosses no network, so there TLS is not judged. A
    certificate that was issued for less than 90 days may have its last third before it, not 30 days.

How to fix it
    1. Serve TLS 1.2 and 1.3 alone, and let the certificate be renewed by a program with a third of its time
       left.
    2. Compare an Origin as a whole with a list; never echo it, nor compare its end or its beginning.
    3. Send `X-Content-Type-Options: nosniff` with every reply, errors too, and over TLS
       `Strict-Transport-Security: max-age=31536000`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from checks.contract import (
    Check,
    FailureKind,
    Finding,
    Instruments,
    Kind,
    Limit,
    Reply,
    Request,
    Target,
    TlsFacts,
    curl_line,
    escaped,
    plural,
    show,
)
from checks.endpoint_health._origins import foreign_origins, is_address, is_loopback, let_in
from checks.endpoint_health._pacing import patiently
from checks.endpoint_health._tls import broken_tls, spoken

CHECK = Check(
    failure_title="What travels is not protected",
    kind=Kind.PASSIVE,
    does="Shakes hands in each version of TLS, and reads some routes as pages of other sites would.",
    measures="until the certificate ends",
    needs=("http", "tls"),
    deadline_s=120,
    typical_s=1,
    beside=True,
)
TIMEOUT_S = 5.0
MAX_CHARS = 80
MAX_AGE = re.compile(r"max-age\s*=\s*\"?(\d{1,12})", re.IGNORECASE)


@dataclass(frozen=True)
class Thresholds:
    """Days of the catalogue, for a certificate of 90 days or more; HSTS as Mozilla's Observatory asks it.

    Of a shorter life (CA/Browser Forum SC-081: 47 days from 2029) the same parts must be left, a third for
    a pass: that is when ACME clients renew.
    """

    pass_days: float = 30
    warn_days: float = 14
    usual_life_days: float = 90
    min_hsts_days: float = 182


@dataclass(frozen=True)
class Seen:
    """What one reply says of itself. ``hsts_s`` is its Strict-Transport-Security in s, None for none.

    ``reproduce`` is the line that asks for it.
    """

    place: str
    status: int
    nosniff: bool
    hsts_s: int | None
    reproduce: str


@dataclass(frozen=True)
class Opened:
    """A foreign origin that was let in with credentials, and where."""

    origin: str
    place: str
    reproduce: str


@dataclass(frozen=True)
class Evidence:
    """``loopback``: the target is this machine by its name; ``named``: it has a name and not a number.

    ``upgrades`` says where plain HTTP redirects to, if to https. ``asked`` counts questions of foreign pages.
    """

    url: str
    secure: bool
    loopback: bool
    named: bool
    tls: TlsFacts | None
    upgrades: str
    seen: tuple[Seen, ...]
    asked: int
    opened: tuple[Opened, ...]
    server: str
    problem: str
    reproduce: str
    handshake: str


async def gather(target: Target, instruments: Instruments) -> Evidence:
    """Handshakes first, then what replies say, then what foreign pages are told."""
    secure = target.url.startswith("https://")
    tls = await instruments.tls.look() if secure else None
    places = _places(target, f"{instruments.random.getrandbits(48):012x}")
    replies = [(request, await _ask(instruments, request)) for request in places]
    origins = foreign_origins(target, f"{instruments.random.getrandbits(48):012x}")
    asked, opened = 0, []
    for request in (places[0], *_preflight(target)) if any(_came(reply) for _, reply in replies) else ():
        for origin in origins:
            foreign = Request(request.method, request.url, {**request.headers, "Origin": origin})
            reply = await _ask(instruments, foreign)
            if not _came(reply):
                break  # the others would wait as long
            asked += 1
            if let_in(reply, origin):
                opened.append(Opened(origin, request.url, curl_line(target, foreign, options="-i")))
    where = f"{target.host}:{target.port}"
    return Evidence(
        url=target.url,
        secure=secure,
        loopback=is_loopback(target.host),
        named=not is_address(target.host),
        tls=tls,
        upgrades=next((found for _, reply in replies if (found := _upgrade(reply))), ""),
        seen=tuple(_seen(target, request, reply) for request, reply in replies if _came(reply)),
        asked=asked,
        opened=tuple(opened),
        server=_version_named([reply for _, reply in replies]),
        problem=next((reply.failure.detail for _, reply in replies if reply.failure), ""),
        reproduce=curl_line(target, places[0], options="-i"),
        handshake=f"openssl s_client -connect {where} -servername {target.host} </dev/null",
    )


async def _ask(instruments: Instruments, request: Request) -> Reply:
    return await patiently(lambda: instruments.http.send(request, timeout_s=TIMEOUT_S))


def _places(target: Target, word: str) -> list[Request]:
    """Routes that are only read: health, one that does not exist, and the business route's path."""
    found = [Request("GET", target.health.liveness or "/", target.health.headers), Request("GET", f"/{word}")]
    call = target.ask or target.stream
    if call is not None and call.method != "GET":
        found.append(Request("GET", call.render().url))
    return found


def _preflight(target: Target) -> list[Request]:
    call = target.ask or target.stream
    if call is None:
        return []
    asks = {
        "Access-Control-Request-Method": call.method,
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    return [Request("OPTIONS", call.render().url, asks)]


def _came(reply: Reply) -> bool:
    return reply.status is not None and reply.status != 429 and reply.failure is None


def _upgrade(reply: Reply) -> str:
    place = reply.headers.get("location", "")
    redirected = reply.failure is not None and reply.failure.kind is FailureKind.REDIRECT
    return escaped(place, MAX_CHARS) if redirected and place.startswith("https://") else ""


def _seen(target: Target, request: Request, reply: Reply) -> Seen:
    hsts = MAX_AGE.search(reply.headers.get("strict-transport-security", ""))
    nosniff = reply.headers.get("x-content-type-options", "").strip().lower() == "nosniff"
    line = curl_line(target, request, options="-i")
    return Seen(request.url[:MAX_CHARS], reply.status or 0, nosniff, int(hsts[1]) if hsts else None, line)


def _version_named(replies: list[Reply]) -> str:
    """A product with its version, as headers tell it (``nginx/1.18.0``); "" for none."""
    told = (reply.headers.get(name, "") for reply in replies for name in ("server", "x-powered-by"))
    found = (re.search(r"[A-Za-z][\w.-]{0,30}/\d[\w.]{0,20}", text) for text in told)
    return next((match[0] for match in found if match), "")


def judge(evidence: Evidence, thresholds: Thresholds) -> Finding:
    """What is open first, then what ends soon, then which header is missing."""
    if unsaid := _proves_nothing(evidence):
        return unsaid
    limit = _limit(evidence.tls, thresholds)
    days = evidence.tls.days_left if evidence.tls else None
    if wrong := [*_broken(evidence), *_soon_over(days, limit, evidence.handshake)]:
        lines = [line for _, line in wrong if line]
        return _told(
            Finding.failed(" ".join(text for text, _ in wrong), reproduce="\n".join(lines[:3])),
            evidence, days, limit,
        )  # fmt: skip
    doubts = _doubts(evidence, days, limit, thresholds)
    if doubts:
        share = min(share for share, _, _ in doubts)
        reason = " ".join(text for _, text, _ in doubts)
        return _told(Finding.warned(reason, share=share, reproduce=doubts[0][2]), evidence, days, limit)
    remark = f" Its replies name {evidence.server}, which helps nobody but an attacker." * bool(
        evidence.server
    )
    reason = (
        f"{spoken(evidence.tls)}; {plural(len(evidence.seen), 'reply', 'replies')} forbid sniffing, "
        f"and {plural(evidence.asked, 'question')} from pages of other sites got nothing.{remark}"
    )
    return _told(Finding.passed(reason, reproduce=evidence.reproduce), evidence, days, limit)


def _proves_nothing(evidence: Evidence) -> Finding | None:
    failure = evidence.tls.failure if evidence.tls else None
    if evidence.upgrades and not evidence.secure and not evidence.loopback:
        return Finding.not_assessed(
            f"{evidence.url} redirects to {evidence.upgrades}. Declare the https address as `url`.",
            missing="url",
        )
    unreached = failure is not None and failure.kind is not FailureKind.TLS
    if unreached or (not evidence.seen and not evidence.secure):
        why = failure.detail if failure else evidence.problem or "rate limited (429)"
        return Finding.not_assessed(f"{evidence.url}: {why}.", follows_from="endpoint_health.liveness")
    return None


def _broken(evidence: Evidence) -> list[tuple[str, str]]:
    """What nobody should meet in production, each with the line that shows it."""
    found = []
    if not evidence.secure and not evidence.loopback:
        found.append((f"{evidence.url} is plain HTTP: whoever is on the way reads and changes it.", ""))
    if evidence.tls is not None:
        found += [(text, evidence.handshake) for text in broken_tls(evidence.tls)]
    if evidence.opened:
        first = evidence.opened[0]
        origins = len({opened.origin for opened in evidence.opened})
        also = f" (and {plural(origins - 1, 'other origin')})" if origins > 1 else ""
        text = f"{first.place} lets pages of {first.origin}{also} call it with its users' credentials."
        found.append((text, first.reproduce))
    return found


def _limit(tls: TlsFacts | None, thresholds: Thresholds) -> Limit:
    life_days = tls.life_days if tls and tls.life_days else thresholds.usual_life_days
    part = min(1.0, life_days / thresholds.usual_life_days)
    return Limit.at_least(thresholds.pass_days * part, thresholds.warn_days * part)


def _soon_over(days: float | None, limit: Limit, handshake: str) -> list[tuple[str, str]]:
    if days is None or days < 0 or days >= limit.warn_at:
        return []
    return [(f"The certificate ends in {_until(days, limit)}.", handshake)]


def _doubts(
    evidence: Evidence, days: float | None, limit: Limit, thresholds: Thresholds
) -> list[tuple[float, str, str]]:
    """The share that is left of the points, why, and the line that shows it."""
    found = []
    if days is None and evidence.tls is not None:
        found.append((0.5, "How long the certificate lasts cannot be read.", evidence.handshake))
    if days is not None and days < limit.pass_at:
        found.append(
            (limit.share(days), f"The certificate ends in {_until(days, limit)}.", evidence.handshake)
        )
    sniffed = [seen for seen in evidence.seen if not seen.nosniff]
    if sniffed:
        text = _missing(sniffed, evidence, "X-Content-Type-Options: nosniff")
        found.append((0.5, text, sniffed[0].reproduce))
    least_s = thresholds.min_hsts_days * 86_400
    short = [seen for seen in evidence.seen if (seen.hsts_s or 0) < least_s]
    if short and evidence.secure and evidence.named and not evidence.loopback:
        wanted = f"Strict-Transport-Security for {show(thresholds.min_hsts_days, 'days')} or more"
        found.append((0.5, _missing(short, evidence, wanted), short[0].reproduce))
    if evidence.secure and not evidence.seen:
        text = f"Its headers could not be read: {evidence.problem or 'rate limited'}."
        found.append((0.5, text, evidence.reproduce))
    return found


def _missing(lacking: list[Seen], evidence: Evidence, header: str) -> str:
    first = f"{lacking[0].place} ({lacking[0].status})"
    return f"{len(lacking)} of {plural(len(evidence.seen), 'reply', 'replies')} lack {header}: {first}."


def _until(days: float, limit: Limit) -> str:
    return f"{show(days, 'days')}; {show(limit.pass_at, 'days')} should be left"


def _told(finding: Finding, evidence: Evidence, days: float | None, limit: Limit) -> Finding:
    """With the days where there is a certificate, and how to mend what is wrong."""
    fix = "" if not finding.reason or finding.share == 1 else _fix(evidence)
    if days is None:
        return finding.but(fix=fix)
    return finding.but(value=days, unit="days", limit=limit, fix=fix)


def _fix(evidence: Evidence) -> str:
    if evidence.opened:
        return "Compare the whole Origin with a list of your own sites; answer no other with CORS headers."
    if not evidence.secure and not evidence.loopback:
        return "Serve TLS, and redirect plain HTTP to it."
    if evidence.tls is not None and (broken_tls(evidence.tls) or not evidence.seen):
        return "Serve TLS 1.2 and 1.3, with a certificate for this name that clients trust."
    return "Send the headers with every reply, errors too, from the outermost layer; let a program renew."

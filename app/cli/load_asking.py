"""What ``load`` is asked for on the command line, as a plan: stages, questions, and a plain request."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from app import targets
from app.errors import UserError
from checks.contract.load import LoadPlan, Stage
from checks.contract.target import Target

# Options, and what has to be given for them to mean anything.
EFFECT = {
    "--think": ("--users",),
    "--duration": ("--users", "--rate"),
    "--max-in-flight": ("--rate", "--stage"),
    "--spacing": ("--rate", "--stage"),
}
MAX_QUESTIONS = 100_000
MAX_QUESTIONS_BYTES = 64 << 20
MAX_QUESTION_CHARS = 100_000
MAX_BODY_BYTES = 1 << 20
UNTIMED = ("HEAD", "CONNECT")  # what the headers of their replies say of a body does not hold
ANY_2XX = tuple(range(200, 300))


class AskedError(UserError):
    """An option of ``load`` makes no sense; the message names it and says what would."""


def checked(
    models: Mapping[str, object], of_a_model: Mapping[str, object], numbers: Iterable[float | None]
) -> None:
    """Raises AskedError unless just one of ``models`` is given, with options that have an effect in it.

    ``models`` and ``of_a_model`` map options to what was given, None for nothing.
    """
    given = [name for name, value in models.items() if value is not None]
    if len(given) != 1:
        raise AskedError("Give one of --users N, --rate R, and --stage RATE:SECONDS (repeatable).")
    for name, models_with in EFFECT.items():
        if of_a_model.get(name) is not None and given[0] not in models_with:
            raise AskedError(f"{name} has no effect with {given[0]}. Leave it out.")
    for value in (*models.values(), *of_a_model.values(), *numbers):
        if isinstance(value, float) and not math.isfinite(value):
            raise AskedError(f"{value} is not a number that a load can have.")


def asks_questions(target: Target, plan: LoadPlan) -> None:
    """Raises AskedError where the request has no place for a question, so that their options do nothing."""
    call = target.stream if plan.route == "stream" else target.ask
    if call is not None and "{prompt}" not in call.model_dump_json():
        raise AskedError(
            "--prompts, --zipf and --fresh have no effect: neither path, headers nor body hold {prompt}. "
            "Put it where the question belongs."
        )


def stages(texts: Sequence[str], rate_per_s: float | None, duration_s: float) -> tuple[Stage, ...]:
    """The stages of an open run: each of ``texts`` one, or ``rate_per_s`` all the time; none at all: closed.

    A text is ``RATE:SECONDS`` or ``FROM:TO:SECONDS``. Raises AskedError.
    """
    if texts:
        return tuple(_stage(text) for text in texts)
    if rate_per_s is None:
        return ()
    return (Stage(duration_s, rate_per_s, rate_per_s),)


def _stage(text: str) -> Stage:
    try:
        numbers = [float(part) for part in text.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 3) or not all(map(math.isfinite, numbers)):
        raise AskedError(
            f"--stage {text}: give RATE:SECONDS, or FROM:TO:SECONDS for a ramp; for example 10:100:60."
        )
    *rates, duration_s = numbers
    if duration_s <= 0 or min(rates) < 0 or not max(rates):
        raise AskedError(f"--stage {text}: seconds must be above 0, and so must a rate.")
    return Stage(duration_s, rates[0], rates[-1])


def questions(file: Path) -> tuple[str, ...]:
    """The questions of a file: one a line, or as JSON lines with a ``prompt`` key (.jsonl, .ndjson).

    Empty lines are passed over. Raises AskedError naming file and line.
    """
    as_json = file.suffix in (".jsonl", ".ndjson")
    found: list[str] = []
    for number, line in enumerate(_read("--prompts", file, MAX_QUESTIONS_BYTES).split(b"\n"), start=1):
        if text := _decoded(line, f"{file}:{number}").strip():
            found.append(_question(text, f"{file}:{number}", as_json=as_json))
        if len(found) > MAX_QUESTIONS:
            raise AskedError(f"{file}: more than {MAX_QUESTIONS:,} questions. Give fewer.")
    if not found:
        raise AskedError(f"{file}: holds no question. Write one a line.")
    return tuple(found)


def _read(option: str, file: Path, limit_bytes: int) -> bytes:
    try:
        with file.open("rb") as opened:
            data = opened.read(limit_bytes + 1)  # bounded here, since a device has no size
    except OSError as error:
        raise AskedError(f"{option} {file}: cannot be read: {error.strerror}.") from error
    if len(data) > limit_bytes:
        raise AskedError(f"{option} {file}: larger than {limit_bytes >> 20} MiB. Give a smaller file.")
    return data


def _decoded(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AskedError(f"{where}: not UTF-8 text. Save the file as UTF-8.") from error


def _question(line: str, where: str, *, as_json: bool) -> str:
    text: object = line
    if as_json:
        try:
            document = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise AskedError(f"{where}: not JSON: {error}.") from error
        text = document.get("prompt") if isinstance(document, dict) else None
        if not isinstance(text, str) or not text:
            raise AskedError(f'{where}: no text under the key "prompt".')
    assert isinstance(text, str)  # noqa: S101 - a line, or checked above
    if len(text) > MAX_QUESTION_CHARS:
        raise AskedError(f"{where}: a question of more than {MAX_QUESTION_CHARS:,} characters. Shorten it.")
    return text


def plain_target(url: str, method: str | None, headers: Sequence[str], body: str | None) -> Target:
    """A target whose one request goes to ``url`` itself, and for which any 2xx is a good answer.

    ``{prompt} {user} {session} {nonce}`` may stand in it, and ``${ENV_NAME}`` for a secret. Raises
    AskedError, TargetError.
    """
    targets.validated({"url": url}, source=url, key="service")
    if method and method.upper() in UNTIMED:
        raise AskedError(f"--method {method}: the end of its reply cannot be told. Use GET.")
    parts = urlsplit(url)
    place = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    ask = {
        "method": method or ("GET" if body is None else "POST"),
        "path": place,
        "headers": dict(map(_header, headers)),
        "body": _body(body),
        "good_statuses": ANY_2XX,
    }
    base = f"{parts.scheme}://{parts.netloc}"
    return targets.validated({"url": base, "ask": ask}, source=url, key=targets.url_key(base))


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise AskedError(f'--header {text!r}: give it as "Name: value".')
    return name.strip(), value.strip()


def _body(text: str | None) -> str:
    if text is None or not text.startswith("@"):
        return text or ""
    file = Path(text[1:])
    return _decoded(_read("--body", file, MAX_BODY_BYTES), str(file))


def names_a_request(url: str) -> bool:
    """Whether a URL says by itself what to ask: it has a path or a query, and not a host alone."""
    parts = urlsplit(url)
    return bool(parts.path or parts.query)


def dask_address() -> str | None:
    """The scheduler that ``GREENLIGHT_DASK`` names, or None. Raises AskedError for what is no address."""
    address = os.environ.get("GREENLIGHT_DASK", "").strip()
    if address and not address.startswith(("tcp://", "tls://")):
        raise AskedError(f"GREENLIGHT_DASK is {address!r}; give the scheduler's address, tcp://host:port.")
    return address or None

"""Wrong credentials are made from the right one, and neither is ever seen."""

from __future__ import annotations

import base64
import json
import subprocess

import pytest

from app.instruments.credentials import DeclaredCredentials
from app.instruments.http import HttpProbe
from app.instruments.origins import Origin, declared_origins
from app.instruments.references import References
from checks.contract import InstrumentFailure, Request, Target
from tests.instruments.servers import Visit, scripted, wire_to


def encoded(document: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")


JWT = (
    f"{encoded({'alg': 'HS256', 'typ': 'JWT'})}.{encoded({'sub': 'shop', 'exp': 2_000_000_000})}.c2lnbmF0dXJl"
)
OPAQUE = "k-4f9a1c20d7"


def target_at(url: str, valid: str = "Bearer ${TOKEN}") -> Target:
    return Target.model_validate({"url": url, "auth": {"valid": valid, "protected": [{"path": "/orders"}]}})


def forged(token: str, valid: str = "Bearer ${TOKEN}") -> dict[str, str]:
    """What each forgery comes to as a header value."""
    references = References({"TOKEN": token})
    made = DeclaredCredentials(target_at("http://x", valid).auth, references).forgeries()
    return {each.name: references.resolve(each.value, frozenset({"TOKEN"})) for each in made}


def test_a_jwt_gets_another_signature_none_and_other_claims():
    found = forged(JWT)
    head, body, signature = JWT.split(".")
    changed, unsigned, claims = found.values()
    assert changed.startswith(f"Bearer {head}.{body}.c2ln")
    assert not changed.endswith(signature)
    assert unsigned.endswith(f".{body}.")
    assert base64.urlsafe_b64decode(unsigned.removeprefix("Bearer ").split(".")[0] + "==") == (
        b'{"alg":"none","typ":"JWT"}'
    )
    assert claims.startswith(f"Bearer {head}.")
    assert claims.endswith(signature)
    assert body not in claims


@pytest.mark.parametrize(
    "token", [OPAQUE, "a.b.c-and-more", f"{encoded({'a': 1})}.{encoded({})}.cccc", "endsAAAA"]
)
def test_another_credential_gets_other_last_characters(token: str):
    [value] = forged(token).values()
    assert value.removeprefix("Bearer ")[:-4] == token[:-4]
    assert value != f"Bearer {token}"


@pytest.mark.parametrize(
    ("token", "valid"),
    [("short", "Bearer ${TOKEN}"), (OPAQUE, "${TOKEN} and more"), (OPAQUE, "${A} ${TOKEN}")],
)
def test_what_is_too_short_or_not_at_the_end_is_left_alone(token: str, valid: str):
    assert forged(token, valid) == {}


def test_without_a_declared_credential_there_is_none():
    assert DeclaredCredentials(None, References({})).forgeries() == []


def test_a_variable_that_is_not_set_is_named():
    with pytest.raises(InstrumentFailure, match="TOKEN is set"):
        DeclaredCredentials(target_at("http://x").auth, References({})).forgeries()


@pytest.mark.parametrize("token", [JWT, OPAQUE])
def test_a_shell_makes_the_same(token: str):
    references = References({"TOKEN": token})
    for each in DeclaredCredentials(target_at("http://x").auth, references).forgeries():
        variable = each.made_by.partition("=")[0]
        script = f'{each.made_by}; printf %s "Bearer ${variable}"'
        shell = subprocess.run(
            ["/bin/sh", "-c", script],
            env={"TOKEN": token, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
        ours, theirs = references.resolve(each.value), shell.stdout
        if "claims" in each.name:
            ours, theirs = (
                json.loads(base64.urlsafe_b64decode(one.split(".")[1] + "==")) for one in (ours, theirs)
            )
        assert ours == theirs
        assert token not in each.made_by


async def test_forgeries_go_where_the_secret_may_go_and_are_hidden_like_it():
    async def echo(visit: Visit) -> None:
        await visit.reply(visit.headers["authorization"], X_Echo=visit.headers["authorization"])

    async with scripted(echo) as server, scripted(echo) as other:
        target = target_at(server.url)
        document = target.model_dump(exclude_none=True, by_alias=True) | {
            "upstream": {"calls": {"url": other.url, "json": "calls"}}
        }
        target = Target.model_validate(document)
        async with wire_to(target, {"TOKEN": JWT}) as wire:
            for each in DeclaredCredentials(target.auth, wire.references).forgeries():
                for url in ("/orders", other.url):
                    reply = await HttpProbe(wire).send(Request("GET", url, {"Authorization": each.value}))
                    assert JWT.split(".")[1] not in f"{reply}"
        assert all(visit.headers["authorization"].count(".") == 2 for visit in server.visits)
        assert all(visit.headers["authorization"].startswith("Bearer ${TOKEN_") for visit in other.visits)


def test_load_is_sent_with_the_credential_that_the_rate_limit_spares():
    document = {"url": "http://x", "ask": {"path": "/ask", "headers": {"authorization": "Bearer ${TOKEN}"}}}
    plain = Target.model_validate(document | {"auth": {"valid": "Bearer ${TOKEN}"}})
    assert plain.under_load() is plain
    sparing = Target.model_validate(document | {"auth": {"spared": "Bearer ${SPARED}"}}).under_load()
    assert sparing.ask.headers == {"Authorization": "Bearer ${SPARED}"}
    assert "SPARED" in declared_origins(sparing)[Origin.of("http://x")]

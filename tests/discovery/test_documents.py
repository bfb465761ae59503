"""Services in the style of well-known ones: discovery gives a target file, and changes nothing of theirs."""

from __future__ import annotations

import tomllib

import pytest

from app import discovery, targets
from app.instruments.openapi import operations_of
from tests.discovery import plausible
from tests.discovery.plausible import PLACES, served
from tests.instruments.servers import Scripted

KEY = "sk-of-a-test-4242"


def found_at(url: str, **headers: str) -> tuple[discovery.Discovery, str, list[str]]:
    said: list[str] = []
    found = discovery.explore(url, headers, said.append)
    text = discovery.as_toml(found)
    again = targets.validated(tomllib.loads(text), source="found.toml", key=found.target.key)
    assert again == found.target.model_copy(update={"guessed": ()})
    return found, text, said


def changed(server: Scripted) -> list[str]:
    """What was sent beside reading."""
    return [f"{visit.method} {visit.path}" for visit in server.visits if visit.method != "GET"]


@pytest.mark.parametrize("name", PLACES)
def test_every_document_gives_a_target_file_that_validates(name: str) -> None:
    with served(plausible.plausible(name)) as server:
        found, text, _ = found_at(server.url)
    assert found.target.health.liveness == "/healthz"
    assert "Guess by its name (a usual place)" in text


def test_a_pet_store_has_nothing_to_ask_and_no_pet_is_added() -> None:
    with served(plausible.plausible("pet_store.json")) as server:
        found, text, said = found_at(server.url)
        assert changed(server) == []
    assert found.target.ask is None
    assert any(
        "Not tried, since they may change something: PUT /v2/pet, POST /v2/pet" in line for line in said
    )
    assert "# POST /v2/pet Add a pet to the shop" in text
    assert "# No business request was found." in text


def test_a_payment_api_that_wants_a_key_says_how_to_give_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(plausible.plausible("payments.yaml", key=KEY)) as server:
        found, text, _ = found_at(server.url)
    assert found.target.ask is not None
    assert "asks for a credential (401). Look again with -H" in text


def test_a_payment_api_is_asked_by_form_and_no_charge_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLS_KEY", KEY)
    with served(plausible.plausible("payments.yaml", key=KEY)) as server:
        found, text, said = found_at(server.url, Authorization="Bearer ${TILLS_KEY}")
        assert set(changed(server)) == {"POST /v1/support/answers"}
        assert all(b"${" not in visit.body for visit in server.visits)
    ask = found.target.ask
    assert ask is not None
    assert ask.path == "/v1/support/answers"
    assert ask.body == "question={prompt}&lang=en"
    assert ask.answer == "answer"
    assert ask.cached is not None
    assert ask.cached.json_path == "cached"
    assert ask.headers["Authorization"] == "Bearer ${TILLS_KEY}"
    assert KEY not in text + "".join(said)


def test_a_code_host_with_many_operations_is_only_read() -> None:
    assert len(list(operations_of(plausible.document("code_host.yaml")))) > 75
    with served(plausible.plausible("code_host.yaml")) as server:
        found, _, said = found_at(server.url)
        assert changed(server) == []
    assert found.target.ask is not None
    assert (found.target.ask.method, found.target.ask.path) == ("GET", "/api/v3/search/code?q={prompt}")
    assert any("more." in line for line in said)

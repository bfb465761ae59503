"""Services that misbehave: discovery ends with a file that validates, or with one sentence, and in time."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from app import discovery, targets
from tests.hostile import behaviours  # noqa: F401 - importing them names them
from tests.hostile.cell import serving
from tests.hostile.matrix import certificate_for

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(90)]  # mostly waiting
WITHIN_S = 30.0
BEHAVIOURS = (
    "sends_numbers_that_are_none",
    "nests_lists_ten_thousand_deep",
    "nests_an_answer_ten_thousand_deep",
    "sends_lone_surrogates",
    "sends_a_hundred_thousand_keys",
    "fills_every_field_with_control_characters",
    "answers_with_any_type",
    "accepts_everything",
    "curses_at_every_second_request",
    "redirects_off_the_target",
    "asks_for_credentials_for_ever",
    "publishes_an_openapi_of_lies",
    "publishes_an_openapi_that_refers_to_itself",
    "shows_metrics_with_huge_labels",
    "shows_metrics_of_nonsense",
    "echoes_secrets_in_its_answer",
    "streams_tokens_of_every_type",
    "streams_garbage",
    "never_ends_its_events",
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate_for("wrong.example", tmp_path_factory.mktemp("tls"))


def looked(url: str, say: Callable[[str], None]) -> str:
    """The file, or what was said instead of one."""
    try:
        found = discovery.explore(url, {}, say, WITHIN_S)
    except discovery.DiscoveryError as error:
        return f"# {error}"
    except TimeoutError:
        return "# It took too long."
    text = discovery.as_toml(found)
    again = targets.validated(tomllib.loads(text), source="found.toml", key=found.target.key)
    assert again == found.target.model_copy(update={"guessed": ()})
    return text


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_whatever_a_service_does_a_file_or_a_sentence_comes_of_it(behaviour: str, certificate: Path) -> None:
    said: list[str] = []
    with serving(behaviour, certificate) as (places, strays):
        text = looked(places.url, said.append)
        assert strays() == 0
    assert all(line.isprintable() for line in [*said, *text.split("\n")])
    assert len(text) < 20_000

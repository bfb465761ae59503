"""``discover`` as a user runs it: the file on standard output, how it goes on standard error."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from app import targets
from tests.discovery.plausible import plausible, served

Greenlight = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def shop() -> Iterator[str]:
    with served(plausible("payments.yaml", key="sk-4242-4242")) as server:
        yield server.url


def test_the_file_is_printed_and_how_it_went_is_told_apart_from_it(greenlight: Greenlight, shop: str) -> None:
    result = greenlight("discover", shop, "-H", "Authorization: Bearer ${TILLS}", TILLS="sk-4242-4242")
    assert result.returncode == 0, result.stderr
    target = targets.validated(tomllib.loads(result.stdout), source="stdout", key="shop")
    assert target.ask is not None
    assert "It answers at POST /v1/support/answers." in result.stderr
    assert "Not tried, since they may change something: POST /v1/charges" in result.stderr
    assert "sk-4242-4242" not in result.stdout + result.stderr


def test_a_file_that_is_there_is_replaced_by_force_only(
    greenlight: Greenlight, shop: str, tmp_path: Path
) -> None:
    file = tmp_path / "shop.toml"
    file.write_text("mine")
    refused = greenlight("discover", shop, "-o", str(file))
    assert refused.returncode == 2
    assert f"{file}: is there already." in refused.stderr
    assert file.read_text() == "mine"
    forced = greenlight("discover", shop, "-o", str(file), "--force")
    assert forced.returncode == 0, forced.stderr
    assert targets.load(str(file)).url == shop
    assert f"python -m app assess {file}" in forced.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["http://127.0.0.1:9"], "connection refused"),
        (["http://127.0.0.1:9/docs?x=1"], "names a place within a service"),
        (["http://127.0.0.1:9", "-H", "nothing"], "give it as 'NAME: VALUE'"),
        (["http://127.0.0.1:9", "-H", "X-Api-Key: plain-text"], "looks like a secret"),
        (["http://127.0.0.1:9", "-H", "X-Api-Key: ${NOT_SET}"], "refers to NOT_SET, and no such variable is"),
        (["http://127.0.0.1:9", "-H", "X Y: z"], "cannot be sent"),
    ],
)
def test_trouble_is_one_message_and_exit_code_2(greenlight: Greenlight, words: list[str], says: str) -> None:
    result = greenlight("discover", *words)
    assert result.returncode == 2
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "plain-text" not in result.stderr

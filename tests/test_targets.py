from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import targets
from app.targets import TargetError


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GREENLIGHT_DATA", str(tmp_path))
    (tmp_path / "targets").mkdir()
    return tmp_path


def write(data: Path, text: str, name: str = "shop") -> Path:
    file = data / "targets" / f"{name}.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_target_needs_only_a_url(data: Path) -> None:
    write(data, 'url = "http://127.0.0.1:8003"')
    target = targets.load("shop")
    assert (target.key, target.host, target.port, target.title) == ("shop", "127.0.0.1", 8003, "127.0.0.1")


def test_a_target_can_be_named_by_its_path(data: Path) -> None:
    assert targets.load(str(write(data, 'url = "http://x"'))).key == "shop"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "url: is needed and missing"),
        ('url = "ftp://x"', "not an http(s) URL"),
        ('url = "http://x"\ntimeot = 3', "timeot: unknown key"),
        (
            'url = "http://x"\n[ask]\npath = "/a"\nmetod = "GET"',
            "ask.metod: unknown key; did you mean 'method'?",
        ),
        ('url = "http://x"\n[redis]\nulr = "redis://x"', "redis.ulr: unknown key; did you mean 'url'?"),
        ('url = "http://x"\n[redis]', "redis.url: is needed and missing"),
        ('url = "http://x"\n[ask]\npath = "a"', "neither a path that starts with /"),
        ('url = "http://x"\n[ask]\npath = "/a"\nmethod = "GET IT"', "not an HTTP method"),
        ('url = "http://x"\n[objectives]\nhit_ratio = 70', "objectives.hit_ratio: Input should be less than"),
        ('url = "http://x"\n[health]\nhealthy = {json = "a"}', "exactly one of `equals` and `present`"),
        ('url = "http://x"\n[levers.cache]\nkind = "toxiproxy"', "needs `api` and `proxy`"),
        ('url = "http://x"\n[levers.cache]\nkind = "magic"', "levers.cache.kind"),
        (
            'url = "http://x"\n[prompts.context]\ntell = "I am Ada."\nask = "Who am I?"',
            "prompts.context: `tell` must hold {secret}",
        ),
        (
            'url = "http://x"\n[[prompts.near_duplicates]]\nquestions = ["a?", "b?"]\ntells = ["Yes", "yes"]',
            "prompts.near_duplicates.0: both questions, or both tells, are the same",
        ),
        (
            'url = "http://x"\n[[prompts.near_duplicates]]\nquestions = ["a?", " "]\ntells = ["yes", "no"]',
            "need two texts each that are not empty",
        ),
        (
            'url="http://x"\ncost={price_per_call_usd=1,questions_per_day=9,budget_per_month_usd=0}',
            "cost.budget_per_month_usd: Input should be greater than 0",
        ),
        ("url = ", "not TOML"),
    ],
)
def test_a_bad_target_is_one_message_that_names_file_key_and_remedy(data: Path, text: str, says: str) -> None:
    file = write(data, text)
    with pytest.raises(TargetError) as error:
        targets.load("shop")
    assert str(file) in str(error.value)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_text_is_refused(data: Path) -> None:
    (data / "targets" / "shop.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TargetError, match="not TOML"):
        targets.load("shop")


def test_an_unknown_name_lists_the_known_ones_and_the_nearest(data: Path) -> None:
    write(data, 'url = "http://x"')
    with pytest.raises(TargetError, match=r"There is no target 'shp'\. Did you mean 'shop'\? Known: shop\."):
        targets.load("shp")


def test_a_path_that_is_not_there_says_so() -> None:
    with pytest.raises(TargetError, match="there is no such target file"):
        targets.load("nowhere/shop.toml")


def test_broken_files_do_not_hide_the_others(data: Path) -> None:
    write(data, "broken", "a")
    write(data, 'url = "http://x"', "b")
    assert [target.key for target in targets.available()] == ["b"]


def test_a_transaction_step_must_name_a_declared_lever(data: Path) -> None:
    write(
        data,
        'url = "http://x"\n[transaction]\npath = "/orders"\nstate = [{name = "stock", url = "/state"}]\n'
        'steps = [{name = "reserve", lever = "stock"}]',
    )
    with pytest.raises(TargetError, match="names lever 'stock', not declared"):
        targets.load("shop")


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("http://127.0.0.1:8003", "127.0.0.1-8003"),
        ("https://a.example/x/", "a.example-x"),
        ("http://[::1]:80", "1-80"),
    ],
)
def test_a_bare_url_has_a_key_that_is_safe_as_a_file_name(url: str, key: str) -> None:
    assert targets.url_key(url) == key


@given(st.text())
def test_no_text_makes_an_unsafe_key(text: str) -> None:
    key = targets.url_key("http://" + text)
    assert key
    assert set("/\\\0 \n") & set(key) == set()
    assert not key.startswith(".")


@given(
    st.dictionaries(st.text(), st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
)
def test_any_document_is_a_target_or_one_clear_error(document: dict[str, object]) -> None:
    try:
        url = targets.validated(document, source="file.toml", key="x").url
    except TargetError as error:
        url = str(error).removeprefix("file.toml: ")
    assert url
    assert not url.startswith("file.toml")

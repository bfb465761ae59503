"""What the operator allows, and what is this machine."""

from __future__ import annotations

import pytest

from app.instruments.origins import Origin, declared_origins, is_loopback
from app.instruments.policy import AllowListError, CeilingError, Policy
from checks.contract import InstrumentFailure, LoadPlan, Stage, Target


def policy(**environ: str) -> Policy:
    return Policy.from_environment(environ, faults=True)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "app.localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_this_machine_needs_no_permission(host):
    assert is_loopback(host)
    assert policy().allows(Origin("http", host, 80))


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "10.0.0.1",
        "127.1",
        "localhost.example.com",
        "127.0.0.1.nip.io",
        "::2",
        "2130706433",
    ],
)
def test_anything_else_does(host):
    assert not is_loopback(host)
    refusal = policy().refusal(Origin("http", host, 80))
    assert refusal is not None
    assert refusal.reason.startswith(f"{host} is not this machine")
    assert "GREENLIGHT_ALLOW_HOSTS" in refusal.reason


@pytest.mark.parametrize(
    ("listed", "url", "allowed"),
    [
        ("example.com", "https://example.com", True),
        ("Example.COM", "http://EXAMPLE.com:81", True),
        (" a.example , example.com ", "http://example.com", True),
        ("example.com:443", "https://example.com", True),
        ("example.com:443", "http://example.com", False),
        ("example.com", "http://sub.example.com", False),
        ("example.com", "http://example.com.evil.test", False),
        ("[2001:db8::1]:80", "http://[2001:db8::1]", True),
        ("2001:db8::1", "http://[2001:db8::1]", True),
        ("*", "http://example.com", False),
        ("", "http://example.com", False),
    ],
)
def test_a_host_is_listed_for_any_port_or_for_one(listed, url, allowed):
    assert policy(GREENLIGHT_ALLOW_HOSTS=listed).allows(Origin.of(url)) is allowed


def test_the_list_may_be_a_file_with_comments(tmp_path):
    file = tmp_path / "allowed"
    file.write_text("# ours\nexample.com  # staging\n\nother.example:8080\n")
    allowed = policy(GREENLIGHT_ALLOW_FILE=str(file), GREENLIGHT_ALLOW_HOSTS="third.example")
    assert allowed.allowed_hosts == {"example.com", "other.example:8080", "third.example"}


def test_a_list_that_cannot_be_read_is_an_error_that_names_the_file(tmp_path):
    with pytest.raises(AllowListError, match="missing"):
        policy(GREENLIGHT_ALLOW_FILE=str(tmp_path / "missing"))


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://[::1", "http://x:port", "x"])
def test_what_is_no_url_has_no_origin(url):
    with pytest.raises(InstrumentFailure):
        Origin.of(url)


def test_every_place_of_a_target_file_is_declared_with_the_secrets_it_may_get():
    target = Target.model_validate(
        {
            "url": "http://a.example/base",
            "ask": {"path": "/ask", "headers": {"K": "${A}"}, "body": {"k": ["${B}"]}},
            "stream": {"path": "http://b.example/s?k=${C}", "body": "${D}"},
            "health": {"liveness": "http://a.example:81/live", "metrics": "/m", "headers": {"K": "${E}"}},
            "upstream": {"calls": {"url": "https://c.example/meter", "json": "calls"}},
            "redis": {"url": "redis://:${NOT_OVER_HTTP}@a.example"},
            "levers": {"one": {"kind": "toxiproxy", "api": "http://d.example", "proxy": "p"}},
            "transaction": {
                "path": "/order",
                "headers": {"K": "${F}"},
                "state": [{"name": "s", "url": "http://e.example/s", "headers": {"K": "${G}"}}],
                "steps": [{"name": "t", "lever": "one"}],
            },
        }
    )
    assert {str(origin): set(names) for origin, names in declared_origins(target).items()} == {
        "http://a.example:80": {"A", "B", "E", "F"},
        "http://b.example:80": {"C", "D"},
        "http://a.example:81": {"E"},
        "https://c.example:443": set(),
        "http://e.example:80": {"G"},
    }


def a_load(users=1, *rates_per_s):
    return LoadPlan(
        "spike", users, 1.0, ("One?",), stages=tuple(Stage(1.0, rate, 1.0) for rate in rates_per_s)
    )


def test_a_load_beyond_the_operators_ceilings_is_refused_and_the_variable_is_named():
    ceilings = policy(GREENLIGHT_MAX_USERS="5", GREENLIGHT_MAX_RATE="20")
    assert ceilings.load_refusal(a_load(5)) is None
    assert ceilings.load_refusal(a_load(5, 20.0)) is None
    assert ceilings.load_refusal(a_load(6)).reason == (
        "The scenario spike has 6 users; at most 5 are allowed. "
        "The operator raises this with GREENLIGHT_MAX_USERS."
    )
    assert "6 requests under way at once; at most 5" in ceilings.load_refusal(a_load(6, 1.0)).reason
    assert ceilings.load_refusal(a_load(5, 1.0, 20.5)).reason == (
        "The scenario spike sends 20.5 requests a second; at most 20 are allowed. "
        "The operator raises this with GREENLIGHT_MAX_RATE."
    )


@pytest.mark.parametrize("text", ["many", "0", "-3", "nan", "inf", "1e999"])
def test_a_ceiling_that_is_no_number_above_0_is_refused_by_name(text):
    with pytest.raises(CeilingError, match="GREENLIGHT_MAX_RATE is "):
        policy(GREENLIGHT_MAX_RATE=text)

"""Defects of who may call, and how often."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from fastapi import Request

from app.sample.chat.shops import Lists, Tokens

ANYBODY = "anybody"


def tokens(key: str, defects: AbstractSet[str]) -> Tokens:
    """What tells who a shop is."""
    kinds: dict[str, type[Tokens]] = {
        "auth_missing": Unasked,
        "auth_signature_unchecked": Unsigned,
        "auth_expired_accepted": Timeless,
    }
    kind = next((kind for name, kind in kinds.items() if name in defects), Tokens)
    return kind(key)


def lists(defects: AbstractSet[str]) -> Lists:
    """What says how often a shop may list its orders."""
    kinds: dict[str, type[Lists]] = {
        "rate_limit_absent": Unlimited,
        "rate_limit_by_address": ByAddress,
        "rate_limit_lifted_by_header": Liftable,
    }
    kind = next((kind for name, kind in kinds.items() if name in defects), Lists)
    return kind()


class Unasked(Tokens):
    """Whoever shows no token, or a bad one, is let in all the same."""

    def shop(self, token: str) -> str | None:
        """The shop of a good token, and somebody for any other."""
        return super().shop(token) or ANYBODY


class Unsigned(Tokens):
    """Claims are read and believed; the signature is not looked at."""

    def signed(self, _token: str) -> bool:
        """Never in doubt."""
        return True


class Timeless(Tokens):
    """A token that was good once is good for ever."""

    def in_time(self, _claims: dict[str, object]) -> bool:
        """Never too late."""
        return True


class Unlimited(Lists):
    """Nobody counts."""

    def count(self, shop: str, request: Request) -> None:
        """Nothing is counted."""


class ByAddress(Lists):
    """Shops behind one address share one limit."""

    def caller(self, _shop: str, request: Request) -> str:
        """Where the request comes from."""
        return request.client.host if request.client else ""


class Liftable(Lists):
    """Whom a request was forwarded for is believed of anybody, so a new address is a new limit."""

    def caller(self, shop: str, request: Request) -> str:
        """The shop, at the address that the request names itself."""
        return f"{shop} {request.headers.get('x-forwarded-for', '')}"

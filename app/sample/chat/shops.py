"""Who a shop is, and how often it may list its orders."""

from __future__ import annotations

import math
import time

from fastapi import Request

from app.sample import tokens
from app.sample.chat.guards import Rate
from app.sample.chat.problems import ProblemError

LISTS_PER_S = 10.0  # of one shop, after a burst of 20


class Tokens:
    """Tells from a token which shop it is."""

    def __init__(self, key: str) -> None:
        self._key = key

    def shop(self, token: str) -> str | None:
        """The shop of a token that is signed and has not run out; None for any other."""
        claims = tokens.part(token, 1)
        if not isinstance(claims, dict) or not self.signed(token) or not self.in_time(claims):
            return None
        return str(claims.get("sub", "")) or None

    def signed(self, token: str) -> bool:
        """Whether it is ours, as it was signed."""
        return tokens.is_signed(token, self._key)

    def in_time(self, claims: dict[str, object]) -> bool:
        """Whether it has not run out."""
        expires_at = claims.get("exp")
        return isinstance(expires_at, int) and expires_at > time.time()


class Lists:
    """How often a shop may list its orders."""

    def __init__(self) -> None:
        self._rate = Rate(LISTS_PER_S)

    def count(self, shop: str, request: Request) -> None:
        """Count one list. Raises ProblemError 429 for one too many."""
        wait_s = self._rate.wait_s(self.caller(shop, request))
        if wait_s:
            headers = {"Retry-After": str(math.ceil(wait_s))}
            raise ProblemError(429, "A shop may list its orders ten times a second.", headers)

    def caller(self, shop: str, _request: Request) -> str:
        """Who is counted."""
        return shop

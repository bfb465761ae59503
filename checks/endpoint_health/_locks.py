"""What the replies to all attempts at a protected route say of its lock. Pure; private to this family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from checks.contract import FailureKind
from checks.endpoint_health._attempts import What, same_place

REFUSALS = (401, 403)
HIDDEN = 404  # RFC 9110, 15.5.4: a server may hide that there is something to forbid


@dataclass(frozen=True)
class Tried:
    """One attempt and its reply. ``asked`` and ``landed`` are paths: they differ after a redirect.

    ``anywhere`` is whether a path that is not there gets a 2xx just so. ``challenge``: WWW-Authenticate came.
    """

    route: str
    name: str
    what: What
    status: int | None
    failure: str
    asked: str
    landed: str
    anywhere: bool
    challenge: bool
    reproduce: str

    @property
    def let_in(self) -> bool:
        """Whether the reply is a success."""
        return self.failure == "" and 200 <= (self.status or 0) < 300

    @property
    def sent_away(self) -> bool:
        """Whether the reply leads elsewhere: to a page to sign in, on this host or another."""
        return self.failure == FailureKind.REDIRECT or not same_place(self.asked, self.landed)

    @property
    def broke(self) -> bool:
        """Whether there was no proper reply."""
        return (self.failure != "" and not self.sent_away) or (self.status or 0) >= 500

    @property
    def got(self) -> str:
        """The reply in words."""
        if self.failure and not self.sent_away:
            return f"no reply ({self.failure})"
        return f"{self.status} at {self.landed}" if self.let_in and self.sent_away else str(self.status)


@dataclass(frozen=True)
class Lock:
    """All attempts at one route."""

    route: str
    tried: tuple[Tried, ...]

    @property
    def valid(self) -> Tried | None:
        """What the right credential got, None where it was not sent."""
        return self._first("valid")

    @property
    def bare(self) -> Tried | None:
        """What no credential at all got."""
        return self._first("none")

    @property
    def opens(self) -> bool:
        """Whether the right credential is accepted, as far as it was tried."""
        return self.valid is not None and self.valid.let_in

    @property
    def opened(self) -> list[Tried]:
        """Attempts that got in and should not have."""
        wrong = ("none", "credential", "malformed", "way")
        return [each for each in self.tried if each.what in wrong and self._got_in(each)]

    @property
    def broken(self) -> list[Tried]:
        """Wrong attempts on which the lock itself failed, while the route replied to others."""
        if all(each.broke for each in self.tried):
            return []
        return [each for each in self.tried if each.broke and each.what != "valid"]

    @property
    def unproven(self) -> str:
        """Why the refusals at this route prove nothing; "" where they do."""
        bare, valid = self.bare, self.valid
        if bare is None or (bare.status is None and not bare.sent_away):
            return f"{self.route} gave no reply"
        if bare.status == 429:
            return f"{self.route} limits the rate (429)"
        if valid is not None and valid.broke:
            return f"{self.route} answers the valid credential with {valid.got}"
        refused = bare.status in REFUSALS or bare.sent_away
        if valid is not None and refused and valid.status in REFUSALS:
            return f"{self.route} refuses everybody, the valid credential too ({valid.status})"
        if refused or self.opens or bare.let_in:
            return ""
        return f"{self.route} answers {bare.status} to no credential, which says nothing of a lock"

    @property
    def unclear(self) -> list[Tried]:
        """Wrong credentials that got a 4xx which another part of the service may have given."""
        if self.opens or self.unproven:
            return []
        known = {*REFUSALS, 429, self.bare.status if self.bare else None}
        return [
            each
            for each in self.tried
            if each.what == "credential"
            and not each.broke
            and not each.sent_away
            and each.status not in known
        ]

    @property
    def remarks(self) -> list[str]:
        """What is worth saying though nobody got in."""
        bare = self.bare
        found = []
        if bare is not None and bare.status == HIDDEN:
            found.append(f"{self.route} hides behind a 404")
        if bare is not None and bare.status == 401 and not bare.challenge:
            found.append(f"its 401 lacks WWW-Authenticate, which RFC 9110 demands (11.6.1): {self.route}")
        for each in self.tried:
            if each.what == "scheme" and self._got_in(each):
                found.append(f"{self.route} takes the right credential under another scheme too")
            if each.what == "undeclared" and self._got_in(each):
                found.append(
                    f"GET instead of {self.route} needs no credential; if it should, declare it as protected"
                )
        return found

    def _got_in(self, each: Tried) -> bool:
        if not each.let_in or each.anywhere:
            return False
        return not each.sent_away or (
            self.opens and self.valid is not None and each.landed == self.valid.landed
        )

    def _first(self, what: What) -> Tried | None:
        return next((each for each in self.tried if each.what == what), None)


def locks(tried: Sequence[Tried]) -> list[Lock]:
    """The attempts by route, in order."""
    return [Lock(route, tuple(group)) for route, group in groupby(tried, key=lambda each: each.route)]

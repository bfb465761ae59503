"""How callers show who they are. Secrets are references to variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from checks.contract.target.calls import Call, HeaderName, Method, Table

REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")  # a secret, by the name of its variable


class Protected(Call):
    """``[[auth.protected]]``: a route that needs a credential; the method is GET unless stated.

    What changes something is never sent with a valid credential, so its ``body`` may be a good one.
    """

    method: Method = "GET"


def _by_reference(credential: str) -> str:
    if not REFERENCE.search(credential):
        raise ValueError("holds a credential as it stands; write ${ENV_NAME} for it and set that variable")
    return credential


Credential = Annotated[str, AfterValidator(_by_reference)]


class Auth(Table):
    """``[auth]``: the ``header`` by which callers show who they are, and what stands in it.

    ``valid`` and ``other`` are credentials of two users, ``expired`` one that has run out or was revoked,
    ``wrong`` one that never was (made up where it is left out). ``spared`` is one that the rate limit spares:
    load is sent with it. Each is the whole value of the header: ``Bearer ${SHOP_TOKEN}``.
    """

    header: HeaderName = "Authorization"
    valid: Credential | None = None
    other: Credential | None = None
    expired: Credential | None = None
    wrong: str | None = None
    spared: Credential | None = None
    protected: tuple[Protected, ...] = Field(default=(), max_length=20)

    @property
    def credentials(self) -> tuple[str, ...]:
        """All that are declared."""
        return tuple(filter(None, (self.valid, self.other, self.expired, self.wrong, self.spared)))

    def sent_with(self, credential: str | None, headers: Mapping[str, str]) -> dict[str, str]:
        """``headers`` with this credential in place of whatever was there; with None there is none at all."""
        kept = {name: text for name, text in headers.items() if name.lower() != self.header.lower()}
        return kept if credential is None else {**kept, self.header: credential}

"""Wrong credentials made from the right one, as somebody makes them who has seen one and lacks the key."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass

from app.instruments.references import References
from checks.contract import Forgery
from checks.contract.target.auth import REFERENCE, Auth

SHORTEST = 8  # of a shorter one too little is left after the change
LAST = 4  # JWT's base64 has unused bits in its last character, so one would not always change the signature
JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
CLAIM = "greenlight"  # a claim more changes what is signed, and nothing that a service looks at


class DeclaredCredentials:
    """Implements ``checks.contract.Credentials`` for ``[auth] valid``.

    What is made is known to ``references`` alone, hidden like the secret that it was made of, and sent only
    where that may go.
    """

    def __init__(self, auth: Auth | None, references: References) -> None:
        self._auth = auth
        self._references = references

    def forgeries(self) -> list[Forgery]:
        """A changed signature, none, and changed claims for a JWT; for the rest other last characters.

        Raises InstrumentFailure where the variable of the credential is not set.
        """
        valid = self._auth.valid if self._auth else None
        found = REFERENCE.findall(valid or "")
        if valid is None or len(found) != 1 or not valid.endswith("}"):
            return []
        [name] = found
        token = self._references.resolve(f"${{{name}}}")
        if len(token) < SHORTEST:
            return []
        made = _of_jwt(name, token) if _claims(token) is not None else [_other_end(name, token)]
        for each in made:
            self._references.made(each.variable, each.value, of=name)
        return [
            Forgery(
                each.what,
                valid.replace(f"${{{name}}}", f"${{{each.variable}}}"),
                f"{each.variable}={each.shell}",
            )
            for each in made
        ]


@dataclass(frozen=True)
class _Made:
    """One forgery: the variable that stands for it, its value, and what a shell makes of the original."""

    what: str
    variable: str
    value: str
    shell: str


def _of_jwt(name: str, token: str) -> list[_Made]:
    head, body, signature = token.split(".")
    unsigned = _encoded({"alg": "none", "typ": "JWT"})
    changed = _encoded({**(_claims(token) or {}), CLAIM: 1})
    return [
        _other_end(name, token),
        _Made(
            "one that says it needs no signature (alg none)",
            f"{name}_UNSIGNED",
            f"{unsigned}.{body}.",
            f'"{unsigned}.$(printf %s "${name}" | cut -d. -f2)."',
        ),
        _Made(
            "one whose claims were changed",
            f"{name}_CLAIMS",
            f"{head}.{changed}.{signature}",
            _changing_claims(name),
        ),
    ]


def _other_end(name: str, token: str) -> _Made:
    end = "AAAA" if token[-LAST:-1] != "AAA" else "zzzz"
    value, shell = token[:-LAST] + end, f'"${{{name}%????}}{end}"'
    return _Made("one whose last characters were changed", f"{name}_CHANGED", value, shell)


def _claims(token: str) -> dict[str, object] | None:
    """What a JWT says; None where ``token`` is none."""
    if not JWT.fullmatch(token):
        return None
    head, body = (_decoded(part) for part in token.split(".")[:2])
    return body if isinstance(head, dict) and "alg" in head and isinstance(body, dict) else None


def _decoded(part: str) -> object:
    try:
        return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return None


def _encoded(document: dict[str, object]) -> str:
    text = json.dumps(document, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _changing_claims(name: str) -> str:
    script = (
        "import base64 as b, json, sys; h, p, s = sys.stdin.read().split('.'); "
        f"c = {{**json.loads(b.urlsafe_b64decode(p + '==')), '{CLAIM}': 1}}; "
        "e = b.urlsafe_b64encode(json.dumps(c).encode()).decode().rstrip('='); print('.'.join((h, e, s)))"
    )
    return f'$(printf %s "${name}" | python3 -c "{script}")'

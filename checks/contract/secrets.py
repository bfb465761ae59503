"""Recognises secrets and personal data in a label or a text by their form. Pure.

The forms are those that their issuers document. There is no test of entropy: a commit id or a digest in a
label of an info metric is ordinary.
"""

from __future__ import annotations

import re

FORMS = (
    ("a private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY")),
    ("an API key", re.compile(r"\b(?:sk|pk|rk)[-_](?:[a-z]+[-_])*[A-Za-z0-9_-]{16,}")),
    ("an AWS access key", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("a Google API key", re.compile(r"\bAIza[0-9A-Za-z_-]{35}")),
    ("a GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,})")),
    ("a Slack token", re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}")),
    ("a JSON web token", re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.")),
    ("a bearer token", re.compile(r"\b[Bb]earer\s+(?=\S*\d)[\w.~+/-]{8,}")),
    ("a password", re.compile(r"\b[Bb]asic\s+(?=\S*[A-Z0-9])[A-Za-z0-9+/]{8,}={0,2}$")),
    ("a password in a URL", re.compile(r"://[^/\s:@]*:[^@/\s]+@")),
)
MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
SECRET_LABELS = frozenset(
    ("api_key", "apikey", "password", "passwd", "secret", "access_token", "auth_token", "authorization")
)
SHORTEST_SECRET = 8


def secret_form(text: str) -> str | None:
    """What kind of secret stands in ``text``, by its form; else None."""
    return next((kind for kind, form in FORMS if form.search(text)), None)


def secret_kind(label: str, value: str) -> tuple[str, bool] | None:
    """What ``value`` is if it must not be in a label, and whether it is a secret; else None."""
    if kind := secret_form(value):
        return kind, True
    if label.lower() in SECRET_LABELS and len(value) >= SHORTEST_SECRET:
        return "a secret, by its name", True
    return ("a mail address", False) if MAIL.search(value) else None

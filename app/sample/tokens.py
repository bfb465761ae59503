"""Tokens of shops: JSON Web Tokens (RFC 7519) signed with HMAC-SHA256."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from typing import Any

HEADER = {"alg": "HS256", "typ": "JWT"}


def token(shop: str, key: str, *, expires_at: float) -> str:
    """A token of ``shop`` until ``expires_at``, in seconds since 1970."""
    signed = f"{_encoded(HEADER)}.{_encoded({'sub': shop, 'exp': int(expires_at)})}"
    return f"{signed}.{_signature(signed, key)}"


def is_signed(text: str, key: str) -> bool:
    """Whether ``text`` is a token that was signed with ``key`` in the one way that is taken, HS256."""
    signed, _, signature = text.rpartition(".")
    ours = _signature(signed, key)
    return part(text, 0) == HEADER and hmac.compare_digest(signature.encode(), ours.encode())


def part(text: str, number: int) -> Any:
    """What a part of a token says: 0 its header, 1 its claims; None where there is no such thing."""
    parts = text.split(".")
    if len(parts) != 3:
        return None
    try:
        return json.loads(base64.urlsafe_b64decode(parts[number] + "=="))
    except (binascii.Error, ValueError, RecursionError):
        return None


def _encoded(document: dict[str, Any]) -> str:
    return _base64(json.dumps(document, separators=(",", ":")).encode())


def _signature(signed: str, key: str) -> str:
    return _base64(hmac.digest(key.encode(), signed.encode(), hashlib.sha256))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")

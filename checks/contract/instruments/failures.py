"""What an instrument says where it cannot measure, and why a request got no usable reply."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class InstrumentFailure(Exception):  # noqa: N818 - it names a fact about the service, not a bug
    """An instrument could not measure. ``missing`` names the target-file key that would help."""

    def __init__(self, reason: str, *, missing: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.missing = missing


class ServerDown(InstrumentFailure):
    """A server that the target declares gave no reply: a finding where that server is what is judged."""


class FailureKind(StrEnum):
    """Why a request got no usable reply."""

    REFUSED = "refused"
    RESET = "reset"
    TIMEOUT = "timeout"
    TLS = "tls"
    DNS = "dns"
    PROTOCOL = "protocol"
    TOO_LARGE = "too_large"
    REDIRECT = "redirect"
    STATUS = "status"
    WRONG_BODY = "wrong_body"


@dataclass(frozen=True, slots=True)
class Failure:
    """A kind and one example of it in words."""

    kind: FailureKind
    detail: str

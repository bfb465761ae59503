"""What handshakes say of a service's TLS, in sentences. Pure; private to this family."""

from __future__ import annotations

from checks.contract import TlsFacts, show

MODERN = ("TLSv1.2", "TLSv1.3")


def broken_tls(tls: TlsFacts) -> list[str]:
    """What is wrong with it today, a sentence each."""
    if tls.failure is not None:
        return [f"No TLS connection comes about: {tls.failure.detail}."]
    found = []
    if tls.days_left is not None and tls.days_left < 0:
        found.append(f"The certificate ended {show(-tls.days_left, 'days')} ago.")
    elif tls.distrust:
        found.append(f"The certificate is not trusted: {tls.distrust}.")
    if tls.name_matches is False:
        names = ", ".join(tls.names[:3]) or "no name at all"
        found.append(f"The certificate is for another name ({names}).")
    if tls.version not in MODERN:
        found.append(f"It speaks {tls.version or 'an unknown version of TLS'} and nothing newer.")
    elif tls.old_versions:
        found.append(f"It agrees to {' and '.join(tls.old_versions)}, which RFC 8996 forbids.")
    return found


def spoken(tls: TlsFacts | None) -> str:
    """What protects the way to a sound service; None is plain HTTP on this machine."""
    if tls is None:
        return "Plain HTTP that stays on this machine, so TLS is not judged"
    untried = f" ({' and '.join(tls.untried)} could not be tried from here)" if tls.untried else ""
    return f"{tls.version}{untried}, with a certificate for {show(tls.days_left or 0, 'days')} more"

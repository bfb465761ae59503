"""How Greenlight introduces itself to a service, and which replies lead elsewhere."""

from __future__ import annotations

USER_AGENT = "Greenlight/0.1 (readiness assessment)"
REDIRECTS = frozenset({301, 302, 303, 307, 308})

"""The declared question as a request that was never sent before, and what OpenAPI says of where it goes.

Private to this family.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from checks.contract import BodyField, Call, InstrumentFailure, Instruments, Operation, Request


def new_question(call: Call, prompt: str) -> Request:
    """A good request of one and the same user, in a session of its own."""
    # Not from the run's seed: a key that was used before would replay its reply.
    nonce = str(uuid.uuid4())
    return call.render(prompt=prompt, user="person-1", session=nonce, nonce=nonce)


async def known_operations(instruments: Instruments) -> list[Operation]:
    """What OpenAPI lists; nothing without a document: then less is known to be wrong."""
    try:
        return await instruments.openapi.operations()
    except InstrumentFailure:
        return []


def declared_at(
    operations: Sequence[Operation], request: Request
) -> tuple[Mapping[str, BodyField], frozenset[str]]:
    """What OpenAPI says of the body's fields, and which methods are operations of their own at the path."""
    here = [each for each in operations if each.path == urlsplit(request.url).path]
    fields = next((each.fields for each in here if each.method == request.method), {})
    return fields, frozenset(each.method for each in here)

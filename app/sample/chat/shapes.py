"""The shapes of requests and replies. Requests are strict: no coercion, no unknown field."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _readable(text: str) -> str:
    if not text.strip():
        raise ValueError("must hold something besides white space")
    if any(ord(character) < 32 and character not in "\t\n\r" for character in text):
        raise ValueError("must not hold control characters")
    return text


Readable = Annotated[str, AfterValidator(_readable)]


class Asked(BaseModel):
    """What a caller sends."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class ChatRequest(Asked):
    """A question."""

    message: Readable = Field(min_length=1, max_length=4_000, examples=["What is your refund policy?"])
    session_id: Readable = Field(min_length=1, max_length=128, examples=["session-42"])


class ChatMetadata(BaseModel):
    """Where an answer came from."""

    from_cache: bool
    model: str = Field(examples=["support-large-2"])
    instance: str = Field(examples=["chat-5f3a"])


class ChatReply(BaseModel):
    """An answer."""

    answer: str = Field(examples=["Happy to help with refund, policy: you have 30 days from delivery."])
    session_id: str = Field(examples=["session-42"])
    metadata: ChatMetadata


class OrderLine(Asked):
    """One article and how many of it."""

    sku: str = Field(pattern=r"^[A-Z0-9-]{1,32}$", examples=["MUG-WHITE"])
    quantity: int = Field(ge=1, le=1_000, examples=[2])


class OrderRequest(Asked):
    """An order."""

    customer: Readable = Field(min_length=1, max_length=100, examples=["Ada Lovelace"])
    items: list[OrderLine] = Field(min_length=1, max_length=20)


class OrderReply(BaseModel):
    """An order that is booked at all partners."""

    order: str = Field(examples=["ord-3f2a9c0d1e2b4c5d"])
    status: str = Field(examples=["booked"])


class OrderList(BaseModel):
    """Orders, the latest first."""

    orders: list[str] = Field(examples=[["ord-3f2a9c0d1e2b4c5d"]])


class Ordered(BaseModel):
    """What was ordered."""

    customer: str = Field(examples=["Ada Lovelace"])
    items: list[OrderLine]


class OrderBookReply(BaseModel):
    """Orders by reference."""

    orders: dict[str, Ordered]


class Health(BaseModel):
    """Whether this process works, and how its components are."""

    status: str = Field(examples=["healthy"])
    instance: str = Field(examples=["chat-5f3a"])
    version: str = Field(examples=["1.4.0"])
    started_at: str = Field(examples=["2025-11-23T09:00:00+00:00"])
    components: dict[str, dict[str, Any]] = Field(examples=[{"cache": {"status": "up"}}])


class Ready(BaseModel):
    """Whether this process can answer questions now."""

    status: str = Field(examples=["ready"])
    dependencies: dict[str, str] = Field(examples=[{"cache": "up", "model": "up"}])

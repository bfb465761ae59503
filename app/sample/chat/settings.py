"""What the chat API is told: addresses, limits and time-outs. Units stand in the names."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from pydantic import BaseModel, ConfigDict

VERSION = "1.4.0"


class Settings(BaseModel):
    """Read from a JSON file, what is secret from the environment; each process makes its own ``instance``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: int
    instance: str
    shop_key: str
    cache_url: str
    model_url: str
    stock_url: str
    drafts_url: str
    invoices_url: str
    journal: Path
    shared_port: bool = False
    defects: frozenset[str] = frozenset()

    cache_ttl_s: int = 900
    cache_timeout_s: float | None = 0.25
    memory_entries: int = 500
    model_timeout_s: float | None = 2.5
    model_connect_timeout_s: float = 0.5
    model_tries: int = 3
    model_parallel: int = 16
    model_waiting: int = 8
    model_wait_s: float = 1.0
    partner_timeout_s: float = 0.5
    body_limit_bytes: int = 64_000
    user_rate_per_s: float = 500.0
    address_rate_per_s: float = 2_000.0

    @classmethod
    def load(cls, config_file: str) -> Settings:
        """Raises KeyError for a missing variable, ValidationError for a key that is wrong."""
        environment = {
            name: os.environ[f"GREENLIGHT_SAMPLE_{name.upper()}"]
            for name in ("port", "shop_key", "cache_url", "journal")
        }
        environment["instance"] = f"chat-{secrets.token_hex(4)}"
        return cls.model_validate(json.loads(Path(config_file).read_text()) | environment)

"""Shell lines that repeat what the cache checks did. Private to this family."""

from __future__ import annotations

import re

from checks.contract import Instruments, Route, Target

PASSWORD = re.compile(r"^(\w+://[^:/@]*:)(?!\$\{)[^/]+@")


def redis_cli(url: str) -> str:
    """The redis-cli call for a Redis as the target file names it; a password stays a reference."""
    shown = PASSWORD.sub(r"\1$REDIS_PASSWORD@", url)
    return f'redis-cli -u "{shown}"'


def ask_twice(instruments: Instruments, prompt: str, route: Route | None) -> str:
    """A loop that asks the same question twice and times it; empty where no route answers."""
    if route is None:
        return ""
    return f"for i in 1 2; do time {instruments.questions.curl(prompt, route=route)}; done"


def meter_line(target: Target) -> str:
    """How the upstream meter is read; empty where none is declared."""
    return f"curl -s {target.absolute(target.upstream.calls.url)}" if target.upstream else ""

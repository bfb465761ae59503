"""One example of each kind of failure, for people: bounded, printable, without secrets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from checks.contract import Failure, FailureKind, plural, printable

MAX_EXAMPLES = 50
MAX_CHARS = 200


class Examples:
    """Counts failures by kind and status, and keeps the first text of each."""

    def __init__(self, hide: Callable[[str], str]) -> None:
        self._hide = hide
        self._texts: dict[tuple[FailureKind, int], str] = {}
        self._counts: Counter[tuple[FailureKind, int]] = Counter()

    def add(self, failure: Failure, status: int) -> None:
        """Count a failure; keep its text where it is the first of its kind and status."""
        key = (failure.kind, status)
        self._counts[key] += 1
        if key not in self._texts and len(self._texts) < MAX_EXAMPLES:
            self._texts[key] = printable(self._hide(failure.detail)[:MAX_CHARS])

    def of(self) -> Mapping[str, str]:
        """By FailureKind: the text of the commonest status, and how often others came.

        So a service that limits the rate is told from one that breaks, where both happen.
        """
        texts: dict[str, str] = {}
        for key, number in self._counts.most_common():
            kind = key[0]
            if key not in self._texts:
                continue
            if kind not in texts:
                texts[kind] = self._texts[key]
            elif kind is FailureKind.STATUS:
                texts[kind] += f" · {plural(number, 'reply', 'replies')} with {self._texts[key]}"
        return {str(kind): text for kind, text in texts.items()}

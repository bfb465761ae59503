"""Questions, random per run, so that a service cannot be tuned to them."""

from __future__ import annotations

import re
import threading
import tomllib
from pathlib import Path
from random import Random

from checks.contract import InstrumentFailure

WORDS = Path(__file__).parents[2] / "data" / "prompts.toml"
SLOT = re.compile(r"\{(\w+)\}")
TRIES = 100


class RunPrompts:
    """Questions of one run: none is given out twice, whichever check asks for them.

    The lists make tens of millions of questions, so two runs share one only by rare chance. Checks that run
    side by side may ask from their own threads.
    """

    def __init__(self, repeat: tuple[str, ...], random: Random, words: Path = WORDS) -> None:
        document = tomllib.loads(words.read_text(encoding="utf-8"))
        self._repeat = repeat
        self._random = random
        self._templates: list[str] = document["templates"]
        self._asides: list[str] = document["asides"]
        self._words: dict[str, list[str]] = document["words"]
        self._given: set[str] = set()
        self._lock = threading.Lock()

    def fresh(self, count: int) -> list[str]:
        """``count`` never-seen questions. Raises InstrumentFailure when the words are used up."""
        return [self._new(self._templates) for _ in range(count)]

    def repeats(self, distinct: int) -> list[str]:
        """``distinct`` questions of the declared mix, each with a remark that is new in every call.

        The remark keeps answers that an earlier scenario or run left in a cache from counting: within one
        call the questions repeat, between calls they do not. Questions beyond those declared repeat the
        declared ones with another remark.
        """
        if not self._repeat:
            raise InstrumentFailure(
                "No repeated questions are declared. Add `[prompts] repeat` to the target file.",
                missing="prompts.repeat",
            )
        questions: list[str] = []
        while len(questions) < distinct:
            aside = self.aside()
            questions += [f"{_sentence(question)} {aside}" for question in self._repeat]
        return questions[:distinct]

    def aside(self) -> str:
        """A remark that no question of this run had so far."""
        return self._new(self._asides)

    def _new(self, templates: list[str]) -> str:
        with self._lock:
            for _ in range(TRIES):
                text = SLOT.sub(
                    lambda match: self._random.choice(self._words[match[1]]), self._random.choice(templates)
                )
                text = text[0].upper() + text[1:]
                if text not in self._given:
                    self._given.add(text)
                    return text
        raise InstrumentFailure("The word lists in data/prompts.toml are used up in this run.")


def _sentence(question: str) -> str:
    return question if question.rstrip().endswith((".", "?", "!")) else f"{question.rstrip()}."

"""What users ask."""

from __future__ import annotations

from pydantic import Field, model_validator

from checks.contract.target.calls import Table


class NearDuplicates(Table):
    """``[[prompts.near_duplicates]]``: two questions that read nearly alike and have different right answers.

    ``tells`` is a word or phrase for each, which the right answer to it holds and the other's does not.
    """

    questions: tuple[str, str]
    tells: tuple[str, str]

    @model_validator(mode="after")
    def _differ(self) -> NearDuplicates:
        if not all(text.strip() for text in (*self.questions, *self.tells)):
            raise ValueError("`questions` and `tells` need two texts each that are not empty")
        if self.questions[0] == self.questions[1] or self.tells[0].casefold() == self.tells[1].casefold():
            raise ValueError("both questions, or both tells, are the same; each pair must differ")
        return self


class Context(Table):
    """``[prompts.context]``: how a user tells something that only their own answers may know.

    ``tell`` is sent in the user's session with a made-up word in place of ``{secret}``; ``ask`` is a question
    whose right answer in that session holds it.
    """

    tell: str
    ask: str

    @model_validator(mode="after")
    def _holds_a_secret(self) -> Context:
        if "{secret}" not in self.tell or "{secret}" in self.ask or not self.ask.strip():
            raise ValueError("`tell` must hold {secret}, and `ask` must ask for it without naming it")
        return self


class Prompts(Table):
    """``[prompts]``: the questions that users repeat, those that must be told apart, and users' context."""

    near_duplicates: tuple[NearDuplicates, ...] = Field(default=(), max_length=20)
    context: Context | None = None
    repeat: tuple[str, ...] = (
        "What is your refund policy?",
        "Tell me about shipping",
        "How do I return items?",
        "Which payment methods do you accept?",
        "What are your business hours?",
        "Where is my order?",
        "How do I change my address?",
        "Do you ship abroad?",
    )

"""What customers told in their session, so that its answers know it, and no other's do."""

from __future__ import annotations

from collections import OrderedDict

TELLS = "Please remember that "
TOLD = 'The customer told us: "'
MOST_SESSIONS = 1_000
MOST_CHARS = 80


class Sessions:
    """One statement a session, in this process; the oldest session gives way."""

    def __init__(self) -> None:
        self._told: OrderedDict[str, str] = OrderedDict()

    def prompt(self, session_id: str, message: str) -> str:
        """The message as the model gets it: after what its session has told, which is part of the prompt.

        The prompt is what the cache's key is made of, so an answer that depends on a session stays in it.
        """
        if message.startswith(TELLS):
            told = message.removeprefix(TELLS).partition(".")[0][:MOST_CHARS].replace('"', "'")
            self._told[session_id] = " ".join(told.split())
            self._told.move_to_end(session_id)
            if len(self._told) > MOST_SESSIONS:
                self._told.popitem(last=False)
        told = self._told.get(session_id, "")
        return f'{TOLD}{told}".\n{message}' if told else message


def without_context(prompt: str) -> str:
    """The message alone."""
    return prompt.partition("\n")[2] if prompt.startswith(TOLD) else prompt

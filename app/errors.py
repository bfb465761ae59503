"""The root of every error whose message is for the user: it names what is wrong and what to do next."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can mend. Shown as one message, never as a traceback."""

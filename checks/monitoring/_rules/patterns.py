"""The regular expressions of label matchers (RE2, anchored), and values that matchers can meet together.

A pattern comes from a rule file and runs here: it becomes an automaton, whose time is linear in what it
reads, never a backtracking search. What is not understood is None, and nothing may then be judged by it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

MOST_STATES = 2_000
MOST_SEARCHED = 4_000
LAST = 0x10FFFF

Ranges = tuple[tuple[int, int], ...]
DIGITS: Ranges = ((48, 57),)
WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
SPACE: Ranges = ((9, 10), (12, 13), (32, 32))
CLASSES = {"d": DIGITS, "w": WORD, "s": SPACE}
POSIX: dict[str, Ranges] = {
    "alnum": ((48, 57), (65, 90), (97, 122)),
    "alpha": ((65, 90), (97, 122)),
    "digit": DIGITS,
    "lower": ((97, 122),),
    "upper": ((65, 90),),
    "space": SPACE,
    "word": WORD,
    "punct": ((33, 47), (58, 64), (91, 96), (123, 126)),
    "xdigit": ((48, 57), (65, 70), (97, 102)),
}
CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}
# What stands for the characters that no pattern names.
ORDINARY = "x5X-_./: "


class _Unknown(Exception):  # noqa: N818 - no error: a pattern that is not understood here
    pass


@dataclass
class _Automaton:
    """Thompson's: ``steps[n]`` are (ranges, next), ``jumps[n]`` what is reached for nothing."""

    steps: list[list[tuple[Ranges, int]]] = field(default_factory=list)
    jumps: list[list[int]] = field(default_factory=list)

    def state(self) -> int:
        if len(self.steps) >= MOST_STATES:
            raise _Unknown
        self.steps.append([])
        self.jumps.append([])
        return len(self.steps) - 1


@dataclass(frozen=True, eq=False)
class Pattern:
    """One anchored pattern. States are sets of the automaton's."""

    automaton: _Automaton
    first: int
    last: int

    @property
    def start(self) -> frozenset[int]:
        """The states before anything is read."""
        return self._closed({self.first})

    def after(self, states: frozenset[int], character: str) -> frozenset[int]:
        """The states after one more character."""
        code, found = ord(character), set()
        for state in states:
            for ranges, then in self.automaton.steps[state]:
                if any(low <= code <= high for low, high in ranges):
                    found.add(then)
        return self._closed(found)

    def ends(self, states: frozenset[int]) -> bool:
        """Whether what was read so far matches."""
        return self.last in states

    def matches(self, text: str) -> bool:
        """Whether the whole of ``text`` matches."""
        states = self.start
        for character in text:
            if not states:
                return False
            states = self.after(states, character)
        return self.ends(states)

    def _closed(self, states: Iterable[int]) -> frozenset[int]:
        found, queue = set(states), list(states)
        while queue:
            for then in self.automaton.jumps[queue.pop()]:
                if then not in found:
                    found.add(then)
                    queue.append(then)
        return frozenset(found)

    @property
    def named(self) -> set[str]:
        """Characters at which its ranges begin and end: where its mind may change."""
        edges = {
            code for steps in self.automaton.steps for ranges, _ in steps for edge in ranges for code in edge
        }
        return {chr(code) for code in edges if 32 <= code < 0xD800}


@lru_cache(maxsize=2_000)
def pattern(text: str) -> Pattern | None:
    """The anchored pattern of ``text``; None where it is not understood or too large."""
    automaton = _Automaton()
    try:
        reader = _Reader(text, automaton)
        first, last = reader.alternatives()
        if reader.at < len(text):
            return None  # a bracket too many
    except (_Unknown, RecursionError, IndexError):
        return None
    return Pattern(automaton, first, last)


def example(positive: Sequence[Pattern], negative: Sequence[Pattern]) -> str | None:
    """The shortest text that all of ``positive`` and none of ``negative`` match; None where there is none.

    Characters that no pattern names stand for each other, so a short search is enough. A search that takes
    too long ends with "", as if there were one.
    """
    every = (*positive, *negative)
    named = sorted({character for each in every for character in each.named})
    alphabet = list(dict.fromkeys([*ORDINARY, *named]))
    start = tuple(each.start for each in every)
    queue: deque[tuple[tuple[frozenset[int], ...], str]] = deque([(start, "")])
    seen = {start}
    while queue:
        if len(seen) > MOST_SEARCHED:
            return ""
        states, text = queue.popleft()
        ends = [each.ends(state) for each, state in zip(every, states, strict=True)]
        if all(ends[: len(positive)]) and not any(ends[len(positive) :]):
            return text
        for character in alphabet:
            then = tuple(each.after(state, character) for each, state in zip(every, states, strict=True))
            if all(then[: len(positive)]) and then not in seen:
                seen.add(then)
                queue.append((then, text + character))
    return None


class _Reader:
    """Reads RE2's syntax into an automaton."""

    def __init__(self, text: str, automaton: _Automaton) -> None:
        self.text, self.at, self.automaton = text, 0, automaton
        self.folded = False

    def alternatives(self) -> tuple[int, int]:
        first, last = self.automaton.state(), self.automaton.state()
        folded = self.folded
        while True:
            begin, end = self._sequence()
            self.automaton.jumps[first].append(begin)
            self.automaton.jumps[end].append(last)
            if not self._take("|"):
                self.folded = folded
                return first, last

    def _sequence(self) -> tuple[int, int]:
        first = end = self.automaton.state()
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            begin, then = self._repeated()
            self.automaton.jumps[end].append(begin)
            end = then
        return first, end

    def _repeated(self) -> tuple[int, int]:
        started, folded = self.at, self.folded
        begin, end = self._atom()
        while self.at < len(self.text):
            bounds = self._bounds()
            if bounds is None:
                break
            begin, end = self._times(started, folded, bounds, (begin, end))
        return begin, end

    def _bounds(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                self._take("?")
                return bounds
        if self.text[self.at] != "{":
            return None
        inner, closed, _ = self.text[self.at + 1 :].partition("}")
        low, comma, high = inner.partition(",")
        if not closed or not low.isdigit() or (high and not high.isdigit()):
            return None  # a brace that is itself
        self.at += len(inner) + 2
        self._take("?")
        return int(low), int(high) if high else None if comma else int(low)

    def _times(
        self, started: int, folded: bool, bounds: tuple[int, int | None], once: tuple[int, int]
    ) -> tuple[int, int]:
        """``once`` repeated; each time but one is read again from ``started``, where it began."""
        low, high = bounds
        after, jumps = self.at, self.automaton.jumps
        if max(low, high or 0) > 1 and after - started > 200:
            raise _Unknown
        first = end = self.automaton.state()
        copies = iter([once])

        def copy() -> tuple[int, int]:
            made = next(copies, None)
            if made is None:
                folded_now, self.folded, self.at = self.folded, folded, started
                made = self._atom()
                self.at, self.folded = after, folded_now
            return made

        for _ in range(low):
            begin, then = copy()
            jumps[end].append(begin)
            end = then
        if high is None:
            begin, then = copy()
            last = self.automaton.state()
            jumps[end] += [begin, last]
            jumps[then] += [begin, last]
            return first, last
        last = self.automaton.state()
        for _ in range(high - low):
            begin, then = copy()
            jumps[end] += [begin, last]
            end = then
        jumps[end].append(last)
        return first, last

    def _atom(self) -> tuple[int, int]:
        character = self.text[self.at]
        self.at += 1
        if character == "(":
            return self._group()
        if character == "[":
            return self._one_of(self._set())
        if character == ".":
            return self._one_of(((0, 9), (11, LAST)))
        if character in "^$":
            return self._edge(character)
        if character == "\\":
            return self._escape()
        if character in "*+?":
            raise _Unknown
        return self._one_of(((ord(character), ord(character)),))

    def _group(self) -> tuple[int, int]:
        folded = self.folded
        if self._take("?"):
            if self._take("P<") or self._take("<"):
                self.at = self.text.index(">", self.at) + 1 if ">" in self.text[self.at :] else len(self.text)
            else:
                flags = ""
                while self.text[self.at] not in ":)":
                    flags += self.text[self.at]
                    self.at += 1
                if set(flags) - set("is"):
                    raise _Unknown
                self.folded = self.folded or "i" in flags
                if self._take(")"):  # for all that follows
                    state = self.automaton.state()
                    return state, state
                self.at += 1
        inner = self.alternatives()
        if not self._take(")"):
            raise _Unknown
        self.folded = folded
        return inner

    def _edge(self, character: str) -> tuple[int, int]:
        """An anchor where the pattern begins or ends is nothing, for patterns are anchored; else unknown."""
        before, after = self.text[: self.at - 1], self.text[self.at :]
        if character == "^":
            at_edge = not before.strip("(?:^") or before.endswith("|")
        else:
            at_edge = not after.strip(")$") or after.startswith("|")
        if not at_edge:
            raise _Unknown
        state = self.automaton.state()
        return state, state

    def _escape(self) -> tuple[int, int]:
        character = self.text[self.at]
        self.at += 1
        if character.lower() in CLASSES:
            ranges = CLASSES[character.lower()]
            return self._one_of(_others(ranges) if character.isupper() else ranges)
        if character.isalnum() and character not in CONTROLS:
            raise _Unknown  # \b, \p{...}, \Q...\E, \x41
        character = CONTROLS.get(character, character)
        return self._one_of(((ord(character), ord(character)),))

    def _set(self) -> Ranges:
        negated = self._take("^")
        found: list[tuple[int, int]] = []
        while not (self.text[self.at] == "]" and found):
            if self._take("[:"):
                name, _, _ = self.text[self.at :].partition(":]")
                self.at += len(name) + 2
                found += POSIX.get(name) or self._unknown()
                continue
            low = self._set_character()
            if isinstance(low, tuple):
                found += low
                continue
            high: int | Ranges = low
            if self.text[self.at] == "-" and self.text[self.at + 1] != "]":
                self.at += 1
                high = self._set_character()
            if isinstance(high, tuple):
                raise _Unknown
            found.append((low, high))
        self.at += 1
        return _others(tuple(found)) if negated else tuple(found)

    def _set_character(self) -> int | Ranges:
        character = self.text[self.at]
        self.at += 1
        if character != "\\":
            return ord(character)
        character = self.text[self.at]
        self.at += 1
        if character.lower() in CLASSES:
            ranges = CLASSES[character.lower()]
            return _others(ranges) if character.isupper() else ranges
        if character.isalnum() and character not in CONTROLS:
            raise _Unknown
        return ord(CONTROLS.get(character, character))

    def _one_of(self, ranges: Ranges) -> tuple[int, int]:
        if self.folded:
            ranges = (*ranges, *_other_case(ranges))
        first, last = self.automaton.state(), self.automaton.state()
        self.automaton.steps[first].append((ranges, last))
        return first, last

    def _take(self, text: str) -> bool:
        taken = self.text.startswith(text, self.at)
        self.at += len(text) if taken else 0
        return taken

    @staticmethod
    def _unknown() -> Ranges:
        raise _Unknown


def _others(ranges: Ranges) -> Ranges:
    """All characters outside of ``ranges``."""
    found, at = [], 0
    for low, high in sorted(ranges):
        if low > at:
            found.append((at, low - 1))
        at = max(at, high + 1)
    return (*found, (at, LAST)) if at <= LAST else tuple(found)


def _other_case(ranges: Ranges) -> Ranges:
    found = []
    for low, high in ranges:
        for first, last, move in ((65, 90, 32), (97, 122, -32)):
            begin, end = max(low, first), min(high, last)
            if begin <= end:
                found.append((begin + move, end + move))
    return tuple(found)

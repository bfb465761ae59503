"""Label values: which of them matchers can meet, now or later. Private to this family.

A value that no series has yet may come: the first 5xx, the first time-out. So matchers are compared with the
*form* of the values that the label has: `status=~"5.."` beside `200` may match one day, `status="5xx"` never.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from functools import lru_cache

from checks.contract.promql import Matcher
from checks.monitoring._rules.patterns import Pattern, example, pattern

# Whole vocabularies: a label that has one of these words can get the others.
GRPC = (
    "OK|Canceled|Cancelled|Unknown|InvalidArgument|DeadlineExceeded|NotFound|AlreadyExists|PermissionDenied|"
    "ResourceExhausted|FailedPrecondition|Aborted|OutOfRange|Unimplemented|Internal|Unavailable|DataLoss|"
    "Unauthenticated"
)
VOCABULARIES = (
    "GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|CONNECT|TRACE",
    GRPC,
    "true|false",
    "True|False",
    "TRUE|FALSE",
    "yes|no",
)
NOTHING = frozenset(("", "none", "None", "NONE", "unknown", "UNKNOWN", "other", "null", "n/a", "-", "/", "*"))
# Forms in order: the first that a value has is its form.
FORMS = (
    "[1-5][0-9][0-9]",
    "[0-9]{1,2}",
    "[0-9]+",
    "[0-9]+[.][0-9]+",
    "[1-5]xx",
    "[1-5]XX",
    "/.*",
    "[a-z]+://.*",
    "[^/ ]+:[0-9]+",
    "v?[0-9]+[.][0-9]+.*",
    "[a-z][a-z0-9_.-]*",
    "[A-Z][A-Z0-9_.-]*",
    "[A-Z][a-z0-9]+",
    "[A-Z][A-Za-z0-9]*",
    "[a-z]+[A-Z][A-Za-z0-9]*",
)
ALIKE = {
    "[1-5][0-9][0-9]": "[1-5][0-9][0-9]|0|[A-Z][A-Z_]+",  # no answer came: 0, IO_ERROR
    "[0-9]{1,2}": "[0-9]{1,3}",
    "[A-Z][a-z0-9]+": "[A-Z][A-Za-z0-9]*",
}  # what a form may grow into
STATUS, CLASS = FORMS[0], FORMS[4]
MOST_VALUES = 60
SHORTEST_SLIP = 6


@dataclass(frozen=True)
class Meeting:
    """What matchers of one label find: a value of a series now, or one that may come, or none and why.

    ``near`` is what to write instead.
    """

    now: tuple[str, ...] = ()
    later: str | None = None
    why: str = ""
    near: str = ""

    @property
    def possible(self) -> bool:
        """Whether a series can have such a value."""
        return bool(self.now) or self.later is not None


def accepts(matcher: Matcher, value: str) -> bool:
    """Whether ``matcher`` takes ``value``; a pattern that is not understood takes all."""
    if matcher.operator in ("=", "!="):
        return (matcher.value == value) == (matcher.operator == "=")
    found = pattern(matcher.value)
    return found is None or found.matches(value) == (matcher.operator == "=~")


def only_value(matchers: Iterable[Matcher]) -> str | None:
    """The one value that ``matchers`` of a label take, if it is one."""
    for each in matchers:
        if each.operator == "=" or (each.operator == "=~" and len(_literals(each)) == 1):
            return each.value if each.operator == "=" else _literals(each)[0]
    return None


def meeting(  # noqa: PLR0911 - one for each reason
    matchers: Sequence[Matcher], values: Sequence[str], *, closed: bool
) -> Meeting:
    """What ``matchers`` of one label find among series with these ``values``; ``closed``: no others come."""
    now = tuple(value for value in values if all(accepts(each, value) for each in matchers))
    if now:
        return Meeting(now)
    if any(each.operator in ("=~", "!~") and pattern(each.value) is None for each in matchers):
        return Meeting(later="")
    if together(matchers) is None:
        one = matchers[0]
        alone = len(matchers) == 1
        text = f"{one.label}{one.operator}{quoted(one.value)}" if alone else f"the matchers of {one.label}"
        return Meeting(why=f"{text} can match no value at all")
    wanted = next((each for each in matchers if each.operator in ("=", "=~")), matchers[0])
    listed = _listed(values)
    near = near_value(wanted, values)
    label = wanted.label
    if closed:
        return Meeting(why=f"{label} has {listed}, never what {_told(wanted)} asks for", near=near)
    later = together(matchers, form_of(values))
    if later is None:
        if _part_of(wanted, values):
            why = f"patterns match whole values: {_told(wanted)} is only a part of {listed}"
        else:
            why = f"{label} has {listed}, and nothing of that form is matched by {_told(wanted)}"
        return Meeting(why=why, near=near)
    if _part_of(wanted, values):
        return Meeting(
            why=f"patterns match whole values: {_told(wanted)} is only a part of {listed}", near=near
        )
    slip = _slip(wanted, values)
    if slip:
        return Meeting(why=f"{label} has {quoted(slip)}, not {_told(wanted)}", near=slip)
    return Meeting(later=later)


def together(matchers: Iterable[Matcher], form: str = "") -> str | None:
    """A value that all ``matchers`` take and that has the ``form``; None where there is none.

    Where a pattern is not understood that is "".
    """
    positive: list[Pattern] = []
    negative: list[Pattern] = []
    for each in matchers:
        found = pattern(each.value) if each.operator.endswith("~") else literal(each.value)
        if found is None:
            return ""
        (negative if each.operator.startswith("!") else positive).append(found)
    if form:
        shape = pattern(form)
        positive += [shape] if shape else []
    return example(positive, negative)


@lru_cache(maxsize=2_000)
def _form_of(values: tuple[str, ...]) -> str:
    telling = [value for value in values if value not in NOTHING]
    if not telling:
        return ""
    for vocabulary in VOCABULARIES:
        words = set(vocabulary.split("|"))
        if words.issuperset(telling):
            return vocabulary
    forms = dict.fromkeys(
        next((form for form in FORMS if _fits(form, value)), ".*") for value in telling[:MOST_VALUES]
    )
    return "|".join(f"(?:{ALIKE.get(form, form)})" for form in forms)


def form_of(values: Sequence[str]) -> str:
    """The form of ``values`` as a pattern; "" where they say nothing about it."""
    return _form_of(tuple(values))


def near_value(wanted: Matcher, values: Sequence[str]) -> str:  # noqa: PLR0911 - one for each kind of slip
    """What ``wanted`` should rather ask for; "" if nothing suggests itself."""
    form, asked = form_of(values), wanted.value
    digit = re.fullmatch(r"([1-5])[0-9xX.*+]*", asked)
    if digit and STATUS in form and not _fits(STATUS, asked):
        return f"{digit[1]}.."
    if digit and CLASS in form and f"{digit[1]}xx" in values:
        return f"{digit[1]}xx"
    if digit and digit[1] in values and re.fullmatch(r"[1-5](xx|XX|\.\.|[0-9]{2})", asked):
        return digit[1]
    listed = asked.split("|") if wanted.operator == "=" and "|" in asked else []
    if any(each in values for each in listed):
        return next(each for each in listed if each in values)
    for literal_text in _literals(wanted) or (asked,):
        same = [
            value
            for value in values
            if _number(value) is not None and _number(value) == _number(literal_text)
        ]
        slip = (same or [_slip_of(literal_text, values)])[0]
        if slip:
            return slip
        if _part_of(wanted, values):
            return next(value for value in values if literal_text in value)
        if f"/{literal_text}" in values or literal_text.upper() in form.split("|"):
            return f"/{literal_text}" if f"/{literal_text}" in values else literal_text.upper()
        close = get_close_matches(literal_text, values, 1, 0.5) or [
            value for value in values if literal_text.lower() in value.lower() and literal_text
        ]
        if close:
            return close[0]
    return ""


def literal(text: str) -> Pattern | None:
    """The pattern that matches ``text`` alone."""
    return pattern("".join(character if character.isalnum() else f"\\{character}" for character in text))


def quoted(text: str) -> str:
    """A value as PromQL quotes it, not too long."""
    shown = text if len(text) <= 60 else f"{text[:59]}…"
    return '"' + shown.replace("\\", "\\\\").replace('"', '\\"') + '"'


@lru_cache(maxsize=5_000)
def _fits(form: str, value: str) -> bool:
    found = pattern(form)
    return found is not None and found.matches(value[:200])


def _literals(matcher: Matcher) -> tuple[str, ...]:
    """The values that ``matcher`` spells out, if it does nothing else."""
    if matcher.operator == "=":
        return (matcher.value,)
    text = re.sub(r"^\^|\$$", "", matcher.value)
    text = text[1:-1] if re.fullmatch(r"\([^()]*\)", text) and not text.startswith("(?") else text
    text = re.sub(r"\\([.\-/])", "\0\\1", text)  # an escaped dot is one
    plain = re.sub("\0.", "", text)
    if matcher.operator != "=~" or re.search(r"[.*+?()\[\]{}\\^$]", plain):
        return ()
    return tuple(text.replace("\0", "").split("|"))


def _part_of(matcher: Matcher, values: Sequence[str]) -> bool:
    """Whether a pattern without a sign spells only parts of values, as if patterns were searched for."""
    if matcher.operator != "=~":
        return False
    spelt = _literals(matcher)
    return bool(spelt) and all(
        text and any(text in value and text != value for value in values) for text in spelt
    )


def _slip(matcher: Matcher, values: Sequence[str]) -> str:
    """The value that is surely meant, where each that ``matcher`` spells is a slip of the pen for one."""
    found = [_slip_of(text, values) for text in _literals(matcher)]
    return found[0] if found and all(found) else ""


def _slip_of(text: str, values: Sequence[str]) -> str:
    for value in values:
        if value != text and _folded(value) == _folded(text):
            return value
    if len(text) < SHORTEST_SLIP or not text.isascii() or "/" in text:
        return ""  # another route or command is often one letter away
    return next((value for value in values if _one_letter_off(text, value)), "")


def _folded(text: str) -> str:
    return re.sub(r"[-_. ]", "", text).lower()


def _one_letter_off(text: str, value: str) -> bool:
    """Whether one letter inside was added, lost or replaced, or two swapped; digits make other values."""
    if abs(len(text) - len(value)) > 1 or re.sub("[0-9]", "", text) == re.sub("[0-9]", "", value):
        return False
    changes = [
        op for op in SequenceMatcher(None, text, value, autojunk=False).get_opcodes() if op[0] != "equal"
    ]
    moved = "".join(text[op[1] : op[2]] + value[op[3] : op[4]] for op in changes)
    if any(character.isdigit() for character in moved):
        return False
    if text[0] != value[0] or text[-1] != value[-1]:
        return False  # plurals and prefixes are words of their own
    size = sum(max(op[2] - op[1], op[4] - op[3]) for op in changes)
    swapped = len(text) == len(value) and sorted(text) == sorted(value) and size == 2
    return size <= 1 or (swapped and len(changes) == 2)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _told(matcher: Matcher) -> str:
    return f"{matcher.label}{matcher.operator}{quoted(matcher.value)}"


def _listed(values: Sequence[str]) -> str:
    shown = ", ".join(quoted(value) for value in values[:4])
    return f"{shown} and {len(values) - 4} more" if len(values) > 4 else shown or "no value"

"""What Hypothesis makes up for the cache checks."""

from __future__ import annotations

from hypothesis import strategies as st

from checks.cache._mix import Mix


@st.composite
def mixes(draw) -> Mix:
    answered = draw(st.integers(0, 200))
    marked = draw(st.integers(0, answered))
    calls = st.one_of(st.none(), st.floats(0, 1e4))
    return Mix(
        draw(st.sampled_from(["ask", "stream", None])),
        asked=answered + draw(st.integers(0, 50)),
        answered=answered,
        repeats_answered=draw(st.integers(0, answered)),
        rate_limited=draw(st.integers(0, 50)),
        marked=marked,
        cached=draw(st.integers(0, marked)),
        first_asked=draw(st.integers(1, 40)),
        first_calls=draw(calls),
        repeat_calls=draw(calls),
    )

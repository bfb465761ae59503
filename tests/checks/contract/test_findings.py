"""What a finding takes and refuses."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from checks.contract import Finding
from checks.contract.wording import NBSP


@given(st.text(min_size=1).filter(str.strip))
def test_no_text_of_a_service_moves_a_cursor_through_a_reason(name: str):
    reason = Finding.failed(f"The field {name} got 5{NBSP}s.").reason
    assert all(part.isprintable() for part in reason.split(NBSP))
    assert reason.endswith(f"got 5{NBSP}s.")


def test_words_stay_as_they_are():
    text = f"Le délai dépasse 5{NBSP}s; 日本語, naïve."
    assert Finding.failed(text).reason == text

"""Where the dashboard opens: the run that goes on, the newest Overview, or what to do first."""

from __future__ import annotations

import streamlit as st

from app import targets
from app.views import frame, mending, source


def page() -> None:
    """Go to where the history is; with an empty one, say what to do."""
    history = source.store()
    assessed = history.targets()
    going = [run for run in source.active() if run.target == assessed[0]] if assessed else []
    if going:
        st.switch_page(frame.RUN, query_params=frame.run_query(going[0]))
    if len(assessed) > 1:
        st.switch_page(frame.PORTFOLIO)
    if assessed:
        st.switch_page(frame.OVERVIEW, query_params={"target": assessed[0]})
    declared = targets.available()
    if declared:
        st.switch_page(frame.OVERVIEW, query_params={"target": declared[0].key})
    frame.name_document("Nothing to assess yet")
    frame.sidebar("home", None)
    mending.nothing_yet()


if __name__ == "__main__":
    page()

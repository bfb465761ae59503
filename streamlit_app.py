"""The dashboard's entry: navigation only. Pages are in app/views."""

from __future__ import annotations

import sys
from pathlib import Path

import streamlit as st

ROOT = Path(__file__).parent
if str(ROOT) not in sys.path:  # `streamlit run` puts the script's folder there, AppTest does not
    sys.path.insert(0, str(ROOT))

from app.errors import UserError  # noqa: E402 - after the path is set
from app.views import frame, marks, source  # noqa: E402
from checks import BrokenCheckError  # noqa: E402

st.set_page_config(
    page_title="Greenlight",
    page_icon=str(frame.STATIC / "favicon.png"),
    layout="wide",
    initial_sidebar_state="auto",
)
frame.settle_memory()
frame.dress()
pages = [
    st.Page(frame.HOME, title="Greenlight", url_path="home", default=True),
    st.Page(frame.PORTFOLIO, title="Portfolio", url_path="portfolio"),
    st.Page(frame.OVERVIEW, title="Overview", url_path="overview"),
    st.Page(frame.RUN, title="Run", url_path="run"),
    st.Page(frame.LOAD_RESULTS, title="Load results", url_path="load"),
    st.Page(frame.HISTORY, title="History", url_path="history"),
    st.Page(frame.CHECK, title="Check", url_path="check"),
    st.Page(frame.SAMPLE, title="Sample", url_path="sample"),
]
page = st.navigation(pages, position="hidden")
try:
    source.store()
    source.catalogue()
except (UserError, BrokenCheckError) as error:
    st.html(marks.empty_state("The dashboard cannot start.", str(error)))
    st.stop()
page.run()

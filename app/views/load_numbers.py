"""The numbers of every scenario of a run: a table to sort, and the same as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from app import wording
from app.records import LoadResult
from app.views.load_figures import scenario_title

ROW_HEIGHT = 31
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would take for the start of a formula
COLUMNS = {  # heading on the page: column of the CSV
    "Requests": "total_requests",
    "Failed": "failed",
    "Succeeded %": "success_rate",
    "Cache hits %": "cache_hit_rate",
    "Mean ms": "avg_latency_ms",
    "p50 ms": "median_latency_ms",
    "p95 ms": "p95_latency_ms",
    "p99 ms": "p99_latency_ms",
    "p99.9 ms": "p999_latency_ms",
    "Longest ms": "max_latency_ms",
    "First token p50 ms": "ttft_p50_ms",
    "Requests/s": "requests_per_second",
    "Seconds": "total_time_seconds",
}
CSV_COLUMNS = (
    "scenario", "model", "users", "rate_per_s", "total_requests", "successful", "failed", "success_rate",
    "cached_responses", "cache_hit_rate", "total_time_seconds", "requests_per_second", "avg_latency_ms",
    "min_latency_ms", "median_latency_ms", "p90_latency_ms", "p95_latency_ms", "p99_latency_ms",
    "p999_latency_ms", "p99_with_failures_ms", "max_latency_ms", "ttft_p50_ms", "ttft_p99_ms",
    "service_p50_ms", "service_p99_ms", "dispatch_delay_p50_ms", "dispatch_delay_p99_ms", "goodput_ratio",
    "validity", "validity_reasons", "partial", "errors",
)  # fmt: skip


def show(results: Mapping[str, LoadResult], filename: str) -> None:
    """Draw the expander with table and download."""
    with st.expander("Numbers of all scenarios", icon=":material/table:"):
        st.dataframe(
            _frame(list(results.values())),
            hide_index=True,
            row_height=ROW_HEIGHT,
            placeholder=wording.ABSENT,
            key="load_numbers",
            alt=f"Figures of {len(results)} load scenarios",
        )
        st.download_button(
            "Download CSV",
            data=lambda: as_csv(list(results.values())),
            file_name=filename,
            mime="text/csv",
            icon=":material/download:",
            key="load_csv",
            on_click="ignore",
        )


def _frame(results: Sequence[LoadResult]) -> pd.DataFrame:
    columns: dict[str, list[str] | list[float | None]] = {
        "Scenario": [wording.one_line(scenario_title(result), 60) for result in results],
        "Validity": [
            result.validity.capitalize() + (", partial" if result.partial else "") for result in results
        ],
    }
    for heading, name in COLUMNS.items():
        factor = 100 if heading.endswith("%") else 1
        values = [getattr(result, name) for result in results]
        digits = 0 if name in ("total_requests", "failed") else 1
        columns[heading] = [None if value is None else round(factor * value, digits) for value in values]
    return pd.DataFrame(columns)


def as_csv(results: Sequence[LoadResult]) -> str:
    """One line a scenario. Text that a spreadsheet would run as a formula gets an apostrophe in front."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for result in results:
        writer.writerow([_cell(getattr(result, name)) for name in CSV_COLUMNS])
    return out.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, (list, tuple)):
        value = "; ".join(map(str, value))
    if isinstance(value, str):
        text = wording.one_line(value, 1000)
        return f"'{text}" if text.startswith(FORMULA) else text
    return "" if value is None else value

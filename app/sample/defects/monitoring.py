"""What the service tells its operators."""

from __future__ import annotations

from app.sample.defects.defect import Defect
from app.sample.defects.noticing import API_CONTRACT, COUNTS_AGREE

MONITORING = (
    Defect(
        "metrics_absent",
        "There are no metrics",
        "GET /metrics is a 404.",
        (API_CONTRACT, COUNTS_AGREE, "monitoring.metrics_exposed"),
        "monitoring",
    ),
    Defect(
        "metrics_unparseable",
        "Metrics cannot be parsed",
        "GET /metrics ends with a line that is not in Prometheus format.",
        (COUNTS_AGREE, "monitoring.metrics_exposed"),
        "monitoring",
    ),
    Defect(
        "metrics_secret_label",
        "A key stands in the metrics",
        "A metric has the model's API key as a label.",
        ("monitoring.metrics_exposed",),
        "monitoring",
    ),
    Defect(
        "metrics_cardinality",
        "A series for each session",
        "A counter has the session id as a label: 3,000 series after a start.",
        ("monitoring.metrics_exposed",),
        "monitoring",
    ),
)

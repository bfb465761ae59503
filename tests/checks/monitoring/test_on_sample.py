"""The metrics check with the real instruments on the real sample: what the defect matrix does not look at."""

from __future__ import annotations

import json
from dataclasses import asdict

from tests.checks.sample import Sample


def test_the_page_is_read_before_and_after_questions(sample: Sample):
    found = sample.with_defects().gather("monitoring.metrics_exposed")
    assert found.asked == 5
    assert found.before.status == found.after.status == 200
    assert found.after.series >= found.before.series > 0
    assert found.leaks == ()


def test_a_key_in_a_label_is_named_and_not_kept(sample: Sample):
    found = sample.with_defects("metrics_secret_label").gather("monitoring.metrics_exposed")
    assert [(leak.label, leak.kind) for leak in found.leaks if leak.secret] == [("api_key", "an API key")]
    assert "sk-" not in json.dumps(asdict(found))

"""Which labels an expression leaves for the texts of an alert."""

# ruff: noqa: E501 - a table of expressions, one a line

from __future__ import annotations

import re

import pytest

from app.instruments.promql import PromqlParser
from checks.monitoring._kept import kept, named_in
from checks.monitoring._signals import rulebook
from tests.checks.scripted import a_rule

PROMQL = PromqlParser()
RECORDED = rulebook(
    [
        a_rule(
            "job:errors:rate5m", "sum by (job) (rate(errors_total[5m]))", kind="record", labels={"team": "a"}
        ),
        a_rule("ring", "ring + 1", kind="record"),
    ],
    PROMQL,
).recordings

# what is left, what is not, the expression
EXPRESSIONS = """
job instance any  | -                  | up == 0
job               | instance           | sum by (job) (up) == 0
instance          | job                | sum without (job) (up) == 0
-                 | job instance       | sum(up) == 0
job               | le instance        | histogram_quantile(0.9, sum by (le, job) (rate(x_bucket[5m]))) > 1
instance          | le                 | histogram_quantile(0.9, rate(x_bucket[5m])) > 1
job               | instance           | sum by (job) (rate(a[5m])) / sum by (job) (rate(b[5m])) > 0.1
job               | instance           | rate(a[5m]) / on (job) rate(b[5m]) > 0.1
instance          | code               | rate(a[5m]) / ignoring (code) rate(b[5m]) > 0.1
job version code  | -                  | rate(a[5m]) * on (job) group_left (version) build_info > 0.1
job version       | instance           | sum by (job) (rate(a[5m])) * on (job) group_left (version) build_info > 0.1
job               | version            | sum by (job) (rate(a[5m])) * on (job) group_left (version) sum by (job) (b) > 0.1
job               | instance severity  | absent(up{job="chat", instance=~"a.*"})
-                 | job                | absent(sum(up{job="chat"}))
job instance      | -                  | up{job="chat"} == 0 or absent(up{job="chat"})
job               | instance           | sum by (job) (a) > 1 and on (job) up == 1
job dst           | -                  | label_replace(up, "dst", "$1", "job", "(.*)") == 0
job dst           | instance           | label_join(sum by (job) (up), "dst", "-", "job") == 0
instance          | -                  | topk(3, rate(a[5m])) > 1
version           | job                | count_values("version", build_info) > 1
-                 | job                | vector(1) > 0
job               | -                  | 1 < up
job               | instance           | 1 < sum by (job) (up)
job team          | instance           | job:errors:rate5m > 1
job               | team               | sum by (job) (job:errors:rate5m) > 1
job instance      | -                  | max_over_time((up == 0)[5m:1m]) == 0
job               | instance           | -sum by (job) (up) < 0
job               | instance           | clamp_max(sum by (job) (up), 1) < 1
"""


@pytest.mark.parametrize(
    ("left", "gone", "expression"),
    [re.split(r" *\| *", line, maxsplit=2) for line in EXPRESSIONS.strip().splitlines()],
)
def test_an_expression_leaves(left, gone, expression):
    found = kept(PROMQL.parse(expression).node, RECORDED)
    assert [label for label in left.split() if label != "-" and not found.has(label)] == []
    assert [label for label in gone.split() if label != "-" and found.has(label)] == []


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{{ $labels.instance }} of {{$labels.job}}", ("instance", "job")),
        ("{{- .Labels.pod -}}", ("pod",)),
        ('{{ index $labels "my-label" }}', ("my-label",)),
        ("{{ with $labels.instance }}{{ . }}{{ end }}", ()),
        ("{{ if $labels.pod }}pod {{ $labels.pod }}{{ end }}", ()),
        ('{{ or $labels.pod "none" }}', ()),
        ("{{ $value | humanizePercentage }} $labels.job outside", ()),
        ("{{ $labels.job | toUpper }}", ("job",)),
        ("{{ " * 10_000, ()),
    ],
)
def test_the_labels_that_a_text_names(text, names):
    assert named_in(text) == names


def test_a_recording_in_a_ring_ends():
    assert kept(PROMQL.parse("ring > 1").node, RECORDED).has("job")

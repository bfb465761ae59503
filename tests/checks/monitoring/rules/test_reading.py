"""Any expression over any series gets a verdict, and the right one where a real server can be asked."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.instruments.promql import PromqlParser
from checks.contract.promql import packed
from checks.monitoring._rules.facts import Facts, GroupFact, MetricFact, RuleFact, TargetFact
from checks.monitoring._rules.vectors import Verdict
from checks.monitoring._rules.verdicts import verdicts

NAMES = ["up", "a_total", "b_bucket", "c_info", "r:sum", "nobody", "d", "ALERTS"]
VALUES = ("chat", "x:1", "x:2", "200", "5xx", "0.5", "+Inf", "/api")
LABELS = ["job", "instance", "status", "le"]
MATCHERS = st.builds(
    lambda label, operator, value: f'{label}{operator}"{value}"',
    st.sampled_from([*LABELS, "missing", "alertname"]),
    st.sampled_from(["=", "!=", "=~", "!~"]),
    st.sampled_from([*VALUES, "", ".*", "5..", "ch.t", "(", "[45]..|x"]),
)
SELECTORS = st.builds(
    lambda name, matchers: f"{name}{{{','.join(matchers)}}}",
    st.sampled_from(NAMES),
    st.lists(MATCHERS, max_size=2),
)
INSTANT = st.one_of(
    SELECTORS,
    SELECTORS,
    SELECTORS.map(lambda text: f"{text} offset 1h"),
    st.sampled_from(["vector(0)", "vector(time())", '{job="chat"}', '{__name__=~"a.*|d"}', "hour()"]),
)
GROUPING = st.sampled_from(["", "by (job)", "by (status, le)", "without (instance)", "by ()"])
MATCHING = st.sampled_from(["", "on (job)", "on ()", "ignoring (status)", "on (job) group_left (status)"])


def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("{0}({1}[5m])".format, st.sampled_from(["rate", "changes", "absent_over_time"]), SELECTORS),
        st.builds("{0}(({1})[5m:1m])".format, st.sampled_from(["avg_over_time", "rate", "deriv"]), inner),
        st.builds(
            "{0}({1})".format, st.sampled_from(["absent", "abs", "timestamp", "-", "sort", "floor"]), inner
        ),
        st.builds("vector(scalar({0}))".format, inner),
        st.builds("histogram_quantile(0.9, {0})".format, inner),
        st.builds('label_replace({0}, "status", "$1", "job", "(.*)")'.format, inner),
        st.builds("{0} {1} ({2})".format, st.sampled_from(["sum", "count", "avg", "max"]), GROUPING, inner),
        st.builds("topk {0} (1, {1})".format, GROUPING, inner),
        st.builds(
            "({0}) {1} {2} ({3})".format,
            inner,
            st.sampled_from(["+", "-", "*", "/", "%", "^", ">", "<=", "==", "!=", "and"][:10]),
            MATCHING,
            inner,
        ),
        st.builds(
            "({0}) {1} ({2})".format, inner, st.sampled_from(["and", "or", "unless", "and on ()"]), inner
        ),
        st.builds(
            "({0}) {1} {2}".format,
            inner,
            st.sampled_from([">", "<", "== bool", "*", "/"]),
            st.sampled_from(["0", "0.5", "1", "95", "-1", "Inf", "NaN"]),
        ),
    )


EXPRESSIONS = st.recursive(INSTANT, larger, max_leaves=6)
ROWS = st.lists(st.tuples(*[st.integers(-1, len(VALUES) - 1)] * 4), max_size=5).map(tuple)
METRICS = st.dictionaries(
    st.sampled_from(NAMES[:-1]),
    st.builds(
        MetricFact, st.just(tuple(LABELS)), ROWS, st.booleans(), st.booleans(), st.booleans(), st.booleans()
    ),
)
KINDS = st.dictionaries(
    st.sampled_from(["a_total", "a", "b", "c_info", "d"]),
    st.sampled_from([("counter",), ("gauge",), ("histogram",), ("summary", "histogram"), ("nonsense",)]),
)
PARSER = PromqlParser()


def facts_of(expressions: list[tuple[str, str]], metrics: dict, kinds: dict, health: str) -> Facts:
    rules = []
    for kind, text in expressions:
        parsed = PARSER.parse(text)
        tree = packed(parsed.node) if parsed.node else None
        name = "r:sum" if kind == "record" else "Alert"
        rules.append(RuleFact(kind, name, tree, {"status": "all"}, health, parsed.problem))  # type: ignore[arg-type]
    return Facts(
        groups=(GroupFact("f.yml", "g", 1.0, tuple(rules)),),
        left_out=0,
        values=VALUES,
        metrics=metrics,
        kinds=kinds,
        similar={"nobody": ("d",)},
        first_words=("a", "b"),
        patterns={'{job="chat"}': ("up",), '{__name__=~"a.*|d"}': ("a_total", "d")},
        targets=(TargetFact({"job": "chat", "instance": "x:1"}, 15.0, up=True),),
        external_labels={},
        reaches={"3600": False},
        lookback_s=300,
    )


@given(
    st.lists(st.tuples(st.sampled_from(["alert", "record"]), EXPRESSIONS), min_size=1, max_size=3),
    METRICS,
    KINDS,
    st.sampled_from(["ok", "err", "unknown"]),
)
@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
def test_any_rule_over_any_series_gets_a_verdict_with_words(
    expressions: list[tuple[str, str]], metrics: dict, kinds: dict, health: str
) -> None:
    for found in verdicts(facts_of(expressions, metrics, kinds, health)):
        assert isinstance(found.verdict, Verdict)
        assert found.why or not found.verdict.bad or health == "err"
        if found.mended:
            assert PARSER.parse(found.mended).node is not None, found

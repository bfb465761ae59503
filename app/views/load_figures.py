"""The figures of one load scenario in words and numbers: what was judged, what to trust, what to know."""

from __future__ import annotations

from collections.abc import Sequence

from app.records import LoadResult, ScoredFinding
from app.views import marks
from app.wording import ABSENT, OUTCOME_TONES, OUTCOME_WORDS, family_title
from checks.contract.findings import Outcome
from checks.contract.load import Steady, Streaming
from checks.contract.wording import NBSP, plural, show

JUDGED = (Outcome.PASS, Outcome.WARN, Outcome.FAIL)
FEWEST_FOR_INTERVAL = {"p95_ms": 72, "p99_ms": 368}  # below these an order-statistic interval has no end


def scenario_title(result: LoadResult) -> str:
    """``Heavy 20``: name and users; an open run has no number of users to name."""
    name = family_title(result.scenario)
    return f"{name} {result.users}" if result.model == "closed" else name


def heading(result: LoadResult, finding: ScoredFinding | None) -> str:
    """What the scenario was, with its verdict at the right."""
    title = f"{family_title(result.scenario)}: {_what(result)}"
    badge = _verdict(finding)
    return f'<div class="gl-h"><h2>{marks.text(title)}</h2><p class="gl-note">{badge}</p></div>'


def _what(result: LoadResult) -> str:
    if len(result.steps) > 1:
        first, last = result.steps[0], result.steps[-1]
        rates = f"{show(first.offered_per_s, 'per_s')} to {show(last.offered_per_s, 'per_s')}"
        return f"{plural(len(result.steps), 'step')} of {show(first.duration_s, 's')}, {rates}"
    who = load_of(result)
    return f"{who} for {show(round(result.total_time_seconds, 1), 's')}"


def load_of(result: LoadResult) -> str:
    """How it was loaded: ``20 users``, ``40 requests a second``."""
    if result.model == "closed":
        return plural(result.users, "user")
    return "open model" if result.rate_per_s is None else f"{result.rate_per_s:,.4g} requests a second"


def _verdict(finding: ScoredFinding | None) -> str:
    if finding is None:
        return marks.badge("Not judged", "na", "none")
    earned = f"{finding.earned:.3g} of {plural(1, 'point')}" if finding.points == 1 else ""
    earned = earned or f"{finding.earned:.3g} of {finding.points:.3g} points"
    words = OUTCOME_WORDS[finding.outcome]
    if finding.outcome in JUDGED:
        words += f", {earned}"
    return marks.badge(words, marks.OUTCOME_ICONS[finding.outcome], OUTCOME_TONES[finding.outcome])


def eight(result: LoadResult, finding: ScoredFinding | None) -> str:
    """Eight values; those with a limit say whether they keep it, the others how sure they are."""
    hits = ("not marked" if result.successful else "", result.cache_hit_rate)
    first = result.streaming.first_token_p50_ms if result.streaming else result.ttft_p50_ms
    below = [
        ("Succeeded", result.success_rate, "ratio", _interval(result, "success_ratio", "ratio")
         or f"{result.successful:,} of {result.total_requests:,}", "pass_success_ratio"),
        ("Mean", result.avg_latency_ms, "ms", _interval(result, "mean_ms", "ms"), "pass_mean_ms"),
        ("Cache hits", hits[1], "ratio", hits[0] if hits[1] is None else "", "pass_hit_ratio"),
        ("p50", result.median_latency_ms, "ms", _interval(result, "p50_ms", "ms"), "pass_p50_ms"),
        ("p95", result.p95_latency_ms, "ms", _interval(result, "p95_ms", "ms"), "pass_p95_ms"),
        ("p99", result.p99_latency_ms, "ms", _interval(result, "p99_ms", "ms"), "pass_p99_ms"),
        ("First token p50", first, "ms", "" if first is not None else "not streamed", "pass_first_token_ms"),
        ("Throughput", result.requests_per_second, "per_s", plural(result.total_requests, "request"), ""),
    ]  # fmt: skip
    # The limits of an open run are for parts of it (a burst, a step): its check's own words say how it did.
    judged = finding if result.model == "closed" else None
    pairs = [
        (name, _value(value, unit, _limit(value, unit, key, judged) or marks.text(words)))
        for name, value, unit, words, key in below
    ]
    return marks.facts(pairs, "gl-eight")


def _value(value: float | None, unit: str, below: str) -> str:
    shown = ABSENT if value is None else marks.text(show(value, unit))
    return f"{shown}<small>{below}</small>"


def _limit(value: float | None, unit: str, key: str, finding: ScoredFinding | None) -> str:
    """``needs ≥ 95 %`` with its sign, from the limits that the run was judged by."""
    if value is None or finding is None or finding.outcome not in JUDGED:
        return ""
    limit = finding.thresholds.get(key)
    if not isinstance(limit, (int, float)):
        return ""
    higher = key.endswith("_ratio")
    kept = value >= limit if higher else value <= limit
    outcome = Outcome.PASS if kept else _past(value, limit, key, finding)
    sign = "≥" if higher else "≤"
    spoken = f'<span class="gl-vh">, {OUTCOME_WORDS[outcome]}</span>'
    return f"{marks.outcome_icon(outcome)}needs {sign}{NBSP}{marks.text(show(limit, unit))}{spoken}"


def _past(value: float, limit: float, key: str, finding: ScoredFinding) -> Outcome:
    """What a value past its limit amounts to; where no limit for a warning is told, what the check says."""
    given = finding.thresholds
    higher = key.endswith("_ratio")
    warn_at = given.get(key.replace("pass_", "warn_", 1))
    if warn_at is None and isinstance(within := given.get("warn_within_ratio"), (int, float)):
        warn_at = limit * (1 - within if higher else 1 + within)
    if not isinstance(warn_at, (int, float)):
        return finding.outcome if finding.outcome is not Outcome.PASS else Outcome.WARN
    return Outcome.WARN if (value >= warn_at if higher else value <= warn_at) else Outcome.FAIL


def _interval(result: LoadResult, name: str, unit: str) -> str:
    """``1.75 to 1.93 s``, or why there is none."""
    found = result.intervals.get(name)
    if found is None:
        few = result.successful < FEWEST_FOR_INTERVAL.get(name, 0)
        return "too few for an interval" if few and result.successful else ""
    low, high = (show(end, unit) for end in found)
    first, _, unit_of_low = low.partition(NBSP)
    return f"{first if unit_of_low == high.partition(NBSP)[2] else low} to {high}"


def warnings(result: LoadResult) -> str:
    """Banners: a measurement that is not to be trusted, and one that is not whole."""
    found = []
    if result.validity != "valid":
        tone, shape = ("fail", "fail") if result.validity == "invalid" else ("warn", "warn")
        means = "Nothing is judged by it." if result.validity == "invalid" else "Read it with care."
        why = marks.text(" ".join(result.validity_reasons), 600)
        found.append(marks.banner(f"<b>{result.validity.upper()}.</b> {why} {means}", shape, tone))
    if result.partial:
        words = f"<b>Partial result.</b> {marks.text(result.partial)}"
        found.append(marks.banner(words, "warn", "warn"))
    return "".join(found)


def remarks(result: LoadResult, finding: ScoredFinding | None) -> str:
    """One line each: what the check says, failures, arrivals, steady part, goodput, warm-up."""
    says = finding is not None and (result.model == "open" or finding.outcome is not Outcome.PASS)
    judged = [marks.prose(finding.reason)] if finding is not None and says else []
    lines = [*judged, *_failed(result), *_arrivals(result), *_steady(result.steady), *_more(result)]
    if not lines:
        return ""
    return f'<ul class="gl-says">{"".join(f"<li>{line}</li>" for line in lines)}</ul>'


def _failed(result: LoadResult) -> list[str]:
    if not result.failed:
        return []
    share = show(result.failed / result.total_requests, "ratio")
    if result.p99_latency_ms is None:
        words = f"All {result.failed:,} requests failed."
    elif result.p99_with_failures_ms is None:
        over = show(result.p99_latency_ms, "ms")
        words = f"p99 over answers {over}; with failures unbounded, {share} failed."
    else:
        over, all_ = (show(value, "ms") for value in (result.p99_latency_ms, result.p99_with_failures_ms))
        words = f"p99 over answers {over}; with failures {all_}, {share} failed."
    kinds = sorted(result.failures.items(), key=lambda item: -item[1])
    told = ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in kinds)
    first = next((result.failure_examples[kind] for kind, _ in kinds if kind in result.failure_examples), "")
    example = f" For one: {marks.text(first, 200)}" if first else ""
    return [f"<b>{marks.text(words)}</b> {marks.text(told)}{'.' if told else ''}{example}"]


def _arrivals(result: LoadResult) -> list[str]:
    if result.model != "open":
        return []
    lines = []
    if result.arrivals is not None:
        found = result.arrivals
        sum_ = f"Scheduled {found.scheduled:,} = sent {found.sent:,} + dropped {found.dropped:,}."
        holds = found.scheduled == found.sent + found.dropped
        lines.append(f"<b>{sum_}</b>" + ("" if holds else " They do not add up."))
    kinds = [
        ("service", result.service_p50_ms, result.service_p99_ms),
        ("dispatch delay", result.dispatch_delay_p50_ms, result.dispatch_delay_p99_ms),
        ("scheduled (judged)", result.median_latency_ms, result.p99_latency_ms),
    ]
    told = [f"{name} {_ms(p50)} and {_ms(p99)}" for name, p50, p99 in kinds if p99 is not None]
    if told:
        lines.append(f"Latency at p50 and p99: {marks.text(', '.join(told))}.")
    return lines


def _ms(value: float | None) -> str:
    return ABSENT if value is None else show(value, "ms")


def _steady(steady: Steady | None) -> list[str]:
    if steady is None:
        return []
    p95 = show(steady.p95_ms, "ms")
    if steady.found:
        begun = f"Settled after {show(steady.from_s, 's')}" if steady.from_s > 0 else "Steady from its start"
        words = f"{begun}; p95 over the steady part {p95} ({plural(steady.requests, 'request')})."
    else:
        words = f"It never settled; p95 over its second half {p95}."
    way = "rose" if steady.drift_ratio > 0 else "fell"
    moved = show(abs(steady.drift_ratio), "ratio")
    if steady.drifts:
        words += f" Latency {way} by {moved} from start to end, more than chance."
    return [marks.text(words)]


def _more(result: LoadResult) -> list[str]:
    lines = []
    if result.goodput_ratio is not None:
        lines.append(f"Goodput {show(result.goodput_ratio, 'ratio')}: requests that met the declared goals.")
    if result.warmup_s:
        kept = plural(result.warmup_requests, "request")
        lines.append(f"A warm-up of {show(result.warmup_s, 's')} ({kept}) is kept apart.")
    return [marks.text(line) for line in lines]


def streaming_table(found: Streaming) -> str:
    """Times of streams by their definitions, which stand in the docs."""
    rows: Sequence[tuple[str, float | None, float | None, float | None]] = [
        ("First event", found.first_event_p50_ms, None, None),
        ("First token", found.first_token_p50_ms, found.first_token_p95_ms, found.first_token_p99_ms),
        ("First answer token", found.first_answer_p50_ms, None, None),
        ("Gap between tokens", found.gap_p50_ms, found.gap_p95_ms, found.gap_p99_ms),
        ("Time per output token", found.tpot_p50_ms, None, found.tpot_p99_ms),
        ("Whole answer a token", found.normalised_p50_ms, None, None),
    ]
    columns = [("", ""), ("p50", "n"), ("p95", "n"), ("p99", "n")]
    shown = [[marks.text(name), *map(_ms, values)] for name, *values in rows if values[0] is not None]
    return marks.table(columns, shown, label="Times of the streams", empty="No stream brought a token.")

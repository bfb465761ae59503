"""Each defect of monitoring has its symptom, and the healthy sample has none of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from app.sample.defects.monitoring import MONITORING
from app.sample.processes import address
from tests.instruments.prometheus_servers import needs_alertmanager
from tests.sample import test_defects
from tests.sample.client import Client, eventually, new_question
from tests.sample.watched import Watched

pytestmark = needs_alertmanager
DRILLED = "ChatHighErrorRate"
FIRES_WITHIN_S = 8.0


def metrics_credential_label(sample: Client) -> bool:
    before = "tried-0815" in sample.http.get("/metrics").text
    assert sample.http.get("/api/orders", headers={"Authorization": "Bearer tried-0815"}).status_code == 401
    return 'caller="tried-0815"' in sample.http.get("/metrics").text and not before


def latency_not_a_histogram(sample: Client) -> bool:
    sample.chat()
    page = sample.http.get("/metrics").text
    return (
        "http_request_duration_seconds_count" in page and "http_request_duration_seconds_bucket" not in page
    )


def cache_series_still(sample: Client) -> bool:
    before = [metric(sample, name) for name in ("chat_cache_hits_total", "chat_cache_misses_total")]
    question = new_question()
    sample.chat(question)
    sample.chat(question)
    return before == [metric(sample, name) for name in ("chat_cache_hits_total", "chat_cache_misses_total")]


def saturation_unknown(sample: Client) -> bool:
    return "http_requests_in_flight" not in sample.http.get("/metrics").text


def errors_counted_as_answers(sample: Client) -> bool:
    sample.http.get("/nowhere")
    return 'status="404"' not in sample.http.get("/metrics").text


def server_errors_uncounted(sample: Client) -> bool:
    sample.http.get("/nowhere")
    with sample.refused("upstream"):
        assert sample.chat().status_code == 503
    failed = 'http_requests_total{method="POST",route="/api/chat",status="503"}'
    return 'status="404"' in sample.http.get("/metrics").text and metric(sample, failed) == 0


def target_absent(sample: Client) -> bool:
    return Watched(sample.state).targets() == []


def target_down(sample: Client) -> bool:
    return "404" in "".join(target["lastError"] for target in Watched(sample.state).targets())


def target_is_another(sample: Client) -> bool:
    watched = Watched(sample.state)
    return bool(watched.query('alertmanager_build_info{job="chat"}')) and not signals(watched)


def target_scraped_hourly(sample: Client) -> bool:
    watched = Watched(sample.state)
    return [target["scrapeInterval"] for target in watched.targets()] == ["1h"] and not signals(watched)


def target_flaps(sample: Client) -> bool:
    return (Watched(sample.state).value('resets(up{job="chat"}[1h])') or 0) > 2


def histogram_buckets_dropped(sample: Client) -> bool:
    watched = Watched(sample.state)
    return bool(signals(watched)) and not watched.query('http_request_duration_seconds_bucket{job="chat"}')


def no_alerts(sample: Client) -> bool:
    return [name for name, rule in alerts(sample).items() if rule["name"] != "Watchdog"] == []


def no_cache_alert(sample: Client) -> bool:
    return "ChatLowCacheHitRate" not in alerts(sample)


def alerts_for_another_job(sample: Client) -> bool:
    return not fires(sample) and 'job="chat-api"' in alerts(sample)[DRILLED]["query"]


def alert_ratio_by_itself(sample: Client) -> bool:
    ask = alerts(sample)[DRILLED]["query"].rpartition(">")[0]
    found: list[float] = []

    def rated() -> bool:
        for _ in range(4):
            sample.http.get("/health")
        with sample.refused("upstream"):
            assert sample.chat().status_code == 503
        values = [float(one["value"][1]) for one in Watched(sample.state).query(ask)]
        found[:] = [value for value in values if value > 0]  # what had no traffic at all is not a number
        return bool(found)

    assert eventually(rated)
    return found == [1.0]


def alert_on_missing_metric(sample: Client) -> bool:
    return dead(sample, "ChatHighLatency")


def alert_hits_over_hits(sample: Client) -> bool:
    watched = Watched(sample.state)
    question = new_question()

    def rate() -> float | None:
        sample.chat(question)
        sample.chat()
        return watched.value("job:chat_cache_hit:ratio_rate5m")

    assert eventually(lambda: (found := rate()) is not None and found > 0)
    return rate() == 1


def alert_status_never_so(sample: Client) -> bool:
    return not fires(sample)


def alert_above_all_buckets(sample: Client) -> bool:
    return "> 30" in alerts(sample)["ChatHighLatency"]["query"]


def alerts_without_severity(sample: Client) -> bool:
    return not any(
        "severity" in rule["labels"] for name, rule in alerts(sample).items() if name != "Watchdog"
    )


def runbook_404(sample: Client) -> bool:
    url = alerts(sample)[DRILLED]["annotations"]["runbook_url"]
    return httpx.get(url, trust_env=False).status_code == 404


def alert_text_names_lost_label(sample: Client) -> bool:
    return "$labels.instance" in alerts(sample)[DRILLED]["annotations"]["summary"]


def alert_for_too_long(sample: Client) -> bool:
    return not fires(sample)


def no_watchdog(sample: Client) -> bool:
    return "Watchdog" not in alerts(sample)


def null_receiver(sample: Client) -> bool:
    return not notified(sample)


def route_swallows_alerts(sample: Client) -> bool:
    receivers = {one["name"]: one for one in Watched(sample.state).routing()["receivers"]}
    return "webhook_configs" in receivers["on-call"] and not notified(sample)


def alerts_inhibited_for_ever(sample: Client) -> bool:
    watched = Watched(sample.state)
    before = told(watched)
    assert fires(sample)
    return eventually(lambda: inhibited(watched), within_s=4) and told(watched) == before


def notifications_fail(sample: Client) -> bool:
    return failed(sample) > 0


def pager_gone(sample: Client) -> bool:
    before = failed(sample)
    return not notified(sample) and failed(sample) > before


def alertmanager_unknown(sample: Client) -> bool:
    return Watched(sample.state).prometheus("alertmanagers")["activeAlertmanagers"] == []


def no_dashboard(sample: Client) -> bool:
    return Watched(sample.state).grafana("/api/search?type=dash-db").json() == []


def dashboard_blank_panels(sample: Client) -> bool:
    return "Errors" in blank(sample)


def dashboard_old_panel(sample: Client) -> bool:
    return blank(sample) == {"Memory"}


def dashboard_source_gone(sample: Client) -> bool:
    [panel, *_] = board(sample)["panels"]
    return shown(sample, panel).status_code == 404


# Defects that do not hide each other are switched on together.
TOGETHER = [
    (metrics_credential_label, latency_not_a_histogram, cache_series_still, no_alerts, no_dashboard),
    (saturation_unknown, errors_counted_as_answers, no_cache_alert, alert_above_all_buckets),
    (server_errors_uncounted, runbook_404, alert_text_names_lost_label, no_watchdog, dashboard_source_gone),
    (target_absent, notifications_fail),
    (target_down, alerts_without_severity, alertmanager_unknown),
    (target_is_another,),
    (target_scraped_hourly,),
    (target_flaps,),
    (histogram_buckets_dropped, alert_ratio_by_itself, alert_hits_over_hits, dashboard_blank_panels),
    (alert_on_missing_metric, alert_status_never_so, dashboard_old_panel),
    (alerts_for_another_job,),
    (alert_for_too_long,),
    (null_receiver,),
    (route_swallows_alerts,),
    (alerts_inhibited_for_ever,),
    (pager_gone,),
]
SYMPTOMS = [symptom for together in TOGETHER for symptom in together]


@pytest.mark.parametrize(
    ("symptom", "together"),
    [(symptom, together) for together in TOGETHER for symptom in together],
    ids=lambda case: getattr(case, "__name__", ""),
)
def test_a_defect_has_its_symptom(
    with_defects: Callable[..., Client],
    symptom: Callable[[Client], bool],
    together: tuple[Callable[[Client], bool], ...],
):
    sample = with_defects(*(one.__name__ for one in together))
    assert eventually(lambda: symptom(sample), within_s=15)


@pytest.mark.parametrize("symptom", SYMPTOMS, ids=lambda symptom: symptom.__name__)
def test_a_healthy_sample_has_no_symptom(sample: Client, symptom: Callable[[Client], bool]):
    assert not symptom(sample)


def test_every_defect_of_monitoring_has_a_symptom():
    found = {symptom.__name__ for symptom in (*SYMPTOMS, *test_defects.SYMPTOMS)}
    assert {defect.name for defect in MONITORING} <= found


def metric(sample: Client, name: str) -> float:
    lines = sample.http.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def signals(watched: Watched) -> list[dict[str, Any]]:
    return watched.query('http_requests_in_flight{job="chat"}')


def alerts(sample: Client) -> dict[str, dict[str, Any]]:
    return {name: rule for name, rule in Watched(sample.state).rules().items() if rule["type"] == "alerting"}


def dead(sample: Client, name: str) -> bool:
    """Whether an alert's expression has no value even without its limit, amid questions."""
    sample.chat()
    time.sleep(2.5)  # two scrapes
    sample.chat()
    time.sleep(1.5)
    return Watched(sample.state).query(alerts(sample)[name]["query"].rpartition(">")[0]) == []


def fires(sample: Client) -> bool:
    """Whether the alert on errors fires within its time when the model is away."""

    def firing() -> bool:
        assert sample.chat().status_code == 503
        found = Watched(sample.state).prometheus("alerts")["alerts"]
        return any(one["labels"]["alertname"] == DRILLED and one["state"] == "firing" for one in found)

    with sample.refused("upstream"):
        return eventually(firing, within_s=FIRES_WITHIN_S)


def notified(sample: Client) -> bool:
    """Whether the pager hears of it."""
    watched = Watched(sample.state)
    assert eventually(lambda: DRILLED not in watched.firing())  # of a test before
    before = told(watched)
    assert fires(sample)
    return eventually(lambda: told(watched) > before, within_s=6)


def told(watched: Watched) -> int:
    heard = watched.pager()["notifications"]
    return sum(["firing", DRILLED] in notification["alerts"] for notification in heard)


def failed(sample: Client) -> float:
    """The notifications that Alertmanager could not deliver."""
    metrics = httpx.get(f"{address(sample.state.ports['alertmanager'])}/metrics", trust_env=False).text
    counter = 'alertmanager_notifications_failed_total{integration="webhook"'
    return sum(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith(counter))


def inhibited(watched: Watched) -> bool:
    return any(alert["status"]["inhibitedBy"] for alert in watched.routed())


def board(sample: Client) -> dict[str, Any]:
    found: dict[str, Any] = Watched(sample.state).grafana("/api/dashboards/uid/chat-service").json()
    return found["dashboard"]


def shown(sample: Client, panel: dict[str, Any], number: int = 0) -> httpx.Response:
    query = panel["targets"][number]
    expr = query["expr"].replace("$job", "chat").replace("$__rate_interval", "1m")
    uid = query["datasource"]["uid"].replace("${datasource}", "prometheus")
    asked = {**query, "expr": expr, "datasource": {"type": "prometheus", "uid": uid}}
    return Watched(sample.state).grafana("/api/ds/query", {"queries": [asked], "from": "now-5m", "to": "now"})


def blank(sample: Client) -> set[str]:
    """The titles of panels whose first query gives nothing."""
    sample.chat()
    panels = [each for panel in board(sample)["panels"] for each in (panel, *panel.get("panels", ()))]
    return {
        panel["title"]
        for panel in panels
        if "targets" in panel and not shown(sample, panel).json()["results"]["A"]["frames"]
    }

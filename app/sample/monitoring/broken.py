"""Defects of what watches the sample: changes to its configuration, one function a defect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any

RULES, SCRAPES = "chat.rules.yml", "prometheus.yml"
ROUTES, DASHBOARD = "alertmanager.yml", "chat-dashboard.json"
Documents = dict[str, Any]


def with_defects(documents: Documents, defects: AbstractSet[str]) -> Documents:
    """The configuration of monitoring with these defects."""
    for name, change in CHANGES.items():
        if name in defects:
            change(documents)
    return documents


def _rules(documents: Documents) -> Iterator[dict[str, Any]]:
    for group in documents[RULES]["groups"]:
        yield from group["rules"]


def _alerts(documents: Documents) -> list[dict[str, Any]]:
    """The alerts on the service, without the watchdog."""
    return [rule for rule in _rules(documents) if rule.get("alert") not in (None, "Watchdog")]


def _named(documents: Documents, *names: str) -> Iterator[dict[str, Any]]:
    return (rule for rule in _rules(documents) if {rule.get("alert"), rule.get("record")} & set(names))


def _without(documents: Documents, *names: str) -> None:
    for group in documents[RULES]["groups"]:
        group["rules"] = [rule for rule in group["rules"] if rule.get("alert") not in names]
    documents[RULES]["groups"] = [group for group in documents[RULES]["groups"] if group["rules"]]


def _put(documents: Documents, name: str, old: str, new: str) -> None:
    for rule in _named(documents, name):
        rule["expr"] = rule["expr"].replace(old, new)


def _ratio_by_itself(documents: Documents) -> None:
    for rule in _named(documents, "ChatHighErrorRate"):
        rule["expr"] = (
            'rate(http_requests_total{job="chat", status=~"5.."}[5s])'
            ' / rate(http_requests_total{job="chat"}[5s]) > 0.05'
        )


def _on_missing_metric(documents: Documents) -> None:
    _put(documents, "ChatHighLatency", "http_request_duration_seconds_bucket", "http_request_latency_bucket")


def _hits_over_hits(documents: Documents) -> None:
    for rule in _named(documents, "job:chat_cache_hit:ratio_rate5m"):
        rule["expr"] = (
            'sum by (job) (rate(chat_cache_hits_total{job="chat"}[5s]))'
            ' / sum by (job) (rate(chat_cache_hits_total{job="chat"}[5s]))'
        )


def _status_never_so(documents: Documents) -> None:
    _put(documents, "ChatHighErrorRate", 'status=~"5.."', 'status="5xx"')


def _above_all_buckets(documents: Documents) -> None:
    _put(documents, "ChatHighLatency", "> 2.5", "> 30")


def _no_cache_alert(documents: Documents) -> None:
    _without(documents, "ChatLowCacheHitRate")


def _no_alerts(documents: Documents) -> None:
    _without(documents, *(alert["alert"] for alert in _alerts(documents)))


def _another_job(documents: Documents) -> None:
    for rule in _rules(documents):
        rule["expr"] = rule["expr"].replace('job="chat"', 'job="chat-api"')


def _without_severity(documents: Documents) -> None:
    for alert in _alerts(documents):
        alert["labels"].pop("severity")


def _runbook_404(documents: Documents) -> None:
    for alert in _alerts(documents):
        alert["annotations"]["runbook_url"] += "-of-last-year"


def _for_too_long(documents: Documents) -> None:
    for rule in _named(documents, "ChatHighErrorRate"):
        rule["for"] = "2h"


def _text_of_lost_label(documents: Documents) -> None:
    for rule in _named(documents, "ChatHighErrorRate", "ChatHighLatency"):
        rule["annotations"]["summary"] += " on {{ $labels.instance }}"


def _no_watchdog(documents: Documents) -> None:
    _without(documents, "Watchdog")


def _null_receiver(documents: Documents) -> None:
    for receiver in documents[ROUTES]["receivers"]:
        receiver.pop("webhook_configs", None)


def _swallowed(documents: Documents) -> None:
    routes = documents[ROUTES]
    routes["receivers"].append({"name": "staging"})
    routes["route"]["routes"].insert(0, {"matchers": ['service=~"chat.*"'], "receiver": "staging"})


def _inhibited(documents: Documents) -> None:
    rule = {"source_matchers": ['alertname="Watchdog"'], "target_matchers": ['service="chat"']}
    documents[ROUTES]["inhibit_rules"].append(rule)


def _notifications_fail(documents: Documents) -> None:
    _pager_gone(documents, "on-call", "heartbeat")


def _pager_gone(documents: Documents, *receivers: str) -> None:
    for receiver in documents[ROUTES]["receivers"]:
        if receiver["name"] in (receivers or ("on-call",)):
            for webhook in receiver.get("webhook_configs", ()):
                webhook["url"] += "-of-last-year"  # a 404, which Alertmanager does not try again


def _alertmanager_unknown(documents: Documents) -> None:
    documents[SCRAPES]["alerting"]["alertmanagers"] = []


def _target_absent(documents: Documents) -> None:
    documents[SCRAPES]["scrape_configs"] = []


def _target_down(documents: Documents) -> None:
    for job in documents[SCRAPES]["scrape_configs"]:
        job["metrics_path"] = "/metricz"


def _target_is_another(documents: Documents) -> None:
    [manager] = documents[SCRAPES]["alerting"]["alertmanagers"] or [{"static_configs": [{"targets": []}]}]
    for job in documents[SCRAPES]["scrape_configs"]:
        job["static_configs"] = manager["static_configs"]


def _scraped_hourly(documents: Documents) -> None:
    for job in documents[SCRAPES]["scrape_configs"]:
        job["scrape_interval"] = "1h"


def _buckets_dropped(documents: Documents) -> None:
    drop = {"source_labels": ["__name__"], "regex": ".*_bucket", "action": "drop"}
    for job in documents[SCRAPES]["scrape_configs"]:
        job["metric_relabel_configs"] = [drop]


def _no_dashboard(documents: Documents) -> None:
    documents[DASHBOARD] = None


def _panels(documents: Documents) -> list[dict[str, Any]]:
    board = documents[DASHBOARD]
    return [panel for row in (board or {}).get("panels", ()) for panel in (row, *row.get("panels", ()))]


def _renamed(documents: Documents, *metrics: str) -> None:
    for panel in _panels(documents):
        for target in panel.get("targets", ()):
            for metric in metrics:
                target["expr"] = target["expr"].replace(metric, f"app_{metric}")


def _blank_panels(documents: Documents) -> None:
    _renamed(documents, "http_requests_total", "http_request_duration_seconds")


def _one_old_panel(documents: Documents) -> None:
    _renamed(documents, "process_resident_memory_bytes")


def _source_gone(documents: Documents) -> None:
    for panel in _panels(documents):
        for part in (panel, *panel.get("targets", ())):
            if "datasource" in part:
                part["datasource"]["uid"] = "prometheus-of-2024"


CHANGES: dict[str, Callable[[Documents], None]] = {
    "alert_ratio_by_itself": _ratio_by_itself,
    "alert_on_missing_metric": _on_missing_metric,
    "alert_hits_over_hits": _hits_over_hits,
    "alert_status_never_so": _status_never_so,
    "alert_above_all_buckets": _above_all_buckets,
    "no_cache_alert": _no_cache_alert,
    "no_alerts": _no_alerts,
    "alerts_for_another_job": _another_job,
    "alerts_without_severity": _without_severity,
    "runbook_404": _runbook_404,
    "alert_for_too_long": _for_too_long,
    "alert_text_names_lost_label": _text_of_lost_label,
    "no_watchdog": _no_watchdog,
    "null_receiver": _null_receiver,
    "route_swallows_alerts": _swallowed,
    "alerts_inhibited_for_ever": _inhibited,
    "notifications_fail": _notifications_fail,
    "pager_gone": _pager_gone,
    "target_is_another": _target_is_another,
    "target_down": _target_down,
    "target_scraped_hourly": _scraped_hourly,
    "histogram_buckets_dropped": _buckets_dropped,
    "alertmanager_unknown": _alertmanager_unknown,
    "target_absent": _target_absent,
    "no_dashboard": _no_dashboard,
    "dashboard_blank_panels": _blank_panels,
    "dashboard_old_panel": _one_old_panel,
    "dashboard_source_gone": _source_gone,
}

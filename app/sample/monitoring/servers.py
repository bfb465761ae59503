"""Prometheus and Alertmanager beside the sample, where they are installed; without them it runs unwatched.

Beside them stands what shows their data: a stand-in for Grafana, which cannot be installed as lightly.

Prometheus takes up new addresses at most every 5 s, which no option changes: so the first scrape comes 5 s
after its start, and after a change of what is scraped.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import httpx

from app import paths
from app.sample import processes
from app.sample.monitoring import broken, files
from app.sample.processes import Part, SampleError, address
from app.sample.serving import HOST
from app.sample.state import State, read_secrets, write_private

INSTALL = "apt-get install prometheus prometheus-alertmanager"
PROGRAMS = {"prometheus": ("prometheus",), "alertmanager": ("prometheus-alertmanager", "alertmanager")}
GRAFANA_TOKEN_NAME = "GREENLIGHT_SAMPLE_GRAFANA_TOKEN"  # noqa: S105 - the name of a variable
PARTS = (*PROGRAMS, "grafana")
RESEND_S = 2  # an alert that is no longer sent is over after four times as long
SETTLED_WITHIN_S = 20.0
EVERY = "1s"  # one that is scraped less often is not waited for
# Defects with which series are no longer there that were.
SERIES_GONE = {
    "metrics_absent",
    "metrics_unparseable",
    "latency_not_a_histogram",
    "saturation_unknown",
    "target_absent",
    "target_down",
    "target_is_another",
    "target_scraped_hourly",
    "histogram_buckets_dropped",
}
SCRAPES = 2  # as many as a rate needs
SCRAPES_TO_FLAP = 4
POLL_S = 0.05


def missing() -> tuple[str, ...]:
    """What would have to be installed for the sample to be watched."""
    return tuple(name for name in PROGRAMS if _program(name) is None)


def unwatched(state: State) -> str:
    """Why nothing watches the sample and what to do about it, or nothing."""
    if not state.unwatched:
        return ""
    names = " and ".join(name.capitalize() for name in state.unwatched)
    return (
        f"{names} not found, so the sample runs without monitoring and its checks are not assessed. "
        f"`{INSTALL}`, then start the sample anew."
    )


def _program(name: str) -> str | None:
    return next((path for known in PROGRAMS[name] if (path := shutil.which(known))), None)


def start(state: State) -> State:
    """Start Prometheus and Alertmanager; ``wait`` waits for them."""
    if state.unwatched:
        return state
    files.write(state)
    return _start_alertmanager(_start_prometheus(state))


def start_dashboards(state: State) -> State:
    """Start the stand-in for Grafana; ``wait`` waits for it."""
    if state.unwatched:
        return state
    config = {
        "port": state.ports["grafana"],
        "prometheus": address(state.ports["prometheus"]),
        "dashboards": str(state.folder / "monitoring"),
    }
    write_private(state.folder / "grafana.json", json.dumps(config, indent=2))
    command = [sys.executable, "-m", "app.sample.monitoring.grafana", str(state.folder / "grafana.json")]
    token = read_secrets(state.folder).grafana_token
    return _start(state, "grafana", command, {GRAFANA_TOKEN_NAME: token})


def wait(state: State) -> None:
    """Wait until they listen. Raises SampleError."""
    for part in _parts(state):
        processes.wait_listening(part, state.ports[part.name], state.folder / f"{part.name}.log")


def rearrange(state: State) -> State:
    """Bring their configuration in line with the defects.

    Where it changes, Alertmanager starts anew: its alerts and counters are about what was before. So does
    Prometheus where series end: it knows their names for hours, even of those that are deleted.
    """
    if state.unwatched:
        return state
    changed = files.write(state) - {broken.DASHBOARD}
    there = {part.name for part in state.parts}  # not all, where an earlier change was interrupted
    if SERIES_GONE & set(state.defects) or "prometheus" not in there:
        state = _replaced(state, "prometheus", _start_prometheus)
    if changed or "alertmanager" not in there:
        state = _replaced(state, "alertmanager", _start_alertmanager)
    wait(state)
    for name in PROGRAMS:  # both also where nothing changed: whether they have read it is not known
        with _api(state, name) as api:
            api.post("/-/reload").raise_for_status()
    return state


def _replaced(state: State, name: str, start_one: Callable[[State], State]) -> State:
    """The state with a part ended and started anew, in its old place."""
    order = [part.name for part in state.parts]
    old = [part for part in state.parts if part.name == name]
    processes.end(old)
    rest = tuple(part for part in state.parts if part not in old)
    state = start_one(state.model_copy(update={"parts": rest}).save())
    parts = tuple(sorted(state.parts, key=lambda part: [*order, name].index(part.name)))
    return state.model_copy(update={"parts": parts}).save()


def begin_anew(state: State) -> None:
    """Forget what Prometheus knows of the service before now, and wait until it knows how it is now.

    So neither the restart of a service nor the errors that it had before are held against it.
    """
    if state.unwatched:
        return
    now = time.time()
    wanted = _wanted(state)
    scrapes = SCRAPES_TO_FLAP if "target_flaps" in state.defects else SCRAPES
    with _api(state, "prometheus") as api:
        query = {"match[]": '{job="chat"}', "end": f"{now:.3f}"}
        api.post("/api/v1/admin/tsdb/delete_series", params=query).raise_for_status()
        deadline = time.monotonic() + SETTLED_WITHIN_S
        for _ in range(scrapes):
            while time.monotonic() < deadline and not _knows(api, now, wanted):
                time.sleep(POLL_S)
            now = time.time()


def _wanted(state: State) -> set[str]:
    """The URLs that Prometheus should scrape, and of the Alertmanagers that it should send to."""
    settings = files.documents(state)[broken.SCRAPES]
    scraped = {
        f"http://{place}{job['metrics_path']}"
        for job in settings["scrape_configs"]
        for group in job["static_configs"]
        for place in group["targets"]
    }
    notified = {
        f"http://{place}/api/v2/alerts"
        for one in settings["alerting"]["alertmanagers"]
        for group in one["static_configs"]
        for place in group["targets"]
    }
    return scraped | notified


def _knows(api: httpx.Client, since: float, wanted: Collection[str]) -> bool:
    targets = _data(api, "/api/v1/targets", state="active")["activeTargets"]
    sent_to = _data(api, "/api/v1/alertmanagers")["activeAlertmanagers"]
    if {target["scrapeUrl"] for target in targets} | {one["url"] for one in sent_to} != wanted:
        return False
    groups = _data(api, "/api/v1/rules")["groups"]
    if any(rule["health"] == "unknown" for group in groups for rule in group["rules"]):
        return False
    often = [target for target in targets if target["scrapeInterval"] == EVERY]
    return all(_seconds(target["lastScrape"]) > since for target in often)


def _data(api: httpx.Client, path: str, **query: str) -> Any:
    return api.get(path, params=query).raise_for_status().json()["data"]


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


@contextmanager
def _api(state: State, name: str) -> Iterator[httpx.Client]:
    try:
        with httpx.Client(base_url=address(state.ports[name]), trust_env=False) as api:
            yield api
    except httpx.HTTPError as error:
        raise SampleError(f"The sample's {name} cannot be set up: {error}") from error


def _parts(state: State) -> list[Part]:
    return [part for part in state.parts if part.name in PARTS]


def _start_prometheus(state: State) -> State:
    storage = state.folder / "prometheus"
    shutil.rmtree(storage, ignore_errors=True)
    options = [
        f"--config.file={state.folder / 'monitoring' / 'prometheus.yml'}",
        f"--storage.tsdb.path={storage}",
        "--storage.tsdb.retention.time=1d",
        f"--rules.alert.resend-delay={RESEND_S}s",
        "--web.enable-lifecycle",
        "--web.enable-admin-api",
    ]
    return _start(state, "prometheus", _command(state, "prometheus", options))


def _start_alertmanager(state: State) -> State:
    storage = state.folder / "alertmanager"
    shutil.rmtree(storage, ignore_errors=True)
    options = [
        f"--config.file={state.folder / 'monitoring' / 'alertmanager.yml'}",
        f"--storage.path={storage}",
        "--cluster.listen-address=",
    ]
    return _start(state, "alertmanager", _command(state, "alertmanager", options))


def _command(state: State, name: str, options: list[str]) -> list[str]:
    url = address(state.ports[name])
    listen = f"{HOST}:{state.ports[name]}"
    return [_program(name) or name, f"--web.listen-address={listen}", f"--web.external-url={url}", *options]


def _start(state: State, name: str, command: list[str], secrets: Mapping[str, str] | None = None) -> State:
    part = processes.start(
        name,
        address(state.ports[name]),
        command,
        environment=processes.python_environment(secrets or {}),
        log=state.folder / f"{name}.log",
        cwd=paths.ROOT,
    )
    return state.with_part(part)

"""What is read of a Grafana, from a server that answers in its documented format."""

from __future__ import annotations

import json

import pytest

from app.instruments.grafana import GrafanaReader
from app.instruments.grafana_templates import filled, variables_of
from checks.contract import InstrumentFailure
from checks.contract.instruments.monitoring import Panel, Shown
from checks.contract.target.monitoring import Grafana as Declared
from tests.instruments.grafana_server import LOGS, a_frame, gives, grafana, matched
from tests.instruments.monitoring_servers import an_api

SOURCE = {"type": "prometheus", "uid": "prom"}


def a_panel(title="Requests", *expressions, kind="timeseries", datasource=SOURCE, **changes):
    targets = [{"refId": "A", "expr": text, "datasource": datasource} for text in expressions]
    return {"type": kind, "title": title, "datasource": datasource, "targets": targets} | changes


def a_board(*panels, uid="chat", title="Chat service", variables=(), **changes):
    return {
        "uid": uid,
        "title": title,
        "panels": list(panels),
        "templating": {"list": list(variables)},
    } | changes


async def read(server, *uids, labels=None, words=("Chat",)):
    async with an_api(server.url, name="Grafana") as api:
        declared = Declared(url=server.url, dashboards=uids)
        return await GrafanaReader(api, declared, labels or {"job": "chat"}, words).dashboards()


async def panels_of(*panels, labels=None, sources=None, **board):
    server = {"sources": sources} if sources is not None else {}
    for key in ("library", "labels_now"):
        if key in board:
            server[key.removesuffix("_now")] = board.pop(key)
    async with grafana(a_board(*panels, **board), **server) as served:
        [dashboard] = await read(served, board.get("uid", "chat"), labels=labels)
    return dashboard.panels


async def test_rows_are_unfolded_hidden_queries_left_out_and_library_panels_fetched():
    folded = {"type": "row", "title": "More", "collapsed": True, "panels": [a_panel("Inside", "inside")]}
    hidden = a_panel("Two", "a", "b")
    hidden["targets"][1]["hide"] = True
    shared = {"type": "stat", "libraryPanel": {"uid": "lib", "name": "Shared"}, "gridPos": {"x": 1}}
    found = await panels_of(
        {"type": "row", "title": "Open", "collapsed": False, "panels": []},
        hidden,
        folded,
        {"type": "text", "title": "Words", "options": {"content": "x"}},
        shared,
        library={"lib": a_panel("Shared", "shared")},
    )
    assert [(panel.title, panel.kind, panel.expressions) for panel in found] == [
        ("Two", "timeseries", ("a",)),
        ("Inside", "timeseries", ("inside",)),
        ("Words", "text", ()),
        ("Shared", "timeseries", ("shared",)),
    ]


async def test_a_library_panel_that_is_gone_is_a_panel_without_queries():
    [panel] = await panels_of({"libraryPanel": {"uid": "gone", "name": "Gone"}, "title": "Gone"})
    assert (panel.title, panel.kind, panel.expressions) == ("Gone", "library panel", ())


async def test_rows_of_old_dashboards_are_read():
    old = a_board(rows=[{"title": "Row", "panels": [a_panel("Old", "up", kind="graph", datasource=None)]}])
    del old["panels"]
    async with grafana(old) as server:
        [board] = await read(server, "chat")
    assert board.panels == (Panel("Old", "graph", "prom", ("up",)),)


@pytest.mark.parametrize(
    ("reference", "source"),
    [
        (None, "prom"),
        ("default", "prom"),
        ("Prometheus", "prom"),
        ("prom", "prom"),
        ({"type": "prometheus", "uid": "prom"}, "prom"),
        ({"type": "prometheus", "uid": "${DS}"}, "prom"),
        ("$DS", "prom"),
        ({"uid": "${DS_PROMETHEUS}"}, "${DS_PROMETHEUS}"),
        ({"uid": "gone"}, "gone"),
        ({"type": "loki", "uid": "logs"}, "logs"),
    ],
)
async def test_data_sources_are_told_by_uid_name_variable_or_not_at_all(reference, source):
    chosen = {"name": "DS", "type": "datasource", "query": "prometheus", "current": {"value": "Prometheus"}}
    [panel] = await panels_of(a_panel("P", "up", datasource=reference), variables=[chosen])
    assert panel.datasource == source


@pytest.mark.parametrize("saved", [{}, {"value": "default"}, {"value": "gone-uid"}, None])
async def test_a_source_variable_that_chooses_nothing_gets_grafanas_choice(saved):
    chosen = {"name": "DS", "type": "datasource", "query": "loki", "current": saved}
    [panel] = await panels_of(a_panel("P", "up", datasource="$DS"), variables=[chosen])
    assert panel.datasource == LOGS["uid"]


async def test_a_mixed_panel_asks_each_query_of_its_own_source():
    mixed = a_panel("Mixed", "up", datasource="-- Mixed --")
    mixed["targets"] = [
        {"refId": "A", "expr": "up", "datasource": SOURCE},
        {"refId": "B", "expr": "{app=x}", "datasource": {"type": "loki", "uid": "logs"}},
        {
            "refId": "C",
            "type": "math",
            "expression": "$A*2",
            "datasource": {"type": "__expr__", "uid": "__expr__"},
        },
    ]
    [panel] = await panels_of(mixed)
    assert panel.expressions == ("up", "{app=x}")


async def test_grafanas_own_data_and_the_results_of_other_panels_need_no_query():
    found = await panels_of(
        a_panel("Random", "x", datasource="-- Grafana --"),
        a_panel("Same", "x", datasource={"uid": "-- Dashboard --"}),
        a_panel("Empty", ""),
    )
    assert [panel.expressions for panel in found] == [(), (), ()]


async def test_queries_of_other_kinds_are_told_in_their_own_words():
    sql = a_panel("Rows", datasource={"type": "postgres", "uid": "logs"})
    sql["targets"] = [{"refId": "A", "rawSql": "select '$who'"}, {"refId": "B", "metric": {"id": "1"}}]
    who = {"name": "who", "type": "custom", "query": "ada,grace", "current": {}}
    [panel] = await panels_of(sql, variables=[who])
    assert panel.expressions == ("select 'ada'", '{"metric": {"id": "1"}}')


JOB = {
    "name": "job",
    "type": "query",
    "datasource": SOURCE,
    "definition": "label_values(up, job)",
    "query": {"query": "label_values(up, job)", "refId": "x"},
}


async def expression_with(variable, text='up{job="$job"}', labels=None, now=None):
    [panel] = await panels_of(a_panel("P", text), variables=[variable], labels=labels, labels_now=now)
    return panel.expressions[0]


async def test_a_variable_is_set_to_the_service_as_somebody_would_who_looks_at_it():
    now = {"job": ["node", "chat"]}
    assert await expression_with(JOB, now=now) == 'up{job="chat"}'
    assert await expression_with({**JOB, "current": {"value": "node"}}, now=now) == 'up{job="chat"}'
    assert await expression_with({**JOB, "name": "svc"}, 'up{job=~"[[svc]]"}', now=now) == 'up{job=~"chat"}'


async def test_without_the_service_among_the_options_the_saved_value_stands_or_the_first():
    now = {"job": ["node", "redis"]}
    assert await expression_with({**JOB, "current": {"value": "redis"}}, now=now) == 'up{job="redis"}'
    assert await expression_with({**JOB, "current": {"value": "gone"}}, now=now) == 'up{job="node"}'
    assert await expression_with(JOB, now=now) == 'up{job="node"}'


async def test_without_options_that_grafana_tells_what_was_saved_stands():
    assert await expression_with({**JOB, "current": {"value": "node"}}) == 'up{job="node"}'
    assert await expression_with(JOB) == 'up{job=~".*"}'


async def test_a_chained_variable_is_looked_up_with_those_before_it():
    chained = {**JOB, "name": "instance", "query": 'label_values(up{job="$job"}, instance)'}
    board = a_board(a_panel("P", 'up{instance="$instance"}'), variables=[JOB, chained])
    async with grafana(board, labels={"job": ["chat"], "instance": ["a:1", "b:1"]}) as server:
        [found] = await read(server, "chat")
        looked = [matched(visit) for visit in server.visits if "/resources/" in visit.path]
    assert looked == [["up"], ['up{job="chat"}']]
    assert found.panels[0].expressions == ('up{instance="a:1"}',)


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ({"type": "custom", "query": "a,b", "current": {"value": "b"}}, "x{v='$v'}", "x{v='b'}"),
        ({"type": "custom", "query": "one : 1, two : 2"}, "$v", "1"),
        ({"type": "constant", "query": "eu"}, "${v}_total", "eu_total"),
        ({"type": "textbox", "query": "t"}, "$v", "t"),
        ({"type": "interval", "query": "1m,5m", "current": {"value": "5m"}}, "rate(x[$v])", "rate(x[5m])"),
        ({"type": "interval", "current": {"value": "$__auto_interval_v"}}, "rate(x[$v])", "rate(x[1m])"),
        (
            {"type": "query", "current": {"value": ["a", "b.c"]}, "multi": True},
            'x{v=~"$v"}',
            'x{v=~"(a|b\\\\.c)"}',
        ),
        ({"type": "query", "current": {"value": ["a", "b"]}, "multi": True}, "${v:csv} ${v:pipe}", "a,b a|b"),
        ({"type": "query", "current": {"value": ["a.b"]}, "multi": True}, "${v:raw}", "a.b"),
        ({"type": "query", "current": {"value": "$__all"}, "includeAll": True}, 'x{v=~"$v"}', 'x{v=~".*"}'),
        ({"type": "query", "current": {"value": ["$__all"]}, "includeAll": True}, 'x{v="$v"}', 'x{v=~".*"}'),
        ({"type": "query", "current": {"value": ["$__all"]}, "allValue": ".+"}, 'x{v=~"$v"}', 'x{v=~".+"}'),
        (
            {
                "type": "custom",
                "current": {"value": "$__all"},
                "includeAll": True,
                "options": [{"value": "$__all"}, {"value": "a"}, {"value": "b"}],
            },
            'x{v=~"$v"}',
            'x{v=~"(a|b)"}',
        ),
        ({"type": "query", "current": {"value": 'a"b\\c'}}, 'x{v="$v"}', 'x{v="a\\"b\\\\c"}'),
        ({"type": "query"}, 'x{v!="$v", w="${v}"}', 'x{v!=".*", w=~".*"}'),
        (
            {"type": "query", "current": {"value": "a"}},
            "$v $vv $__interval ${other} ${v:text}",
            "a $vv $__interval ${other} a",
        ),
        ({"type": "query", "current": {"value": {"odd": 1}}}, 'x{v=~"$v"}', 'x{v=~".*"}'),
        ({"type": 7, "current": 7, "query": 7, "options": 7}, 'x{v=~"$v"}', 'x{v=~".*"}'),
    ],
)
def test_queries_are_filled_in_as_grafana_does(variable, text, expected):
    [made] = variables_of({"templating": {"list": [{"name": "v", **variable}]}})
    assert filled(text, {"v": made}) == expected


async def test_a_dashboard_that_is_not_there_is_left_out():
    async with grafana() as server:
        assert await read(server, "gone") == ()


async def test_without_uids_the_dashboards_that_name_the_service_are_found():
    boards = [
        a_board(a_panel("P", 'up{job="node"}'), uid="node", title="Node"),
        a_board(a_panel("P", "up"), uid="title", title="My chat dashboard"),
        a_board(a_panel("P", "up"), uid="tag", title="Shop", tags=["chat"]),
        a_board(a_panel("P", 'rate(x{job="chat"}[5m])'), uid="series", title="Shop"),
        a_board(a_panel("P", 'up{job="$job"}'), uid="variable", title="Any", variables=[JOB]),
        a_board(a_panel("P", 'up{job="chatter"}'), uid="chatter", title="Chatter"),
    ]
    async with grafana(*boards, labels={"job": ["chat", "node"]}) as server:
        found = await read(server, words=("Support chat",))
    assert [board.uid for board in found] == ["title", "tag", "series", "variable"]


async def shown(query, panel=None, expression="up", environment=None, headers=None, **server):
    board = a_board(panel or a_panel("P", expression))
    async with (
        grafana(board, query=query, **server) as served,
        an_api(served.url, name="Grafana", environment=environment, headers=headers or {}) as api,
    ):
        reader = GrafanaReader(api, Declared(url=served.url, dashboards=("chat",)), {}, ())
        [dashboard] = await reader.dashboards()
        return await reader.shows(dashboard.panels[0], expression)


async def test_a_query_is_sent_as_the_panel_has_it():
    asked = []

    def query(sent):
        asked.append(sent)
        return gives(a_frame(1.0))

    panel = a_panel("P", "up", kind="stat")
    panel["targets"][0] |= {"instant": True, "range": False, "legendFormat": "x"}
    assert await shown(query, panel) == Shown(True)
    [sent] = asked
    assert sent["datasource"] == SOURCE
    assert (sent["expr"], sent["instant"], sent["range"], sent["refId"]) == ("up", True, False, "A")
    assert sent["legendFormat"] == "x"


async def test_what_looks_like_a_secret_in_a_dashboard_gets_no_value():
    asked = []

    def query(sent):
        asked.append(sent["expr"])
        return gives()

    headers = {"Authorization": "Bearer ${TOKEN}"}
    await shown(query, None, "up{a='${TOKEN}'}", {"TOKEN": "secret-token"}, headers)
    assert asked == ["up{a='${TOKEN}'}"]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (gives(a_frame(1.0)), Shown(True)),
        (gives(a_frame(None, 0.0)), Shown(True)),
        (gives(a_frame(None, entities=[None, {"NaN": [0]}])), Shown(True)),
        (gives(), Shown(False)),
        (gives(a_frame()), Shown(False)),
        (gives(a_frame(None, None)), Shown(False)),
        (gives({"schema": {"fields": []}, "data": {"values": []}}), Shown(False)),
        (gives(7, None, {}, {"data": 7}, {"schema": {"fields": 7}, "data": {"values": 7}}), Shown(False)),
        ((200, {"results": {"A": {"frames": None}}}), Shown(False)),
        (
            (400, {"results": {"A": {"error": "bad\n\x1b[31mdata", "status": 400}}}),
            Shown(False, "bad [31mdata"),
        ),
        ((500, {"message": "plugin unavailable"}), Shown(False, "plugin unavailable")),
        ((207, {"results": {"A": {"error": "timeout", "frames": []}}}), Shown(False, "timeout")),
    ],
)
async def test_what_a_query_gives(reply, expected):
    assert await shown(lambda asked: reply) == expected


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ((403, {"message": "no"}), "refuses this credential"),
        ((200, {"results": {}}), "answers /api/ds/query with status 200"),
        ((200, [1]), "answers /api/ds/query"),
        ((500, "x"), "status 500"),
    ],
)
async def test_a_reply_that_tells_nothing_is_a_failure(reply, said):
    with pytest.raises(InstrumentFailure, match=said):
        await shown(lambda asked: reply)


async def test_a_source_that_grafana_does_not_know_is_told_without_asking():
    panel = a_panel("P", "up", datasource={"type": "prometheus", "uid": "${DS_PROMETHEUS}"})
    found = await shown(lambda asked: pytest.fail("nothing is asked"), panel)
    assert found == Shown(False, "Grafana knows no data source '${DS_PROMETHEUS}'")


async def test_a_viewer_who_may_not_list_sources_asks_them_all_the_same():
    refused = (403, {"message": "permissions needed"})
    assert await shown(lambda asked: gives(a_frame(1.0)), sources=refused) == Shown(True)


@pytest.mark.parametrize(
    "board",
    [
        {"panels": 7, "templating": 7},
        {"panels": [1, {"type": 7, "title": [], "targets": {"a": 1}}, {"targets": [1, {"expr": 7}]}]},
        {"panels": [{"type": "row", "panels": 7}], "rows": [{"panels": [[]]}], "title": 7},
        {"templating": {"list": [1, {"name": 7}, {"name": "a", "type": "datasource", "query": 7}]}},
        {"panels": [{"datasource": 7, "targets": [{"expr": "up", "datasource": {"uid": []}}]}]},
        {"panels": [{"libraryPanel": {"uid": 7}}, {"libraryPanel": 7}]},
    ],
)
async def test_dashboards_of_wrong_types_are_read_as_far_as_they_make_sense(board):
    async with grafana({"uid": "chat", **board}) as server:
        [found] = await read(server, "chat")
    json.dumps([panel.title for panel in found.panels])


async def test_no_more_panels_are_read_than_the_bound():
    assert len(await panels_of(*[a_panel("P", "up")] * 900)) == 500

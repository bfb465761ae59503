"""The history on SQLite, written and read by several processes at once."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from app.history import database
from app.history.database import HistoryError
from app.history.models import Base
from app.history.store import Store
from app.records import LoadResult, RunEvent, RunState
from checks.contract.target import Target
from tests import records

TARGET = Target(key="shop", url="http://127.0.0.1:1", name="Shop")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'deep' / 'history.db'}"


@pytest.fixture
def store(url: str) -> Store:
    return Store.open(url)


def create(store: Store, target: Target = TARGET):
    return store.create_run(target, profile="quick", faults=True, started_by="test", planned=["a.b", "c.d"])


def event(seq: int) -> RunEvent:
    return RunEvent(seq=seq, at=datetime.now(UTC), kind="say", text=f"event {seq}", data={"n": seq})


def create_in_another_process(url: str) -> int:
    return create(Store.open(url)).number


def test_run_numbers_count_for_each_target(store: Store) -> None:
    other = TARGET.model_copy(update={"key": "other"})
    numbers = [create(store).number, create(store).number, create(store, other).number]
    assert numbers == [1, 2, 1]
    assert store.targets() == ["other", "shop"]
    assert [info.number for info in store.runs("shop")] == [2, 1]


def test_a_new_history_opened_by_many_processes_at_once_gives_each_run_its_own_number(url: str) -> None:
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        numbers = sorted(pool.map(create_in_another_process, [url] * 12))
    assert numbers == list(range(1, 13))


def test_a_run_goes_from_waiting_through_running_to_finished(store: Store) -> None:
    run = create(store)
    assert store.active() == [run]
    store.start_run(run.run_id, ["a.b"])
    assert store.run(run.run_id).state is RunState.RUNNING
    example = records.as_found()
    assert example.scorecard is not None
    store.add_finding(run.run_id, example.scorecard.findings[0])
    assert store.run(run.run_id).done == 1
    for result in example.load_results:
        store.add_load_result(run.run_id, result)
    store.finish_run(run.run_id, example.scorecard)
    found = store.snapshot(run.run_id)
    assert found.scorecard == example.scorecard
    assert found.load_results == example.load_results
    assert (found.run.state, found.run.score) == (RunState.FINISHED, example.scorecard.score)
    assert found.run.open_p0 == sum(finding.blocks for finding in example.scorecard.findings)
    assert store.active() == []


def test_events_are_read_on_from_the_last_one_seen(store: Store) -> None:
    run = create(store)
    for seq in range(1, 6):
        store.add_event(run.run_id, event(seq))
    assert [item.seq for item in store.events(run.run_id, after_seq=3)] == [4, 5]
    assert store.events(run.run_id, limit=2)[1].data == {"n": 2}


def test_times_come_back_with_their_zone(store: Store) -> None:
    assert create(store).created_at.utcoffset() is not None
    assert store.runs("shop")[0].created_at.utcoffset() is not None


def test_a_run_that_ended_without_a_score_keeps_what_it_found(store: Store) -> None:
    run = create(store)
    finding = records.as_found().scorecard.findings[0]
    store.add_finding(run.run_id, finding)
    store.end_run(run.run_id, RunState.INTERRUPTED, "gone")
    found = store.snapshot(run.run_id)
    assert (found.scorecard, found.run.message) == (None, "gone")
    assert store.findings(run.run_id) == (finding,)


def test_the_history_of_a_check_pairs_each_ended_run_with_its_finding(store: Store) -> None:
    first, second, third = create(store), create(store), create(store)
    finding = records.as_found().scorecard.findings[0]
    store.add_finding(first.run_id, finding)
    store.end_run(first.run_id, RunState.CANCELLED)
    store.end_run(second.run_id, RunState.INTERRUPTED)
    pairs = store.check_history("shop", finding.check)
    assert [(info.number, item) for info, item in pairs] == [(1, finding), (2, None)]
    assert third.number == 3


def test_the_target_is_kept_as_it_was(store: Store) -> None:
    target = TARGET.model_copy(update={"objectives": TARGET.objectives.model_copy(update={"hit_ratio": 0.9})})
    assert store.target(create(store, target).run_id) == target


def test_the_migrations_make_the_tables_of_the_models(store: Store, tmp_path: Path) -> None:
    plain = create_engine(f"sqlite:///{tmp_path / 'plain.db'}")
    Base.metadata.create_all(plain)

    def shape(engine):
        found = inspect(engine)
        return {
            table: sorted(
                (column["name"], str(column["type"]), column["nullable"])
                for column in found.get_columns(table)
            )
            for table in found.get_table_names()
            if table != "alembic_version"
        }

    assert shape(store.engine) == shape(plain)


def test_the_revision_that_opening_looks_for_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(database.MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == database.HEAD


def test_a_history_of_a_newer_version_is_refused_with_a_remedy(store: Store, url: str) -> None:
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(HistoryError, match="newer Greenlight"):
        Store.open(url)


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    file.write_text("not a database, but somebody's notes\n" * 100)
    before = file.read_bytes()
    with pytest.raises(HistoryError, match="cannot be opened"):
        Store.open(f"sqlite:///{file}")
    assert file.read_bytes() == before


def test_a_database_url_that_cannot_be_used_names_the_variable() -> None:
    with pytest.raises(HistoryError, match="GREENLIGHT_DB"):
        Store.open("nonsense://x")


def test_load_results_come_back_in_the_order_they_were_measured(store: Store) -> None:
    run = create(store)
    example = records.as_found().load_results[0]
    for name in ("zebra", "ant"):
        store.add_load_result(
            run.run_id, LoadResult.model_validate({**example.model_dump(), "scenario": name})
        )
    assert [result.scenario for result in store.load_results(run.run_id)] == ["zebra", "ant"]


def test_a_scenario_that_is_measured_again_replaces_its_figures(store: Store) -> None:
    run = create(store)
    example = records.as_found().load_results[0]
    again = example.model_copy(update={"total_requests": 7})
    store.add_load_result(run.run_id, example)
    store.add_load_result(run.run_id, again)
    assert store.load_results(run.run_id) == (again,)

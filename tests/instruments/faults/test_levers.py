"""Levers break one dependency in the declared way, and whatever happens they restore it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from app.instruments.faults.breaking import Breaker
from app.instruments.faults.command import CommandLever
from app.instruments.faults.ledger import Ledger, restore_left_behind
from app.instruments.faults.lever import LeverFailureError
from app.instruments.faults.levers import lever_from
from app.instruments.references import References
from checks.contract import InstrumentFailure, Target
from tests.instruments.faults.proxies import Proxied, proxied
from tests.instruments.servers import free_port

Heard = list[tuple[str, str, str]]


def breaker(target: Target, folder: Path, heard: Heard | None = None, **environment: str) -> Breaker:
    def hear(lever: str, way: str, what: str, detail: str) -> None:
        assert bool(detail) is (what != "restored")
        if heard is not None:
            heard.append((lever, way, what))

    return Breaker(target, References(environment), Ledger(folder), lambda _: None, hear)


async def assert_whole(proxy: Proxied, folder: Path) -> None:
    state = await proxy.state()
    assert (state["enabled"], state["toxics"]) == (True, [])
    assert await proxy.through() == "hello"
    assert entries(folder) == []


def entries(folder: Path) -> list[Path]:
    return list(folder.glob("*"))


@pytest.mark.parametrize(
    ("way", "seen"), [("refuse", "refused"), ("hang", "silence"), ("slow", "hello"), ("reset", "reset")]
)
async def test_each_way_of_a_proxy_breaks_as_it_says_and_is_restored(way, seen, tmp_path):
    ledger, heard = tmp_path / "levers", []
    async with proxied(tmp_path) as proxy:
        async with breaker(proxy.target(), ledger, heard).broken("cache", way):
            assert len(list(ledger.glob("*.json"))) == 1
            began = asyncio.get_running_loop().time()
            assert await proxy.through(timeout_s=0.5 if way == "hang" else 10) == seen
            assert way != "slow" or asyncio.get_running_loop().time() - began >= 0.9
        await assert_whole(proxy, ledger)
    assert heard == [("cache", way, "broken"), ("cache", way, "restored")]


async def test_a_lever_can_only_what_its_kind_can(tmp_path):
    async with proxied(tmp_path) as proxy:
        levers = breaker(proxy.target(), tmp_path / "levers")
        assert levers.ways("cache") == ("refuse", "hang", "slow", "reset")
        assert levers.ways("nothing") == ()
        with pytest.raises(InstrumentFailure, match="cannot errors; it can refuse, hang") as caught:
            async with levers.broken("cache", "errors"):
                raise AssertionError("broke in a way that it cannot")
        assert caught.value.missing == "levers.cache.ways"
        await assert_whole(proxy, tmp_path / "levers")


async def test_an_exception_within_restores_and_goes_on(tmp_path):
    async with proxied(tmp_path) as proxy:
        with pytest.raises(KeyError):
            async with breaker(proxy.target(), tmp_path / "levers").broken("cache", "refuse"):
                raise KeyError("in the check")
        await assert_whole(proxy, tmp_path / "levers")


async def test_a_cancellation_restores_however_often_it_comes(tmp_path):
    async with proxied(tmp_path) as proxy:
        broken = asyncio.Event()

        async def drill() -> None:
            async with breaker(proxy.target(), tmp_path / "levers").broken("cache", "hang"):
                broken.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(drill())
        await broken.wait()
        for _ in range(5):
            task.cancel()
            await asyncio.sleep(0.002)
        with pytest.raises(asyncio.CancelledError):
            await task
        await assert_whole(proxy, tmp_path / "levers")


async def test_a_cancellation_while_it_breaks_leaves_nothing_broken(tmp_path):
    async with proxied(tmp_path) as proxy:
        for turns in range(0, 40, 3):

            async def drill() -> None:
                async with breaker(proxy.target(), tmp_path / "levers").broken("cache", "refuse"):
                    await asyncio.Event().wait()

            task = asyncio.create_task(drill())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await assert_whole(proxy, tmp_path / "levers")


async def test_a_proxy_that_somebody_else_broke_is_left_as_it_is(tmp_path):
    async with proxied(tmp_path) as proxy:
        await proxy.tell("POST", "", {"enabled": False})
        heard: Heard = []
        with pytest.raises(InstrumentFailure, match="somebody else is using it"):
            async with breaker(proxy.target(), tmp_path / "levers", heard).broken("cache", "hang"):
                raise AssertionError("broke what was broken")
        assert (await proxy.state())["enabled"] is False
        assert (heard, list((tmp_path / "levers").glob("*"))) == ([], [])


async def test_toxics_of_somebody_else_survive_a_restore(tmp_path):
    async with proxied(tmp_path) as proxy:
        async with breaker(proxy.target(), tmp_path / "levers").broken("cache", "refuse"):
            await proxy.tell(
                "POST", "/toxics", {"name": "theirs", "type": "latency", "attributes": {"latency": 1}}
            )
        assert [toxic["name"] for toxic in (await proxy.state())["toxics"]] == ["theirs"]


async def test_an_api_that_is_not_there_is_said_so_and_the_entry_stays(tmp_path, monkeypatch):
    monkeypatch.setattr("app.instruments.faults.levers.PAUSE_S", 0.01)
    target = Proxied(f"http://127.0.0.1:{free_port()}", 1).target()
    heard: Heard = []
    with pytest.raises(InstrumentFailure, match=r"not be restored: .*refused.* by hand: curl"):
        async with breaker(target, tmp_path / "levers", heard).broken("cache", "refuse"):
            raise AssertionError("broke without an API")
    assert heard == [("cache", "refuse", "failed")]
    assert len(list((tmp_path / "levers").glob("*.json"))) == 1


async def test_the_line_to_restore_by_hand_restores(tmp_path, monkeypatch):
    async with proxied(tmp_path) as proxy:
        lever = lever_from(proxy.target().levers["cache"], References({}))
        for way in lever.ways:
            await lever.break_it(way)
            await asyncio.to_thread(
                subprocess.run, ["sh", "-c", lever.by_hand()], check=True, capture_output=True
            )
        await assert_whole(proxy, tmp_path / "levers")


def commanding(break_: list[str], restore: list[str], **rest: object) -> Target:
    lever = {"kind": "command", "break": break_, "restore": restore, "ways": ["refuse", "hang"]}
    return Target.model_validate({"url": "http://127.0.0.1:1", "levers": {"cache": lever}, **rest})


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


async def test_a_command_lever_runs_its_commands_without_a_shell(tmp_path):
    mark = tmp_path / "a b; $(c)"
    write = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(' '.join(sys.argv[2:]))"
    remove = python("import sys, os; os.remove(sys.argv[1])", str(mark))
    target = commanding(python(write, str(mark), "{way}", "${TOKEN}", "$HOME"), remove)
    async with breaker(target, tmp_path / "levers", TOKEN="s3cret").broken("cache", "hang"):
        assert mark.read_text() == "hang s3cret $HOME"
    assert not mark.exists()
    assert list((tmp_path / "levers").glob("*")) == []


async def test_a_command_that_fails_says_what_it_said_without_secrets(tmp_path):
    fail = python("import sys; print('no such thing', sys.argv[1]); sys.exit(3)", "${TOKEN}")
    target = commanding(fail, python(""))
    with pytest.raises(InstrumentFailure, match=r"status 3: no such thing \$TOKEN") as caught:
        async with breaker(target, tmp_path / "levers", TOKEN="s3cret").broken("cache", "hang"):
            raise AssertionError("went on though the command failed")
    assert "s3cret" not in caught.value.reason


async def test_a_command_that_cannot_be_started_is_said_so(tmp_path):
    target = commanding([str(tmp_path / "missing")], python(""))
    with pytest.raises(InstrumentFailure, match="cannot be started: No such file"):
        async with breaker(target, tmp_path / "levers").broken("cache", "hang"):
            raise AssertionError("went on without the command")


async def test_a_command_that_does_not_end_is_ended_with_its_children(tmp_path, monkeypatch):
    pids = tmp_path / "pids"
    code = "import os, sys, time; os.fork(); open(sys.argv[1], 'a').write(f'{os.getpid()} '); time.sleep(60)"
    declared = commanding(python(code, str(pids)), python("")).levers["cache"]
    with pytest.raises(LeverFailureError, match="did not end within 1 s"):
        await CommandLever(declared, References({}), timeout_s=1).break_it("hang")
    for pid in map(int, pids.read_text().split()):
        for _ in range(200):
            if not _alive(pid):
                break
            await asyncio.sleep(0.01)
        assert not _alive(pid)


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_a_command_that_leaves_a_server_running_does_not_hold_the_lever_up(tmp_path):
    pids = tmp_path / "pid"
    code = (
        "import subprocess, sys;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "open(sys.argv[1], 'w').write(str(child.pid))"
    )
    target = commanding(python(code, str(pids)), python(""))
    async with asyncio.timeout(30), breaker(target, tmp_path / "levers").broken("cache", "hang"):
        server = int(pids.read_text())
        assert _alive(server)
        os.kill(server, signal.SIGKILL)


CRASH = """
import asyncio, os, sys
from pathlib import Path
from app.instruments.faults.breaking import Breaker
from app.instruments.faults.ledger import Ledger
from app.instruments.references import References
from checks.contract import Target

async def main():
    target = Target.model_validate_json(sys.argv[1])
    ledger = Ledger(Path(sys.argv[2]))
    levers = Breaker(target, References(os.environ), ledger, lambda _: None, lambda *_: None)
    async with levers.broken("cache", "refuse"):
        print("broken", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_what_a_killed_run_left_broken_is_restored_by_the_next_start(number, tmp_path):
    ledger = tmp_path / "levers"
    async with proxied(tmp_path) as proxy:
        document = proxy.target().model_dump_json(by_alias=True, exclude_none=True)
        run = await asyncio.create_subprocess_exec(
            *python(CRASH, document, str(ledger)),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": "."},
        )
        assert await run.stdout.readline() == b"broken\n"
        assert await proxy.through() == "refused"
        assert await asyncio.to_thread(restore_left_behind, ledger, {}) == []
        run.send_signal(number)
        await run.wait()
        assert await proxy.through() == "refused"
        (restored,) = await asyncio.to_thread(restore_left_behind, ledger, {})
        assert (restored.lever, restored.way, restored.ok) == ("cache", "refuse", True)
        await assert_whole(proxy, ledger)


async def test_what_this_process_left_broken_is_restored_only_when_asked(tmp_path):
    ledger = tmp_path / "levers"
    async with proxied(tmp_path) as proxy:
        Ledger(ledger).write("key", "cache", "refuse", proxy.target().levers["cache"])
        await proxy.tell("POST", "", {"enabled": False})
        assert await asyncio.to_thread(restore_left_behind, ledger, {}) == []
        (restored,) = await asyncio.to_thread(lambda: restore_left_behind(ledger, {}, own=True))
        assert restored.ok
        await assert_whole(proxy, ledger)


def _left_behind(folder: Path, declared: dict[str, object], **changes: object) -> Path:
    entry = Ledger(folder).write("key", "cache", "refuse", commanding(["true"], ["true"]).levers["cache"])
    document = {**json.loads(entry.read_text()), "declared": declared, "started_at": 1.0, **changes}
    entry.write_text(json.dumps(document))
    return entry


def test_an_entry_that_cannot_be_restored_stays_and_says_what_to_do_by_hand(tmp_path, monkeypatch):
    monkeypatch.setattr("app.instruments.faults.levers.PAUSE_S", 0.01)
    declared = {"kind": "command", "break": ["true"], "restore": ["false", "${TOKEN}"], "ways": ["refuse"]}
    entry = _left_behind(tmp_path, declared)
    (restored,) = restore_left_behind(tmp_path, {"TOKEN": "s3cret"})
    assert not restored.ok
    assert restored.detail.endswith('Restore it by hand: false "$TOKEN"')
    assert "s3cret" not in restored.detail
    assert entry.exists()


def test_an_entry_of_another_machine_is_left_alone(tmp_path):
    declared = {"kind": "command", "break": ["true"], "restore": ["false"], "ways": ["refuse"]}
    entry = _left_behind(tmp_path, declared, host="elsewhere.example.com")
    assert restore_left_behind(tmp_path, {}) == []
    assert entry.exists()


def test_an_entry_that_cannot_be_read_is_reported(tmp_path):
    (tmp_path / "odd.json").write_text("{")
    (restored,) = restore_left_behind(tmp_path, {})
    assert not restored.ok
    assert "not a ledger entry" in restored.detail


def test_without_a_folder_nothing_was_left_broken(tmp_path):
    assert restore_left_behind(tmp_path / "none", {}) == []


def test_the_ledger_keeps_references_and_no_values(tmp_path):
    target = commanding(["break", "${TOKEN}"], ["restore", "${TOKEN}"])
    entry = Ledger(tmp_path).write("key", "cache", "refuse", target.levers["cache"])
    assert "${TOKEN}" in entry.read_text()


def test_a_draft_that_a_killed_run_left_is_removed_in_time(tmp_path):
    old, young = tmp_path / "old.partial", tmp_path / "young.partial"
    for draft in (old, young):
        draft.write_text("{")
    os.utime(old, (1, 1))
    assert restore_left_behind(tmp_path, {}) == []
    assert (old.exists(), young.exists()) == (False, True)

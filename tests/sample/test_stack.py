"""Starting and stopping the sample, and what it leaves alone."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from app import targets
from app.sample import processes, stack
from app.sample.defects import UnknownDefectError
from app.sample.monitoring import servers as monitoring
from app.sample.processes import Part, SampleError
from app.sample.state import State
from tests.sample.client import Client, eventually

QUESTION = {"message": "What takes its time?", "session_id": "s"}


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Callable[..., State]]:
    """``own(*defects, **options)`` starts a sample in the test's folder; it ends with the test."""

    def start(*defects: str, **options: object) -> State:
        [port] = processes.free_ports(1)
        given = {"chat_port": port, "target_file": tmp_path / "sample.toml"} | options
        return stack.up(defects, folder=tmp_path / "sample", **given)

    yield start
    stack.down(tmp_path / "sample")


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with the sample."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def test_up_status_and_down(own: Callable[..., State], tmp_path: Path):
    folder = tmp_path / "sample"
    assert stack.status(folder) is None
    state = own()
    assert stack.status(folder) == state
    watching = set() if state.unwatched else set(monitoring.PARTS)
    assert {part.name for part in state.parts} == {"valkey", "stub", "faultproxy", "chat"} | watching
    assert all(os.getsid(part.pid) == part.pid for part in state.parts)
    assert stack.down(folder) is True
    assert stack.status(folder) is None
    assert not any(part.alive for part in state.parts)
    assert stack.down(folder) is False


def test_what_only_the_owner_may_read(own: Callable[..., State]):
    state = own()
    kept = stack.environment(state)
    for name in ("state.json", "secrets.json"):
        assert stat.S_IMODE((state.folder / name).stat().st_mode) == 0o600
    shown = (
        state.model_dump_json() + (state.folder / "state.json").read_text() + state.target_file.read_text()
    )
    assert kept[stack.TOKEN_NAME] not in shown


def test_the_target_file_is_valid_and_leads_to_this_sample(own: Callable[..., State]):
    state = own()
    target = targets.load(str(state.target_file))
    assert (target.key, target.url, target.allow_faults) == ("sample", state.url, True)
    assert set(target.levers) == {"cache", "upstream", "stock", "drafts", "invoices", "service"}
    assert "@" not in state.target_file.read_text()


def test_a_sample_that_is_up_is_not_started_again(own: Callable[..., State]):
    state = own()
    with pytest.raises(SampleError, match=f"up already at {state.url}"):
        own()
    assert state.whole


def test_a_port_in_use_names_port_holder_and_another_port(own: Callable[..., State], tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SampleError) as refused:
            own(chat_port=port)
    message = str(refused.value)
    assert f"Port {port} is not free" in message
    assert f"process {os.getpid()}" in message
    assert "sample up --port" in message
    assert stack.status(tmp_path / "sample") is None


def test_an_unknown_defect_names_the_nearest(own: Callable[..., State]):
    with pytest.raises(UnknownDefectError, match="Did you mean no_compensation"):
        own("no_compensations")


def test_what_a_crash_left_behind_is_ended_by_the_next_start(own: Callable[..., State]):
    before = own()
    chat = next(part for part in before.parts if part.name == "chat")
    os.kill(chat.pid, signal.SIGKILL)
    assert eventually(lambda: not chat.alive)
    assert stack.status(before.folder) is not None  # the rest still runs
    after = own()
    assert after.whole
    assert not any(part.alive for part in before.parts)


def test_a_killed_start_is_cleaned_up(tmp_path: Path):
    folder = tmp_path / "sample"
    [port] = processes.free_ports(1)
    code = (
        "import sys, time; from pathlib import Path; from app.sample import launch, stack\n"
        "launch.start_chat = lambda state: time.sleep(600)\n"
        "folder = Path(sys.argv[1])\n"
        "stack.up(chat_port=int(sys.argv[2]), folder=folder, target_file=folder / 'sample.toml')"
    )
    starting = subprocess.Popen([sys.executable, "-c", code, str(folder), str(port)])
    assert eventually(lambda: (state := stack.status(folder)) is not None and _has_all_but_chat(state))
    left = stack.status(folder).parts
    starting.kill()
    starting.wait()
    assert all(part.alive for part in left)
    assert stack.down(folder) is True
    assert not any(part.alive for part in left)


def test_a_start_that_fails_leaves_nothing_running(own: Callable[..., State], tmp_path: Path):
    with pytest.raises(SampleError, match="cannot be used"):
        own(redis_url=f"redis://127.0.0.1:{processes.free_ports(1)[0]}/0")
    assert stack.status(tmp_path / "sample") is None
    running = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert not any(str(tmp_path) in " ".join(line) for line in running)


def test_a_process_that_took_over_a_pid_is_left_alone(
    own: Callable[..., State], stranger: subprocess.Popen[bytes]
):
    state = own()
    reused = Part(name="chat", pid=stranger.pid, started_at=1.0, url=state.url)
    state.model_copy(update={"parts": (*state.parts, reused)}).save()
    stack.down(state.folder)
    assert not reused.alive
    assert stranger.poll() is None


def test_defects_are_switched_while_the_rest_runs_on(own: Callable[..., State]):
    state = own("metrics_absent")
    changed = stack.set_defects(["health_slow", "stale_server_elsewhere"], state.folder)
    kept = {part.name: part.pid for part in state.parts if part.name != "chat"}
    assert {part.name: part.pid for part in changed.parts if part.name in kept} == kept
    assert changed.defects == ("health_slow", "stale_server_elsewhere")
    assert [part.name for part in changed.parts][-2:] == ["older chat", "chat"]
    mended = stack.set_defects([], state.folder)
    assert [part.name for part in mended.parts] == [part.name for part in state.parts]
    older = next(part for part in changed.parts if part.name == "older chat")
    assert not older.alive


def test_defects_of_a_sample_that_is_not_up_cannot_be_switched(tmp_path: Path):
    with pytest.raises(SampleError, match="not up"):
        stack.set_defects([], tmp_path)
    with pytest.raises(SampleError, match="not up"):
        stack.set_defects([], tmp_path / "nowhere")


def test_a_redis_of_ones_own_is_used_and_left_alone(own: Callable[..., State], sample: Client):
    port = sample.state.ports["valkey"]
    state = own(redis_url=f"redis://127.0.0.1:{port}/3")
    assert "valkey" not in {part.name for part in state.parts}
    assert targets.load(str(state.target_file)).redis.url == f"redis://127.0.0.1:{port}/3"
    with pytest.raises(SampleError, match="needs the sample's own Valkey"):
        stack.set_defects(["cache_password_unknown"], state.folder)
    client = Client(state)
    assert client.chat("hello").status_code == 200
    assert client.chat("hello").json()["metadata"]["from_cache"] is True
    client.close()
    stack.down(state.folder)
    assert sample.state.whole


@pytest.mark.parametrize(
    "url", ["localhost:6379", "rediss://127.0.0.1", "redis://127.0.0.1:port", "redis://"]
)
def test_a_redis_url_that_is_none_is_refused(own: Callable[..., State], url: str):
    with pytest.raises(SampleError, match="--redis takes a URL"):
        own(redis_url=url)


def test_a_password_in_the_redis_url_stays_out_of_the_target_file(own: Callable[..., State], sample: Client):
    url = f"redis://:open-sesame@127.0.0.1:{sample.state.ports['valkey']}/0"
    state = own(redis_url=url)
    assert targets.load(str(state.target_file)).redis.url == "${GREENLIGHT_SAMPLE_REDIS_URL}"
    assert "open-sesame" not in state.target_file.read_text() + state.model_dump_json()
    assert stack.environment(state)["GREENLIGHT_SAMPLE_REDIS_URL"] == url


def _chat(state: State) -> tuple[Part, psutil.Process]:
    """The supervisor of the chat API, and the process that serves."""
    part = next(part for part in state.parts if part.name == "chat")
    [serving] = part.process().children()
    return part, serving


def test_a_supervised_service_ends_as_a_whole(own: Callable[..., State]):
    state = own()
    part, serving = _chat(state)
    with Client(state).http.stream("POST", "/api/v1/chat/stream", json=QUESTION) as streaming:
        next(streaming.iter_lines())
        again = stack.set_defects([], state.folder)
    assert not part.alive
    assert not serving.is_running()
    assert again.whole
    part, serving = _chat(again)
    os.kill(part.pid, signal.SIGKILL)
    assert eventually(lambda: not serving.is_running())
    assert stack.down(state.folder) is True


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_service_that_nobody_ended_comes_back_under_another_name(own: Callable[..., State], number: int):
    client = Client(own())
    part, serving = _chat(client.state)
    before = client.http.get("/health").json()
    serving.send_signal(number)
    assert eventually(lambda: _health(client).get("instance", before["instance"]) != before["instance"])
    assert client.chat().status_code == 200
    assert part.alive
    client.close()


def test_a_service_that_is_stopped_ends_with_the_sample(own: Callable[..., State]):
    state = own()
    part, serving = _chat(state)
    serving.suspend()
    assert stack.down(state.folder) is True
    assert not part.alive
    assert eventually(lambda: not serving.is_running())


def _has_all_but_chat(state: State) -> bool:
    watching = () if state.unwatched else monitoring.PARTS
    return {part.name for part in state.parts} == {"valkey", "stub", "faultproxy", *watching}


def _health(client: Client) -> dict[str, object]:
    try:
        return client.http.get("/health").json()
    except httpx.TransportError:
        return {}

"""Each defect of error recovery has its symptom, and the healthy sample has none of them."""

from __future__ import annotations

import copy
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import httpx
import psutil
import pytest

from app.sample import stack
from app.sample.defects.error_recovery import ERROR_RECOVERY
from tests.sample import test_defects
from tests.sample.client import HANG, ORDER, Client, eventually

GIVES_UP_WITHIN_S = 2.0  # with a partner that hangs for half a second at each attempt


@dataclass(frozen=True)
class Undone:
    """What became of an order whose draft could not be taken back at first.

    ``shown`` at once, ``shown_later`` while the partner was still away, and ``shown_last`` are pending undos
    as the service has it; ``left`` is what stayed.
    """

    shown: int
    shown_later: int
    shown_last: int
    left: set[str]


def undo_fails(sample: Client, *, killed: bool = False) -> Undone:
    before = sample.partners()
    with ThreadPoolExecutor(1) as pool, sample.poisoned("invoices", HANG):
        ordering = pool.submit(sample.order)
        assert eventually(lambda: len(sample.partners()["drafts"]) > len(before["drafts"]))
        with sample.refused("drafts"):
            assert ordering.result().status_code == 504
            shown = pending(sample)
            time.sleep(GIVES_UP_WITHIN_S)
            shown_later = pending(sample)
            if killed:
                kill(sample)
    eventually(lambda: sample.partners() == before, within_s=4)
    after = sample.partners()
    left = {kind for kind in after if after[kind] != before[kind]}
    return Undone(shown, shown_later, pending(sample), left)


def pending(sample: Client) -> int:
    return sample.http.get("/health").json()["components"]["orders"]["pending_compensations"]


def kill(sample: Client) -> None:
    """SIGKILL what serves; the supervisor starts it again."""
    part = next(part for part in sample.state.parts if part.name == "chat")
    for serving in part.process().children():
        serving.kill()
        serving.wait(5)
    assert eventually(lambda: answers(sample))


def answers(sample: Client) -> bool:
    try:
        return sample.http.get("/health").is_success
    except httpx.TransportError:
        return False


def silent_compensation_failure(sample: Client) -> bool:
    undone = undo_fails(sample)
    return undone.left == {"drafts"} and undone.shown == 0


def compensation_gives_up(sample: Client) -> bool:
    undone = undo_fails(sample)
    return undone.left == {"drafts"} and (undone.shown, undone.shown_later) == (1, 0)


def compensation_left_to_people(sample: Client) -> bool:
    undone = undo_fails(sample)
    return undone.left == {"drafts"} and undone.shown_last == 1


def compensation_forgotten_at_restart(sample: Client) -> bool:
    return not undo_fails(sample).left and undo_fails(sample, killed=True).left == {"drafts"}


def orders_of(sample: Client, *, in_turn: int = 0, at_once: int = 0) -> tuple[int, list[httpx.Response]]:
    """How many orders one key places, and the replies."""
    before, key = len(sample.partners()["invoices"]), uuid.uuid4().hex
    with ThreadPoolExecutor(at_once or 1) as pool:
        replies = list(pool.map(lambda _: sample.order(key=key), range(at_once)))
    replies += [sample.order(key=key) for _ in range(in_turn)]
    return len(sample.partners()["invoices"]) - before, replies


def double_charge(sample: Client) -> bool:
    return orders_of(sample, in_turn=3)[0] == 3


def double_charge_at_once(sample: Client) -> bool:
    return orders_of(sample, in_turn=3)[0] == 1 and orders_of(sample, at_once=4)[0] > 1


def double_charge_other_worker(sample: Client) -> bool:
    return orders_of(sample, in_turn=4)[0] == 2


def idempotency_refuses_repeats(sample: Client) -> bool:
    placed, replies = orders_of(sample, in_turn=2)
    return placed == 1 and [reply.status_code for reply in replies] == [201, 422]


def idempotency_key_of_all_shops(sample: Client) -> bool:
    key, other = uuid.uuid4().hex, stack.environment(sample.state)[stack.OTHER_TOKEN_NAME]
    return sample.order(key=key).json() == sample.order(key=key, token=other).json()


def idempotency_ignores_body(sample: Client) -> bool:
    key, other = uuid.uuid4().hex, copy.deepcopy(ORDER) | {"customer": "Charles Babbage"}
    first, second = sample.order(key=key), sample.order(other, key=key)
    return second.status_code == 201 and first.json() == second.json()


SOON_S, LATER_S = 6.0, 30.0
A_SECOND = [{"type": "latency", "attributes": {"latency": 1_000}}]


def serving(sample: Client) -> psutil.Process:
    """The process that answers."""
    part = next(part for part in sample.state.parts if part.name == "chat")
    [found] = part.process().children()
    return found


def told_to_end_amid(sample: Client, ask: Callable[[], object]) -> object:
    """What came of ``ask``, which takes a second, when the service was told to end meanwhile."""
    process = serving(sample)
    with ThreadPoolExecutor(1) as pool, sample.poisoned("upstream", A_SECOND):
        asking = pool.submit(ask)
        time.sleep(0.4)
        process.terminate()
        process.wait(20)
        came = asking.exception() or asking.result()
    assert eventually(lambda: answers(sample))
    return came


def ask_anew(sample: Client) -> int:
    """The status of a new question over a connection of its own."""
    body = {"message": uuid.uuid4().hex, "session_id": "s"}
    return httpx.post(f"{sample.state.url}/api/chat", json=body, timeout=20, trust_env=False).status_code


def drops_inflight_on_sigterm(sample: Client) -> bool:
    return isinstance(told_to_end_amid(sample, lambda: ask_anew(sample)), httpx.TransportError)


def closes_clients_before_requests(sample: Client) -> bool:
    return told_to_end_amid(sample, lambda: ask_anew(sample)) == 503


def streams_cut_on_sigterm(sample: Client) -> bool:
    whole = told_to_end_amid(sample, lambda: ask_anew(sample)) == 200
    return whole and isinstance(told_to_end_amid(sample, sample.stream), httpx.TransportError)


def shutdown_never_ends(sample: Client) -> bool:
    process = serving(sample)
    process.terminate()
    eventually(lambda: not process.is_running(), SOON_S)
    stays = process.is_running() and not answers(sample)
    if stays:
        process.kill()
    assert eventually(lambda: answers(sample))
    return stays


def comes_back(sample: Client, within_s: float) -> bool:
    """Whether it answers anew within a time after a kill."""
    process = serving(sample)
    process.kill()
    process.wait(5)
    return eventually(lambda: answers(sample), within_s)


def restart_never_comes(sample: Client) -> bool:
    process = serving(sample)
    process.terminate()
    process.wait(20)
    return eventually(lambda: answers(sample)) and not comes_back(sample, SOON_S)


def restart_late(sample: Client) -> bool:
    return not comes_back(sample, SOON_S) and eventually(lambda: answers(sample), LATER_S)


def restart_answers_500(sample: Client) -> bool:
    return (
        comes_back(sample, SOON_S) and ask_anew(sample) == 500 and eventually(lambda: ask_anew(sample) == 200)
    )


def order_book(sample: Client) -> dict[str, dict[str, object]]:
    headers = {"Authorization": f"Bearer {stack.environment(sample.state)[stack.TOKEN_NAME]}"}
    return httpx.get(f"{sample.state.url}/api/order-book", headers=headers, trust_env=False).json()["orders"]


def ordered_before_a_kill(sample: Client) -> tuple[object, object]:
    """An order as its book has it before and after."""
    reference = sample.order().json()["order"]
    before = order_book(sample).get(reference)
    kill(sample)
    return before, order_book(sample).get(reference)


def loses_orders_on_kill(sample: Client) -> bool:
    before, after = ordered_before_a_kill(sample)
    return before == ORDER and after is None


def orders_lose_lines_in_crash(sample: Client) -> bool:
    before, after = ordered_before_a_kill(sample)
    return before == ORDER and after == ORDER | {"items": ORDER["items"][:1]}


def order_ids_come_again(sample: Client) -> bool:
    before = sample.order().json()["order"]
    kill(sample)
    return sample.order().json()["order"] == before


def calls_of(sample: Client, ask: Callable[[], httpx.Response], *, errors: int = 0):
    """The reply, and the calls that came to the model's proxy while it refused the next, or all for 0.

    The breaker is closed again afterwards.
    """
    toxic = {"type": "http_errors", "attributes": {"count": errors}}
    before = sample.faults.get("/proxies/upstream").json()["calls"]
    with sample.poisoned("upstream", [toxic]):
        reply = ask()
    found = sample.faults.get("/proxies/upstream/calls", params={"after": before}).json()["latest"]
    assert eventually(lambda: sample.chat().status_code == 200)
    return reply, found


def gaps_of(sample: Client) -> list[float]:
    """The pauses between the calls that three questions make when two are refused each time."""
    found = []
    for _ in range(3):
        _, calls = calls_of(sample, sample.chat, errors=2)
        found += [later["at_s"] - call["at_s"] for call, later in pairwise(calls)]
    return found


def stream_reply(sample: Client) -> httpx.Response:
    return sample.http.post("/api/v1/chat/stream", json={"message": uuid.uuid4().hex, "session_id": "s"})


def several(sample: Client) -> httpx.Response:
    """Six questions, one after another; the last reply."""
    return [sample.chat() for _ in range(6)][-1]


def stream_no_upstream_timeout(sample: Client) -> bool:
    body = {"message": uuid.uuid4().hex, "session_id": "s"}
    with sample.poisoned("upstream", HANG):
        whole = sample.chat().status_code
        try:
            sample.http.post("/api/v1/chat/stream", json=body, timeout=4)
        except httpx.ReadTimeout:
            return whole == 504
    return False


def retry_storm(sample: Client) -> bool:
    reply, calls = calls_of(sample, sample.chat)
    return reply.status_code == 503 and len(calls) >= 10 and calls[-1]["at_s"] - calls[0]["at_s"] < 3


def retry_in_two_layers(sample: Client) -> bool:
    return len(calls_of(sample, sample.chat)[1]) == 9


def retry_fixed_gap(sample: Client) -> bool:
    gaps = gaps_of(sample)
    return len(gaps) == 6 and min(gaps) >= 0.19 and min(gaps) > 0.9 * sorted(gaps)[3]


def no_retry(sample: Client) -> bool:
    reply, calls = calls_of(sample, sample.chat, errors=2)
    return (reply.status_code, len(calls)) == (503, 1)


def upstream_error_trace(sample: Client) -> bool:
    reply, _ = calls_of(sample, sample.chat)
    return reply.status_code == 500 and "Traceback" in reply.json()["detail"]


def upstream_error_on_stream(sample: Client) -> bool:
    whole, _ = calls_of(sample, sample.chat)
    streamed, _ = calls_of(sample, lambda: stream_reply(sample))
    return "HTTPStatusError" in streamed.json()["detail"] and "HTTPStatusError" not in whole.text


def no_breaker(sample: Client) -> bool:
    return len(calls_of(sample, lambda: several(sample))[1]) == 18 and not opens_when_silent(sample)


def breaker_ignores_errors(sample: Client) -> bool:
    return len(calls_of(sample, lambda: several(sample))[1]) == 18 and opens_when_silent(sample)


def opens_when_silent(sample: Client) -> bool:
    with ThreadPoolExecutor(12) as pool, sample.poisoned("upstream", HANG):
        list(pool.map(lambda _: sample.chat(), range(12)))
        reply = sample.chat()
    assert eventually(lambda: sample.chat().status_code == 200)
    return reply.status_code == 503


def breaker_kept_open_by_traffic(sample: Client) -> bool:
    toxic = {"type": "http_errors", "attributes": {"count": 0}}
    with sample.poisoned("upstream", [toxic]):
        several(sample)
    stays = not eventually(lambda: sample.chat().status_code == 200, 5)
    time.sleep(0.6)
    return stays and sample.chat().status_code == 200


# Defects that do not touch each other are switched on together, since each change restarts the service.
TOGETHER = (
    (silent_compensation_failure, double_charge),
    (compensation_gives_up, double_charge_at_once),
    (compensation_left_to_people, double_charge_other_worker),
    (compensation_forgotten_at_restart, idempotency_refuses_repeats),
    (idempotency_key_of_all_shops,),
    (idempotency_ignores_body,),
    (drops_inflight_on_sigterm, loses_orders_on_kill),
    (closes_clients_before_requests, orders_lose_lines_in_crash),
    (streams_cut_on_sigterm, order_ids_come_again),
    (shutdown_never_ends,),
    (restart_late,),
    (restart_answers_500,),
    (restart_never_comes,),
    (stream_no_upstream_timeout, retry_storm),
    (retry_in_two_layers, upstream_error_on_stream),
    (retry_fixed_gap, breaker_kept_open_by_traffic, upstream_error_trace),
    (no_retry,),
    (no_breaker,),
    (breaker_ignores_errors,),
)
SYMPTOMS = [symptom for together in TOGETHER for symptom in together]


@pytest.mark.parametrize(
    ("symptom", "together"),
    [(symptom, together) for together in TOGETHER for symptom in together],
    ids=lambda given: getattr(given, "__name__", "among others"),
)
def test_a_defect_shows_its_symptom(
    with_defects: Callable[..., Client],
    symptom: Callable[[Client], bool],
    together: tuple[Callable[[Client], bool], ...],
):
    assert symptom(with_defects(*(one.__name__ for one in together)))


@pytest.mark.parametrize("symptom", SYMPTOMS, ids=lambda symptom: symptom.__name__)
def test_a_healthy_sample_has_no_symptom(sample: Client, symptom: Callable[[Client], bool]):
    assert not symptom(sample)


def test_every_defect_of_error_recovery_has_a_symptom():
    found = {symptom.__name__ for symptom in (*SYMPTOMS, *test_defects.SYMPTOMS)}
    assert {defect.name for defect in ERROR_RECOVERY} <= found

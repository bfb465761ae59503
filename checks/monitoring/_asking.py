"""Traffic that metrics should show: questions, and requests that are refused. Private to this family."""

from __future__ import annotations

import asyncio
import dataclasses

from checks.contract import Answer, InstrumentFailure, Instruments, Request, Route, Scrape, Target
from checks.monitoring._told import CUT_OFF, Asked

FRESH = 6
TOGETHER = 3
AGAIN = 4
TIMEOUT_S = 20.0


async def questions_asked(instruments: Instruments, route: Route) -> tuple[Scrape, Asked]:
    """Ask, read the page while the first questions are under way, and ask some of them again."""
    prompts = instruments.prompts.fresh(FRESH)

    async def ask(prompt: str) -> Answer:
        return await instruments.questions.ask(prompt, route=route, timeout_s=TIMEOUT_S)

    first = [asyncio.create_task(ask(prompt)) for prompt in prompts[:TOGETHER]]
    try:
        await asyncio.sleep(0)
        amid = await instruments.metrics.scrape()
        under_way = sum(not task.done() for task in first)
        answers = list(await asyncio.gather(*first))
    finally:
        for task in first:
            task.cancel()
    answers += [await ask(prompt) for prompt in (*prompts[TOGETHER:], *prompts[:AGAIN])]
    replies = [answer for answer in answers if answer.status is not None]
    again = answers[FRESH:]
    return amid, Asked(
        questions=len(replies),
        good=sum(answer.good for answer in answers),
        limited=sum(answer.status == 429 for answer in answers),
        took_s=round(sum(answer.elapsed_ms for answer in answers) / 1000, 3),
        under_way=under_way,
        again=len(again),
        cached=None if all(each.cached is None for each in again) else sum(bool(e.cached) for e in again),
    )


async def refused(target: Target, instruments: Instruments, route: Route) -> dict[str, int]:
    """Requests that a service refuses without harm, and the status that each got."""
    call = target.stream if route == "stream" else target.ask
    word = f"{instruments.random.getrandbits(48):012x}"
    requests = {"a path that does not exist": Request("GET", f"/{word}")}
    if call is not None and call.method in ("POST", "PUT", "PATCH"):
        whole = call.render(prompt=word, user="assessment", session=word, nonce=word)
        cut_off = dataclasses.replace(whole, body=whole.body[: max(1, len(whole.body) // 2)])
        requests[CUT_OFF] = cut_off
    statuses = {}
    for what, request in requests.items():
        try:
            reply = await instruments.http.send(request, timeout_s=TIMEOUT_S)
        except InstrumentFailure:  # a credential that is not set; the other one may do
            continue
        if reply.status is not None:
            statuses[what] = reply.status
    return statuses

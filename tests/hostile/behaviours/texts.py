"""Misbehaviour of what a body says: JSON that is none, or none that anyone expects."""

from __future__ import annotations

import json
from random import Random

from tests.hostile.visits import Visit, behaves

ANSI = "\x1b[2J\x1b]0;owned\x07\x1b[31mred"
MARKUP = "<script>alert(1)</script> [x](javascript:1) =1+1 | `x` ${HOME}"
ODD = f"{ANSI}\x00\x08\r\n\x85\u202egnihtyreve\u2066 {MARKUP}"


def odd_document(heard: dict[str, str]) -> dict[str, object]:
    """Every field that anyone may read, full of control characters and of what the request carried."""
    text = f"{ODD} {json.dumps(heard)}"
    keys = ("answer", "status", "instance", "detail", "title", "message", "error", "calls", "openapi")
    return dict.fromkeys(keys, text) | {ODD: ODD, "metadata": {"from_cache": text}, "checks": {ODD: ODD}}


@behaves()
async def sends_json_cut_short(visit: Visit) -> None:
    await visit.json('{"answer": "All is w')


@behaves()
async def nests_lists_ten_thousand_deep(visit: Visit) -> None:
    await visit.json("[" * 10_000 + "]" * 10_000)


@behaves()
async def nests_an_answer_ten_thousand_deep(visit: Visit) -> None:
    deep = '{"a":' * 10_000 + "1" + "}" * 10_000
    await visit.json(f'{{"answer": {deep}, "status": {deep}}}')


@behaves()
async def nests_as_deep_as_a_parser_goes(visit: Visit) -> None:
    deep = '{"a":[' * 400 + '"ok"' + "]}" * 400
    await visit.json(f'{{"answer": {deep}, "status": {deep}, "checks": {deep}}}')


@behaves()
async def sends_numbers_that_are_none(visit: Visit) -> None:
    await visit.json('{"answer": NaN, "status": -Infinity, "calls": 1e999, "checks": {"a": NaN}}')


@behaves()
async def sends_numbers_of_four_thousand_digits(visit: Visit) -> None:
    long = "9" * 4_000
    await visit.json(f'{{"answer": {long}, "status": {long}, "instance": {long}, "calls": {long}}}')


@behaves()
async def sends_lone_surrogates(visit: Visit) -> None:
    low, high = "\\udc00", "\\ud800"
    await visit.json(
        f'{{"answer": "{high}", "status": "{low}up", "instance": "{high}", "{high}": "{low}", '
        f'"metadata": {{"from_cache": "{high}"}}, "checks": {{"{low}": "{high}"}}}}'
    )


@behaves()
async def sends_each_key_twice(visit: Visit) -> None:
    await visit.json('{"answer": "yes", "answer": null, "status": "up", "status": {"status": ["down"]}}')


@behaves()
async def sends_a_hundred_thousand_keys(visit: Visit) -> None:
    many = ", ".join(f'"key{number}": "up"' for number in range(40_000))
    await visit.json(f'{{"answer": {{{many}}}, "status": {{{many}}}}}'[: 1 << 20])


@behaves()
async def sends_an_answer_of_a_megabyte(visit: Visit) -> None:
    await visit.json(json.dumps({"answer": "word " * 180_000, "status": "up " * 1000}))


@behaves()
async def says_that_json_is_a_picture(visit: Visit) -> None:
    await visit.reply('{"answer": "All is well."}', Content_Type="image/png\x01; charset=\x02")


@behaves()
async def says_a_character_set_that_is_none(visit: Visit) -> None:
    await visit.reply('{"answer": "All is well."}', Content_Type="application/json; charset=rot13")


@behaves()
async def sends_invalid_utf_8(visit: Visit) -> None:
    await visit.json(b'{"answer": "\xff\xfe\xc0\x80\xed\xa0\x80", "status": "\xf5"}')


@behaves()
async def sends_utf_16(visit: Visit) -> None:
    await visit.json('{"answer": "All is well."}'.encode("utf-16"))


@behaves()
async def sends_an_html_page(visit: Visit) -> None:
    await visit.reply("<html><script>alert(1)</script>" + "<div>" * 5000, Content_Type="text/html")


@behaves()
async def fills_every_field_with_control_characters(visit: Visit) -> None:
    headers = {"Server": "x\x1b[31m\x07", "X-Request-Id": "a\tb\x1b]0;x\x07", "Date": "\x7f\x1bnever"}
    await visit.json(json.dumps(odd_document(visit.headers), ensure_ascii=False), **headers)


@behaves()
async def fails_with_control_characters_and_what_it_heard(visit: Visit) -> None:
    text = json.dumps(odd_document(visit.headers | {"body": visit.body.decode("latin-1")}))
    await visit.json(text, 500, X_Heard="; ".join(visit.headers.values())[:2000])


@behaves()
async def refuses_with_a_traceback(visit: Visit) -> None:
    trace = f'Traceback (most recent call last):\n  File "/srv/app.py", line 1\n{ODD}\n' * 200
    await visit.reply(trace + str(visit.headers), 400, Content_Type="text/plain")


@behaves()
async def answers_with_any_type(visit: Visit) -> None:
    random = Random(visit.number)
    value = random.choice(["null", "true", "0", "-1.5", '""', '"ok"', "[]", "[[[]]]", "{}", "[null]"])
    key = random.choice(["answer", "status", "instance", "metadata", "checks", "detail"])
    await visit.json(random.choice([value, f'{{"{key}": {value}}}', f'{{"answer": {value}}}']))

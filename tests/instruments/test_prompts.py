"""Questions that no service can be tuned to."""

from __future__ import annotations

import itertools
import re
from random import Random

import pytest

from app.instruments.prompts import RunPrompts
from checks.contract import InstrumentFailure
from checks.contract.target.prompts import Prompts as Declared

DECLARED = Declared().repeat


def prompts(seed: int = 1) -> RunPrompts:
    return RunPrompts(DECLARED, Random(seed))


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z']+", text.lower()))


def test_fresh_questions_are_never_given_out_twice_in_a_run():
    run = prompts()
    questions = [question for _ in range(20) for question in run.fresh(250)]
    assert len(set(questions)) == 5000


def test_fresh_questions_differ_in_whole_words_however_a_cache_normalises_them():
    questions = prompts().fresh(2000)
    assert len({frozenset(words(question)) for question in questions}) == 2000
    assert not any(character.isdigit() for question in questions for character in question)
    assert all(len(words(one) ^ words(other)) >= 2 for one, other in itertools.pairwise(questions))


def test_two_runs_share_practically_no_question():
    one, other = set(prompts(1).fresh(5000)), set(prompts(2).fresh(5000))
    assert len(one & other) <= 5


def test_the_same_seed_asks_the_same_questions():
    assert prompts(7).fresh(10) == prompts(7).fresh(10)


def test_fresh_questions_read_as_sentences():
    for question in prompts().fresh(200):
        assert question[0].isupper()
        assert question.endswith("?")
        assert "{" not in question


def test_repeated_questions_are_those_declared_with_a_remark_that_is_the_same_within_a_call():
    questions = prompts().repeats(4)
    remarks = set()
    for declared, question in zip(DECLARED, questions, strict=False):
        stem = declared.rstrip(".?!")
        assert question.startswith(stem)
        remarks.add(question.removeprefix(stem).lstrip(".?! "))
    assert len(remarks) == 1


def test_every_call_for_repeated_questions_makes_them_new():
    run = prompts()
    calls = [set(run.repeats(8)) for _ in range(200)]
    assert len(set().union(*calls)) == 1600


def test_more_repeated_questions_than_declared_get_further_remarks():
    questions = prompts().repeats(3 * len(DECLARED))
    assert len(set(questions)) == 3 * len(DECLARED)


def test_an_aside_is_a_sentence_that_comes_once():
    run = prompts()
    asides = [run.aside() for _ in range(500)]
    assert len(set(asides)) == 500
    assert all(aside[0].isupper() and aside.endswith(".") for aside in asides)


def test_a_question_without_a_mark_at_its_end_gets_one_before_the_remark():
    (question,) = RunPrompts(("Tell me about shipping",), Random(1)).repeats(1)
    assert question.startswith("Tell me about shipping. ")


def test_without_declared_questions_the_key_to_add_is_named():
    with pytest.raises(InstrumentFailure) as caught:
        RunPrompts((), Random(1)).repeats(2)
    assert caught.value.missing == "prompts.repeat"


def test_words_that_are_used_up_are_said_so(tmp_path):
    few = tmp_path / "few.toml"
    few.write_text('templates = ["{a}?"]\nasides = ["{a}."]\n[words]\na = ["x", "y"]\n')
    run = RunPrompts(DECLARED, Random(1), few)
    assert sorted(run.fresh(2)) == ["X?", "Y?"]
    with pytest.raises(InstrumentFailure, match="used up"):
        run.fresh(1)

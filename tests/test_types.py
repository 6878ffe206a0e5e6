"""A beam grows step by step; a blank ending never becomes a step with a score of its own."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch.types import Beam, Finish, Problem, Prompt, Sampling, Step, next_id

PROMPT = Prompt("2 + 2?")


def step(text: str, finish: Finish = "step", ids: tuple[int, ...] = (1,), logprob: float = -1.0) -> Step:
    return Step(text, ids, logprob, finish)


def test_a_problem_has_no_field_for_its_answer() -> None:
    assert {field.name for field in dataclasses.fields(Problem)} == {"text", "id", "code"}


def test_an_id_is_never_given_twice() -> None:
    ids = [next_id() for _ in range(100)] + [Prompt("x").id, step("x").id, step("x").id]
    assert len(set(ids)) == len(ids)


def test_an_empty_step_delimiter_is_refused() -> None:
    with pytest.raises(ValueError, match="step_delimiter must not be empty"):
        Prompt("x", step_delimiter="")


# -- sampling ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("temperature", -0.1, r"in \[0, 100\]"),
        ("temperature", 101, r"in \[0, 100\]"),
        ("temperature", float("nan"), r"in \[0, 100\]"),
        ("temperature", float("inf"), r"in \[0, 100\]"),
        ("top_k", -1, ">= 0"),
        ("top_p", 0, r"in \(0, 1\]"),
        ("top_p", 1.01, r"in \(0, 1\]"),
        ("top_p", float("nan"), r"in \(0, 1\]"),
        ("min_p", -0.01, r"in \[0, 1\)"),
        ("min_p", 1, r"in \[0, 1\)"),
        ("min_p", float("nan"), r"in \[0, 1\)"),
    ],
)
def test_a_sampling_value_out_of_range_is_named_with_its_range(field: str, value: Any, allowed: str) -> None:
    with pytest.raises(ValueError, match=f"{field} must be {allowed}, not {value}"):
        Sampling(**{field: value})


def test_the_ends_of_the_sampling_ranges_are_allowed() -> None:
    Sampling(temperature=0, top_k=0, top_p=1, min_p=0)
    Sampling(temperature=100, top_k=10**9, top_p=1e-9, min_p=0.999)


# -- beams -------------------------------------------------------------------------------------------------------------


def test_an_empty_beam_is_alive_and_stands_for_its_prompt() -> None:
    beam = Beam(PROMPT)
    assert (beam.node, beam.finish, beam.text, beam.num_tokens, beam.logprob) == (PROMPT.id, "step", "", 0, 0)
    assert beam.is_alive
    assert beam.is_judged


def test_a_beam_adds_up_its_steps() -> None:
    last = step("Two.", "stop", (3, 0), -0.5)
    beam = Beam(PROMPT).grown((step("One.\n\n", ids=(1, 2), logprob=-1.5), last))
    assert (beam.text, beam.num_tokens, beam.logprob) == ("One.\n\nTwo.", 4, -2.0)
    assert (beam.node, beam.finish) == (last.id, "stop")


def test_growing_leaves_the_beam_it_grew_from_as_it_was() -> None:
    beam = Beam(PROMPT).grown((step("One.\n\n"),))
    first = beam.steps[0]
    beam.grown((step("", "stop"),))
    assert beam.steps == (first,)
    assert beam.is_alive
    with pytest.raises(dataclasses.FrozenInstanceError):
        beam.scores = (1.0,)  # type: ignore[misc]


@pytest.mark.parametrize("finish", ["step", "stop", "length", "deadline"])
def test_only_a_beam_that_ended_in_a_delimiter_is_alive(finish: Finish) -> None:
    assert Beam(PROMPT, (step("One.", finish),)).is_alive == (finish == "step")
    assert finish in get_args(Finish)


@pytest.mark.parametrize("blank", ["", " ", "\n", "\n\n", " \n\n\n\t", "\u3000", "\u00a0"])
@pytest.mark.parametrize("finish", ["stop", "length", "deadline"])
def test_a_blank_ending_is_folded_into_the_step_before_it(blank: str, finish: Finish) -> None:
    first = step("One.\n\n", ids=(1, 2), logprob=-1.0)
    judged = Beam(PROMPT).grown((first,)).judged((0.9,))
    grown = judged.grown((step(blank, finish, (7, 0), -0.25),))
    assert [(s.text, s.token_ids, s.logprob, s.finish) for s in grown.steps] == [
        ("One.\n\n", (1, 2, 7, 0), -1.25, finish)
    ]
    assert grown.scores == (0.9,)
    assert grown.is_judged
    assert grown.node != judged.node


def test_a_blank_ending_is_folded_into_a_step_of_the_same_draft() -> None:
    grown = Beam(PROMPT).grown((step("One.\n\n"), step("Two.\n\n"), step("\n", "stop", (0,))))
    assert [s.text for s in grown.steps] == ["One.\n\n", "Two.\n\n"]
    assert grown.finish == "stop"


def test_an_ending_of_nothing_but_delimiters_is_blank_whatever_they_look_like() -> None:
    grown = Beam(Prompt("x", step_delimiter="<step>")).grown((step("One.<step>"), step(" <step>", "stop")))
    assert [s.text for s in grown.steps] == ["One.<step>"]
    assert grown.finish == "stop"


def test_a_solution_of_nothing_is_one_blank_step_that_ended() -> None:
    grown = Beam(PROMPT).grown((step("", "stop", (0,)),))
    assert (len(grown.steps), grown.finish, grown.num_tokens) == (1, "stop", 1)


def test_an_ending_with_text_is_a_step_of_its_own() -> None:
    grown = Beam(PROMPT).grown((step("One.\n\n"), step("4", "stop")))
    assert [s.text for s in grown.steps] == ["One.\n\n", "4"]


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["a\n\n", "b\n\n"]), max_size=4),
    st.sampled_from(["", "\n", "c", " c"]),
    st.sampled_from(["stop", "length", "deadline"]),
    st.integers(0, 5),
)
def test_growing_at_once_or_step_by_step_is_the_same(texts: list[str], end: str, finish: Finish, cut: int) -> None:
    steps = (*(step(text) for text in texts), step(end, finish))
    at_once, in_parts = Beam(PROMPT).grown(steps), Beam(PROMPT).grown(steps[:cut]).grown(steps[cut:])
    assert at_once.text == in_parts.text
    assert at_once.num_tokens == in_parts.num_tokens == len(steps)
    assert at_once.logprob == in_parts.logprob
    assert at_once.finish == in_parts.finish == finish
    assert all(s.text.strip() for s in at_once.steps[1:])


def test_scores_are_added_in_order_of_the_steps() -> None:
    beam = Beam(PROMPT).grown((step("One.\n\n"), step("Two.\n\n"))).judged((0.5, 0.25))
    assert not beam.grown((step("3", "stop"),)).is_judged
    assert beam.grown((step("3", "stop"),)).judged((1.0,)).scores == (0.5, 0.25, 1.0)


@pytest.mark.parametrize("scores", [(), (0.5,), (0.5, 0.5, 0.5)])
def test_a_judgement_needs_one_score_a_step(scores: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=f"2 steps need 2 scores, not 0 \\+ {len(scores)}"):
        Beam(PROMPT).grown((step("One.\n\n"), step("Two.\n\n"))).judged(scores)


@pytest.mark.parametrize("proof", [True, False, None])
def test_a_proof_is_of_one_answer_judging_keeps_it_and_growing_does_not(proof: bool | None) -> None:
    beam = dataclasses.replace(Beam(PROMPT).grown((step("One.\n\n"),)), proof=proof)
    assert beam.judged((0.5,)).proof is proof
    assert beam.grown((step("Two.", "stop"),)).proof is None

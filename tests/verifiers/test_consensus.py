"""Agreement as a verifier: the contract where it applies, shares by hand, what is remembered and what is forgotten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nano_parts import nano_engine, run
from verifier_contract import ENDING, RIGHT, WRONG, VerifierContract

from edgesearch import answer
from edgesearch.engines.llama_cpp import LlamaCppEngine
from edgesearch.tasks.arithmetic import held_out
from edgesearch.types import Beam, Finish, Prompt, Step
from edgesearch.verifiers.base import Judged, Verifier
from edgesearch.verifiers.consensus import ConsensusVerifier


def step(text: str, finish: Finish = "step") -> Step:
    return Step(text, tuple(text.encode()), -1.0, finish)


def solution(root: Beam, stated: str, finish: Finish = "stop") -> Beam:
    return root.grown((step(f"The answer is \\boxed{{{stated}}}", finish),))


@pytest.fixture
def verifier() -> ConsensusVerifier:
    return ConsensusVerifier()


@pytest.fixture
def root(verifier: ConsensusVerifier) -> Beam:
    prompt = Prompt("?")
    verifier.open(prompt, ())
    return Beam(prompt)


def last_scores(verifier: Verifier, *beams: Beam) -> list[float]:
    return [judged.beam.scores[-1] for judged in verifier.judge(beams)]


class TestContract(VerifierContract):
    @pytest.fixture
    def verifier(self) -> ConsensusVerifier:
        return ConsensusVerifier()

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(text.encode())

    def end_of_turn(self) -> tuple[int, ...]:
        return (0,)

    def num_prompt_tokens(self, prompt: Prompt) -> int:
        return 0

    def num_step_tokens(self, step: Step) -> int:
        return 0

    def test_a_beam_scores_the_same_alone_as_among_others(self, verifier: Verifier) -> None:
        """It must not: agreement is about the others."""
        root = self.root(verifier)
        assert last_scores(verifier, root.grown((self.step(RIGHT),))) == [1.0]
        assert last_scores(verifier, *(root.grown((self.step(text),)) for text in (RIGHT, WRONG))) == [0.5, 0.5]

    def test_a_delimiter_is_not_a_step_of_its_own(self, verifier: Verifier) -> None:
        """One score a step, too; but a solution that ends is judged by its answer, a step by its words."""
        root, right = self.root(verifier), self.step(RIGHT)
        stepwise = self.judge_one(verifier, root.grown((right,))).beam
        assert self.judge_one(verifier, stepwise.grown((self.blank(),))).beam.scores == stepwise.scores
        assert len(self.judge_one(verifier, root.grown((right, self.blank()))).beam.scores) == 1


def test_a_finished_beam_scores_the_share_of_finished_beams_with_its_answer(verifier, root) -> None:
    beams = [solution(root, stated) for stated in ("5", "7", "5", "5.0")]
    assert last_scores(verifier, *beams) == [0.75, 0.25, 0.75, 0.75]


def test_answers_are_compared_by_value_and_not_by_spelling(verifier, root) -> None:
    assert last_scores(verifier, *(solution(root, stated) for stated in ("1/2", r"\frac{1}{2}", "0.50"))) == [1.0] * 3


def test_a_beam_without_an_answer_scores_0_and_counts_among_the_others(verifier, root) -> None:
    silent = root.grown((step("I do not know", "stop"),))
    assert last_scores(verifier, solution(root, "5"), silent, silent.grown(())) == [0.5, 0.0, 0.0]


def test_a_solution_that_was_cut_off_votes_if_it_has_an_answer(verifier, root) -> None:
    assert last_scores(verifier, solution(root, "5"), solution(root, "5", "length")) == [1.0, 1.0]


def test_each_draw_of_the_same_text_counts_and_the_same_beam_counts_once(verifier, root) -> None:
    drawn_twice = [solution(root, "5"), solution(root, "5")]
    other = solution(root, "7")
    assert last_scores(verifier, *drawn_twice, other, other) == [2 / 3, 2 / 3, 1 / 3, 1 / 3]
    assert verifier.info.counts_copies


def test_earlier_calls_count_and_scores_that_were_given_stay(verifier, root) -> None:
    (first,) = verifier.judge([solution(root, "5")])
    assert first.beam.scores == (1.0,)
    later = [solution(root, "7") for _ in range(3)]
    assert last_scores(verifier, *later) == [0.75] * 3
    assert verifier.judge([first.beam]) == [Judged(first.beam, 0)]
    assert last_scores(verifier, solution(root, "5")) == [0.4]


def test_the_order_within_a_call_does_not_matter(verifier, root) -> None:
    beams = [solution(root, stated) for stated in ("5", "5", "7")]
    other = ConsensusVerifier()
    other.open(root.prompt, ())
    assert last_scores(verifier, *beams) == last_scores(other, *reversed(beams))[::-1]


def test_every_step_of_a_finished_beam_has_the_score_of_its_answer(verifier, root) -> None:
    grown = root.grown((step(RIGHT), step(ENDING, "stop")))
    judged = verifier.judge([grown, solution(root, "9")])
    assert judged[0].beam.scores == (0.5, 0.5)


def test_a_live_beam_scores_the_share_of_live_beams_with_an_equal_step(verifier, root) -> None:
    beams = [root.grown((step(text),)) for text in ("a b\n\n", "a  b\n\n", "a\nb\n\n", "c\n\n")]
    finished = solution(root, "5")
    assert last_scores(verifier, *beams, finished) == [0.75, 0.75, 0.75, 0.25, 1.0]


def test_steps_are_compared_at_their_place(verifier, root) -> None:
    one_deep = root.grown((step("a\n\n"),))
    two_deep = root.grown((step("b\n\n"), step("a\n\n")))
    found = verifier.judge([one_deep, two_deep])
    assert [judged.beam.scores for judged in found] == [(0.5,), (0.5, 0.5)]


def test_problems_do_not_mix(verifier, root) -> None:
    elsewhere = Beam(Prompt("!"))
    verifier.open(elsewhere.prompt, ())
    assert last_scores(verifier, solution(root, "5"), solution(elsewhere, "7")) == [1.0, 1.0]
    assert last_scores(verifier, root.grown((step("a\n\n"),)), elsewhere.grown((step("b\n\n"),))) == [1.0, 1.0]


def test_votes_outlive_the_prompt_s_node_as_long_as_a_beam_of_it_is_kept(verifier, root) -> None:
    alive, _ = verifier.judge([root.grown((step("a\n\n"),)), solution(root, "5")])
    verifier.release([root.prompt.id])
    assert last_scores(verifier, alive.beam.grown((step(r"so \boxed{7}", "stop"),))) == [0.5]
    verifier.release([alive.beam.node])
    with pytest.raises(ValueError, match="not open"):
        verifier.judge([solution(root, "5")])


def test_a_prompt_that_is_opened_again_begins_anew(verifier, root) -> None:
    verifier.judge([solution(root, "5")])
    verifier.release([root.prompt.id, -1])
    verifier.open(root.prompt, ())
    assert last_scores(verifier, solution(root, "7")) == [1.0]


@settings(deadline=None)
@given(st.lists(st.sampled_from(["5", "7", "9", None]), min_size=1, max_size=12))
def test_shares_are_those_of_the_vote(stated: list[str | None]) -> None:
    verifier, root = ConsensusVerifier(), Beam(Prompt("?"))
    verifier.open(root.prompt, ())
    texts = ["nothing" if each is None else f"The answer is \\boxed{{{each}}}" for each in stated]
    found = last_scores(verifier, *(root.grown((step(text, "stop"),)) for text in texts))
    counts = Counter(stated)
    assert found == [0.0 if each is None else counts[each] / len(stated) for each in stated]


# -- the real solver ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaCppEngine]:
    loaded = nano_engine()
    yield loaded
    loaded.close()


@pytest.mark.parametrize("name", ["beam", "best_of_n"])
def test_real_searches_run_with_it_and_leave_nothing_behind(engine: LlamaCppEngine, name: str) -> None:
    verifier = ConsensusVerifier()
    for sample in held_out(seed=0, count=12)[8:]:
        result = run(engine, verifier, sample.problem, name)
        assert len(result.candidates) == 16
        for candidate in result.candidates:
            assert candidate.score is not None
            assert (candidate.score > 0) == (answer.extract(candidate.beam.text) is not None)
        assert result.usage.verifier_flops == 0
        assert not verifier._votes

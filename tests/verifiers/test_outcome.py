"""One score for a whole solution: the contract where it applies, what is refused, and real searches."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from nano_parts import END, encode, nano_engine, nano_prm, run
from verifier_contract import ENDING, RIGHT, WRONG, VerifierContract

from edgesearch.errors import EdgesearchError, UsageError
from edgesearch.tasks.arithmetic import held_out
from edgesearch.types import Beam, Prompt, Step
from edgesearch.verifiers.base import Judged, Verifier
from edgesearch.verifiers.onnx_prm import OnnxPrm
from edgesearch.verifiers.outcome import OutcomeVerifier
from edgesearch.verifiers.scripted import ScriptedVerifier

EXACT = 1e-5


@pytest.fixture(scope="module")
def prm() -> Iterator[OnnxPrm]:
    loaded = nano_prm()
    yield loaded
    loaded.close()


class TestContract(VerifierContract):
    """All that is promised of beams that are finished; those that can grow are refused."""

    tolerance = EXACT

    @pytest.fixture
    def verifier(self, prm: OnnxPrm, request: pytest.FixtureRequest) -> OutcomeVerifier:
        return OutcomeVerifier(nano_prm() if "closed" in request.node.name else prm)

    def encode(self, text: str) -> tuple[int, ...]:
        return encode(text)

    def end_of_turn(self) -> tuple[int, ...]:
        return (END,)

    def solution(self, root: Beam, *texts: str) -> Beam:
        return root.grown((*map(self.step, texts), self.step(ENDING, "stop")))

    def test_every_step_gets_one_score_between_0_and_1(self, verifier: Verifier) -> None:
        root = self.root(verifier)
        for judged in verifier.judge([self.solution(root), self.solution(root, RIGHT, WRONG)]):
            assert judged.beam.is_judged
            assert len(set(judged.beam.scores)) == 1
            assert 0 <= judged.beam.scores[0] <= 1

    def test_beams_come_back_in_the_order_given(self, verifier: Verifier) -> None:
        root = self.root(verifier)
        first = self.judge_one(verifier, self.solution(root, RIGHT)).beam
        beams = [self.solution(root, WRONG), first, root, self.solution(root)]
        assert [judged.beam.steps for judged in verifier.judge(beams)] == [beam.steps for beam in beams]

    def test_a_judged_beam_comes_back_as_it_is_and_costs_nothing(self, verifier: Verifier) -> None:
        beam = self.judge_one(verifier, self.solution(self.root(verifier), RIGHT)).beam
        assert self.judge_one(verifier, beam) == Judged(beam, 0)

    def test_scores_that_are_there_stay(self, verifier: Verifier) -> None:
        whole = self.solution(self.root(verifier), RIGHT)
        scores = self.judge_one(verifier, Beam(whole.prompt, whole.steps, (0.125,))).beam.scores
        assert scores[0] == 0.125
        self.assert_same_scores(scores[1:], self.judge_one(verifier, whole).beam.scores[1:])

    def test_a_beam_scores_the_same_alone_as_among_others(self, verifier: Verifier) -> None:
        root = self.root(verifier)
        beams = [self.solution(root, text) for text in (RIGHT, WRONG, "Ana has 5 apples, and so on and on\n\n")]
        alone = [self.judge_one(verifier, beam).beam.scores for beam in beams]
        for scores, judged in zip(alone, verifier.judge(beams), strict=True):
            self.assert_same_scores(scores, judged.beam.scores)

    def test_each_new_token_is_counted_once(self, verifier: Verifier) -> None:
        whole = self.solution(self.root(verifier), RIGHT, WRONG)
        assert self.judge_one(verifier, whole).verified_tokens == whole.num_tokens

    def test_a_delimiter_is_not_a_step_of_its_own(self, verifier: Verifier) -> None:
        ended = self.root(verifier).grown((self.step(RIGHT), self.blank()))
        assert len(self.judge_one(verifier, ended).beam.scores) == 1

    def test_the_rest_goes_on_after_a_release(self, verifier: Verifier) -> None:
        kept, dropped = self.root(verifier), self.root(verifier)
        before = self.judge_one(verifier, self.solution(kept, RIGHT)).beam.scores
        verifier.release([dropped.prompt.id, -1])
        verifier.release([dropped.prompt.id])
        self.assert_same_scores(before, self.judge_one(verifier, self.solution(kept, RIGHT)).beam.scores)

    def test_steps_judged_one_by_one_score_as_they_do_together(self, verifier: Verifier) -> None:
        """There are none judged one by one."""
        with pytest.raises(UsageError, match="scores whole solutions only"):
            self.judge_one(verifier, self.root(verifier).grown((self.step(RIGHT),)))

    def test_forks_do_not_disturb_each_other(self, verifier: Verifier) -> None:
        """Nothing forks but the problem."""
        root = self.root(verifier)
        before = self.judge_one(verifier, self.solution(root, RIGHT)).beam.scores
        verifier.judge([self.solution(root, WRONG), self.solution(root)])
        self.assert_same_scores(before, self.judge_one(verifier, self.solution(root, RIGHT)).beam.scores)


def opened(verifier: Verifier) -> Beam:
    prompt = Prompt("?")
    verifier.open(prompt, (1, 2, 3))
    return Beam(prompt)


def step(text: str = RIGHT, finish: str = "step") -> Step:
    return Step(text, (1, 2), -1.0, finish)


def test_the_score_is_the_one_that_the_wrapped_verifier_gives_last() -> None:
    part = ScriptedVerifier(lambda beam, index: (0.9, 0.2, 0.6)[index], aggregator="min")
    verifier = OutcomeVerifier(part)
    whole = opened(verifier).grown((step(), step(), step(ENDING, "stop")))
    assert verifier.judge([whole])[0].beam.scores == (0.6, 0.6, 0.6)
    assert (verifier.info.name, verifier.info.aggregator, verifier.info.is_outcome) == (
        "outcome:scripted",
        "last",
        True,
    )
    assert verifier.info.num_params == part.info.num_params


def test_a_solution_that_was_cut_off_is_scored_as_it_is() -> None:
    verifier = OutcomeVerifier(ScriptedVerifier(lambda beam, index: 0.3))
    assert verifier.judge([opened(verifier).grown((step("so", "length"),))])[0].beam.scores == (0.3,)


def test_a_beam_that_can_grow_is_refused_before_anything_is_judged() -> None:
    part = ScriptedVerifier(lambda beam, index: 0.5)
    verifier = OutcomeVerifier(part)
    root = opened(verifier)
    with pytest.raises(UsageError, match=r"outcome:scripted scores whole solutions only.*use --strategy best_of_n"):
        verifier.judge([root.grown((step(ENDING, "stop"),)), root.grown((step(),))])
    assert not part.judged_nodes


@pytest.mark.parametrize("score", [math.nan, 1.5, -0.1])
def test_a_score_out_of_range_is_an_error_that_names_the_wrapped_verifier(score: float) -> None:
    verifier = OutcomeVerifier(ScriptedVerifier(lambda beam, index: score))
    with pytest.raises(EdgesearchError, match=r"verifier scripted gave a score outside \[0, 1\]"):
        verifier.judge([opened(verifier).grown((step(ENDING, "stop"),))])


def test_nodes_and_weights_of_the_wrapped_verifier_are_freed() -> None:
    part = ScriptedVerifier(lambda beam, index: 0.5)
    verifier = OutcomeVerifier(part)
    root = opened(verifier)
    assert part.nodes == {root.prompt.id}
    verifier.release([root.prompt.id])
    assert not part.nodes


# -- the real models ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["best_of_n", "weighted"])
def test_the_best_of_n_is_the_one_that_steps_scored_last_would_choose(prm: OnnxPrm, name: str) -> None:
    problem = held_out(seed=0, count=9)[8].problem
    engine = nano_engine()
    by_steps, by_whole = (run(engine, verifier, problem, name) for verifier in (prm, OutcomeVerifier(prm)))
    engine.close()
    scores = [[candidate.score for candidate in each.candidates] for each in (by_steps, by_whole)]
    assert scores[0] == pytest.approx(scores[1], abs=EXACT)
    assert all(len(set(candidate.beam.scores)) == 1 for candidate in by_whole.candidates)
    assert by_whole.usage.verified_tokens == by_steps.usage.verified_tokens


def test_a_search_that_is_guided_by_steps_is_refused_with_what_to_use(prm: OnnxPrm) -> None:
    engine = nano_engine()
    with pytest.raises(UsageError, match=r"strategy beam needs step scores.*outcome:nano-prm.*best_of_n or weighted"):
        run(engine, OutcomeVerifier(prm), "x+3=10. What whole number is x?", "beam")
    engine.close()

"""What every verifier promises. A test class inherits `VerifierContract` and gives a `verifier` fixture and `encode`.

class TestMyVerifier(VerifierContract):
    @pytest.fixture
    def verifier(self): ...
    def encode(self, text): ...
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgesearch.types import Beam, CodeSpec, Finish, Prompt, Step
from edgesearch.verifiers.base import Judged, Verifier

PROBLEM = "Ana has 22 apples. Ana loses 17 of them. How many apples does Ana have left?"
RIGHT = "22-17=5\n\n"
WRONG = "22-17=6\n\n"
ENDING = "The answer is \\boxed{5}"


class VerifierContract:
    code: CodeSpec | None = None
    """What the problem asks for, of verifiers that run programs."""
    tolerance = 1e-5
    """How far scores of the same steps may lie apart when they were read in other batches."""

    @pytest.fixture
    def verifier(self) -> Verifier:
        raise NotImplementedError

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids in the solver's vocabulary; a lone delimiter token ends a text that ends in the delimiter."""
        raise NotImplementedError

    def num_prompt_tokens(self, prompt: Prompt) -> int:
        """Tokens that are read of a prompt; a verifier with a vocabulary of its own counts in that."""
        return len(self.encode(prompt.user + "\n\n"))

    def num_step_tokens(self, step: Step) -> int:
        """Tokens that are read of a step."""
        return len(step.token_ids)

    def end_of_turn(self) -> tuple[int, ...]:
        """The token that ends a solution."""
        raise NotImplementedError

    def step(self, text: str, finish: Finish = "step") -> Step:
        end = self.end_of_turn() if finish == "stop" else ()
        return Step(text, self.encode(text) + end, logprob=-1.0, finish=finish)

    def blank(self) -> Step:
        """An end of turn right after a delimiter."""
        return Step("", self.end_of_turn(), -0.1, "stop")

    def root(self, verifier: Verifier) -> Beam:
        prompt = Prompt(PROBLEM, code=self.code)
        verifier.open(prompt, self.encode(PROBLEM + "\n\n"))
        return Beam(prompt)

    def judge_one(self, verifier: Verifier, beam: Beam) -> Judged:
        (judged,) = verifier.judge([beam])
        return judged

    def assert_same_scores(self, left: Sequence[float], right: Sequence[float]) -> None:
        assert left == pytest.approx(right, abs=self.tolerance)

    def test_it_says_what_it_is(self, verifier: Verifier) -> None:
        assert verifier.info.name
        assert verifier.info.device
        assert verifier.info.num_params >= 0
        assert verifier.info.aggregator in ("last", "min", "prod", "mean")

    def test_its_pace_is_a_number(self, verifier: Verifier) -> None:
        """0 only of what runs no weights and reads nothing."""
        is_free = not self.num_step_tokens(self.step(RIGHT))
        assert 0 < verifier.seconds_per_token < math.inf or (is_free and verifier.seconds_per_token == 0)

    def test_a_prompt_is_read_once(self, verifier: Verifier) -> None:
        prompt, token_ids = Prompt(PROBLEM, code=self.code), self.encode(PROBLEM + "\n\n")
        assert verifier.open(prompt, token_ids) == self.num_prompt_tokens(prompt)
        assert verifier.open(prompt, token_ids) == 0

    def test_every_step_gets_one_score_between_0_and_1(self, verifier: Verifier) -> None:
        root = self.root(verifier)
        beams = [root.grown((self.step(RIGHT),)), root.grown((self.step(WRONG), self.step(RIGHT)))]
        for beam, judged in zip(beams, verifier.judge(beams), strict=True):
            assert judged.beam.is_judged
            assert all(0 <= score <= 1 for score in judged.beam.scores)
            assert (judged.beam.prompt, judged.beam.steps) == (beam.prompt, beam.steps)

    def test_beams_come_back_in_the_order_given(self, verifier: Verifier) -> None:
        root = self.root(verifier)
        first = self.judge_one(verifier, root.grown((self.step(RIGHT),))).beam
        beams = [root.grown((self.step(WRONG),)), first, root, first.grown((self.step(ENDING, "stop"),))]
        for given_beam, judged in zip(beams, verifier.judge(beams), strict=True):
            assert (judged.beam.prompt, judged.beam.steps) == (given_beam.prompt, given_beam.steps)
            assert judged.beam.is_judged

    @settings(
        max_examples=20,
        deadline=None,
        # one fixture serves all examples; every class that promises this runs the test
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(texts=st.lists(st.text(min_size=1, max_size=12).map(lambda text: text + "\n\n"), min_size=1, max_size=4))
    def test_any_texts_are_scored_between_0_and_1(self, verifier: Verifier, texts: list[str]) -> None:
        root = self.root(verifier)
        (judged,) = verifier.judge([root.grown((*map(self.step, texts), self.step(ENDING, "stop")))])
        assert len(judged.beam.scores) == len(texts) + 1
        assert all(0 <= score <= 1 for score in judged.beam.scores)
        verifier.release([root.prompt.id])

    def test_nothing_to_judge_is_fine(self, verifier: Verifier) -> None:
        root = self.root(verifier)
        assert verifier.judge([]) == []
        assert verifier.judge([root]) == [Judged(root, 0)]

    def test_a_judged_beam_comes_back_as_it_is_and_costs_nothing(self, verifier: Verifier) -> None:
        beam = self.judge_one(verifier, self.root(verifier).grown((self.step(RIGHT),))).beam
        assert self.judge_one(verifier, beam) == Judged(beam, 0)

    def test_scores_that_are_there_stay(self, verifier: Verifier) -> None:
        root = self.root(verifier)
        first = self.judge_one(verifier, root.grown((self.step(RIGHT),))).beam
        known = Beam(first.prompt, first.steps, (0.125,))
        assert self.judge_one(verifier, known.grown((self.step(ENDING, "stop"),))).beam.scores[0] == 0.125

    def test_steps_judged_one_by_one_score_as_they_do_together(self, verifier: Verifier) -> None:
        root = self.root(verifier)
        steps = self.step(RIGHT), self.step(WRONG), self.step(ENDING, "stop")
        beam = root
        for step in steps:
            beam = self.judge_one(verifier, beam.grown((step,))).beam
        self.assert_same_scores(beam.scores, self.judge_one(verifier, root.grown(steps)).beam.scores)

    def test_a_beam_scores_the_same_alone_as_among_others(self, verifier: Verifier) -> None:
        root = self.root(verifier)
        texts = [RIGHT, WRONG, ENDING + "\n\n", "Ana has 5 apples, and so on and on and on\n\n", RIGHT]
        alone = [self.judge_one(verifier, root.grown((self.step(text),))).beam.scores for text in texts]
        together = verifier.judge([root.grown((self.step(text),)) for text in texts])
        for scores, judged in zip(alone, together, strict=True):
            self.assert_same_scores(scores, judged.beam.scores)

    def test_forks_do_not_disturb_each_other(self, verifier: Verifier) -> None:
        parent = self.judge_one(verifier, self.root(verifier).grown((self.step(RIGHT),))).beam
        before = self.judge_one(verifier, parent.grown((self.step(RIGHT),))).beam.scores
        verifier.judge([parent.grown((self.step(WRONG),)), parent.grown((self.step(ENDING, "stop"),))])
        self.assert_same_scores(before, self.judge_one(verifier, parent.grown((self.step(RIGHT),))).beam.scores)

    def test_each_new_token_is_counted_once(self, verifier: Verifier) -> None:
        first = self.root(verifier).grown((self.step(RIGHT),))
        judged = self.judge_one(verifier, first)
        assert judged.verified_tokens == self.num_step_tokens(first.steps[0])
        second = judged.beam.grown((self.step(WRONG), self.step(ENDING, "stop")))
        assert self.judge_one(verifier, second).verified_tokens == sum(map(self.num_step_tokens, second.steps[1:]))

    def test_a_delimiter_is_not_a_step_of_its_own(self, verifier: Verifier) -> None:
        """Golden: an end of turn right after a delimiter adds no score, judged step by step or in one go."""
        root, right, blank = self.root(verifier), self.step(RIGHT), self.blank()
        stepwise = self.judge_one(verifier, root.grown((right,))).beam
        ended = self.judge_one(verifier, stepwise.grown((blank,)))
        assert ended.beam.scores == stepwise.scores
        assert ended.verified_tokens == 0
        at_once = self.judge_one(verifier, root.grown((right, blank)))
        assert len(at_once.beam.scores) == 1
        self.assert_same_scores(at_once.beam.scores, stepwise.scores)

    def test_the_rest_goes_on_after_a_release(self, verifier: Verifier) -> None:
        root = self.root(verifier)
        kept, dropped = (
            j.beam for j in verifier.judge([root.grown((self.step(RIGHT),)), root.grown((self.step(WRONG),))])
        )
        ending = self.step(ENDING, "stop")
        before = self.judge_one(verifier, kept.grown((ending,))).beam.scores
        verifier.release([dropped.node, -1])
        verifier.release([dropped.node])
        self.assert_same_scores(before, self.judge_one(verifier, kept.grown((ending,))).beam.scores)

    def test_it_can_be_closed_twice(self, verifier: Verifier) -> None:
        verifier.close()
        verifier.close()

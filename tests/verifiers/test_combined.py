"""Several verifiers as one: the contract, scores by hand, what each part is shown, costs, and real searches."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nano_parts import END, encode, nano_engine, nano_prm, run
from verifier_contract import ENDING, RIGHT, VerifierContract

from edgesearch.errors import ContextOverflow, EdgesearchError
from edgesearch.tasks.arithmetic import held_out
from edgesearch.types import Beam, Prompt, Step
from edgesearch.verifiers.base import Judged, Verifier, VerifierInfo
from edgesearch.verifiers.certainty import CertaintyVerifier
from edgesearch.verifiers.combined import CombinedVerifier
from edgesearch.verifiers.consensus import ConsensusVerifier
from edgesearch.verifiers.onnx_prm import OnnxPrm
from edgesearch.verifiers.outcome import OutcomeVerifier
from edgesearch.verifiers.scripted import Judgement, ScriptedVerifier

EXACT = 1e-5


@pytest.fixture(scope="module")
def prm() -> Iterator[OnnxPrm]:
    loaded = nano_prm()
    yield loaded
    loaded.close()


@pytest.mark.parametrize("weights", [None, (0.7, 0.3)], ids=["product", "sum"])
class TestContract(VerifierContract):
    tolerance = EXACT

    @pytest.fixture
    def verifier(
        self, prm: OnnxPrm, weights: Sequence[float] | None, request: pytest.FixtureRequest
    ) -> CombinedVerifier:
        first = nano_prm() if "closed" in request.node.name else prm
        return CombinedVerifier("both", [first, CertaintyVerifier("sum")], weights)

    def encode(self, text: str) -> tuple[int, ...]:
        return encode(text)

    def end_of_turn(self) -> tuple[int, ...]:
        return (END,)

    def test_a_delimiter_is_not_a_step_of_its_own(self, verifier: Verifier) -> None:
        """As the contract has it, but that certainty:sum counts a blank ending to its step (certainty.py)."""
        root, right = self.root(verifier), self.step(RIGHT)
        stepwise = self.judge_one(verifier, root.grown((right,))).beam
        ended = self.judge_one(verifier, stepwise.grown((self.blank(),)))
        assert (ended.beam.scores, ended.verified_tokens) == (stepwise.scores, 0)
        assert len(self.judge_one(verifier, root.grown((right, self.blank()))).beam.scores) == 1


class Part(ScriptedVerifier):
    """Notes what it is shown, and says what it is told to."""

    def __init__(self, score: Judgement = lambda beam, index: 0.5, **changes: object) -> None:
        super().__init__(score)
        self.info: VerifierInfo = dataclasses.replace(self.info, **changes)  # type: ignore[arg-type]
        self.shown: list[tuple[float, ...]] = []
        self.num_closed = 0

    def judge(self, beams: Sequence[Beam]) -> list[Judged]:
        self.shown += [beam.scores for beam in beams]
        return super().judge(beams)

    def close(self) -> None:
        self.num_closed += 1
        super().close()


def step(text: str = RIGHT, finish: str = "step") -> Step:
    return Step(text, (1, 2), -1.0, finish)


def opened(verifier: Verifier) -> Beam:
    prompt = Prompt("?")
    verifier.open(prompt, (1, 2, 3))
    return Beam(prompt)


def judged(verifier: Verifier, *beams: Beam) -> list[Beam]:
    return [one.beam for one in verifier.judge(beams)]


def constant(score: float, **changes: object) -> Part:
    return Part(lambda beam, index: score, **changes)


def test_a_product_multiplies_the_scores_of_each_step() -> None:
    left, right = Part(lambda beam, index: (0.5, 0.9)[index]), Part(lambda beam, index: (0.4, 1.0)[index])
    verifier = CombinedVerifier("both", [left, right])
    assert judged(verifier, opened(verifier).grown((step(), step())))[0].scores == pytest.approx((0.2, 0.9))


@pytest.mark.parametrize("weights", [(0.7, 0.3), (7.0, 3.0), (0.0007, 0.0003), (1.4e308, 0.6e308)])
def test_a_sum_weighs_scores_and_needs_no_weights_that_add_up_to_one(weights: tuple[float, float]) -> None:
    verifier = CombinedVerifier("both", [constant(0.5), constant(1.0)], weights)
    assert judged(verifier, opened(verifier).grown((step(),)))[0].scores == pytest.approx((0.65,))


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(1e-6, 1e6)), min_size=2, max_size=5),
    st.booleans(),
)
def test_scores_stay_in_range_and_between_those_of_the_parts(pairs: list[tuple[float, float]], is_sum: bool) -> None:
    scores = [score for score, _ in pairs]
    weights = [weight for _, weight in pairs] if is_sum else None
    verifier = CombinedVerifier("all", [constant(score) for score in scores], weights)
    ((found,),) = (beam.scores for beam in judged(verifier, opened(verifier).grown((step(),))))
    assert 0 <= found <= 1
    assert (min(scores) - 1e-9 if is_sum else 0) <= found <= (max(scores) if is_sum else min(scores)) + 1e-9


def test_each_part_is_shown_its_own_scores_and_judges_a_step_once() -> None:
    left, right = constant(0.5), constant(0.25)
    verifier = CombinedVerifier("both", [left, right])
    (first,) = judged(verifier, opened(verifier).grown((step(),)))
    children = judged(verifier, first.grown((step(),)), first.grown((step(ENDING, "stop"),)))
    assert [child.scores for child in children] == [(0.125, 0.125)] * 2
    assert left.shown == [(), (0.5,), (0.5,)]
    assert right.shown == [(), (0.25,), (0.25,)]
    assert len(left.judged_nodes) == len(set(left.judged_nodes)) == 3


def test_a_beam_whose_combined_score_was_lost_is_not_judged_anew() -> None:
    part = constant(0.5)
    verifier = CombinedVerifier("both", [part, constant(0.5)])
    beam = opened(verifier).grown((step(),))
    (first,), (again,) = judged(verifier, beam), judged(verifier, beam)
    assert first == again
    assert part.judged_nodes == [beam.node]


def test_a_beam_of_which_nothing_is_kept_is_judged_from_its_start() -> None:
    part = constant(0.5)
    verifier = CombinedVerifier("both", [part, constant(0.5)])
    (parent,) = judged(verifier, opened(verifier).grown((step(),)))
    verifier.release([parent.node])
    (child,) = judged(verifier, parent.grown((step(),)))
    assert child.scores == (0.25, 0.25)
    assert part.shown == [(), ()]


def test_nothing_is_kept_for_finished_beams_and_released_nodes_here_and_in_the_parts() -> None:
    parts = [constant(0.5), constant(0.5)]
    verifier = CombinedVerifier("both", parts)
    root = opened(verifier)
    alive, _ = judged(verifier, root.grown((step(),)), root.grown((step(ENDING, "stop"),)))
    assert set(verifier._scores) == {alive.node}
    verifier.release(node for node in (root.prompt.id, alive.node, -1))
    assert not verifier._scores
    assert not any(part.nodes for part in parts)


class Reader(Part):
    """Reads some tokens of each prompt and each beam."""

    def __init__(self, num_prompt: int, num_solution: int, num_params: int) -> None:
        super().__init__(num_params=num_params)
        self.num_prompt, self.num_solution = num_prompt, num_solution

    def open(self, prompt: Prompt, token_ids: Sequence[int]) -> int:
        super().open(prompt, token_ids)
        return self.num_prompt

    def judge(self, beams: Sequence[Beam]) -> list[Judged]:
        return [Judged(judged.beam, self.num_solution) for judged in super().judge(beams)]


def test_what_parts_are_and_take_adds_up() -> None:
    left = constant(0.5, num_params=70, attention_flops_per_token_context=3.0, max_context=100, device="cpu")
    right = constant(0.5, num_params=30, attention_flops_per_token_context=4.0, max_context=80, device="cuda")
    left.seconds_per_token, right.seconds_per_token = 0.002, 0.001
    verifier = CombinedVerifier("both", [left, right, CertaintyVerifier()])
    info = verifier.info
    assert (info.name, info.num_params, info.attention_flops_per_token_context) == ("both", 100, 7.0)
    assert (info.max_context, info.device) == (80, "cpu+cuda")
    assert verifier.seconds_per_token == pytest.approx(0.003)


@pytest.mark.parametrize(
    ("readers", "expected"),
    [
        ([(3, 2, 70), (3, 2, 30)], (3, 2)),  # a token that both read counts once
        ([(3, 2, 70), (0, 0, 0)], (3, 2)),
        ([(0, 50, 100), (10, 10, 300)], (8, 20)),  # a judge that reads the problem with each solution
        ([(0, 5, 0), (0, 0, 0)], (0, 5)),  # a program and something free
    ],
)
def test_tokens_at_the_parameters_of_all_are_the_flops_of_each_part_at_its_own(
    readers: list[tuple[int, int, int]], expected: tuple[int, int]
) -> None:
    verifier = CombinedVerifier("both", [Reader(*reader) for reader in readers])
    root = Beam(Prompt("?"))
    found = verifier.open(root.prompt, (1, 2, 3)), verifier.judge([root.grown((step(),))])[0].verified_tokens
    assert found == expected
    params = verifier.info.num_params
    assert params * found[0] == pytest.approx(sum(prompt * each for prompt, _, each in readers), rel=0.1)
    assert params * found[1] == sum(solution * each for _, solution, each in readers)


def test_the_first_part_names_the_aggregator_and_any_part_may_limit_what_it_is_for() -> None:
    plain = CombinedVerifier("both", [constant(0.5, aggregator="min"), CertaintyVerifier()])
    assert (plain.info.aggregator, plain.info.is_outcome, plain.info.needs_certainty) == ("min", False, False)
    assert not plain.info.counts_copies
    parts = [CertaintyVerifier("margin"), ConsensusVerifier(), OutcomeVerifier(constant(0.5))]
    limited = CombinedVerifier("all", parts).info
    assert (limited.is_outcome, limited.needs_certainty, limited.counts_copies) == (True, True, True)
    assert limited.aggregator == "last"  # the only one that a score of whole solutions can have


def test_the_sandboxes_of_parts_are_told_beside_the_device_of_their_models() -> None:
    model = constant(0.5, num_params=70, device="cuda")
    programs = [
        constant(0.5, num_params=0, device="cpu", sandbox=name) for name in ("bubblewrap", "bubblewrap", "jail")
    ]
    assert CombinedVerifier("all", [model, *programs]).info.place == "cuda, sandbox bubblewrap+jail"
    assert CombinedVerifier("two", [model, CertaintyVerifier()]).info.place == "cuda"


@pytest.mark.parametrize("score", [math.nan, 1.5, -0.1])
def test_a_score_out_of_range_is_an_error_that_names_the_part(score: float) -> None:
    verifier = CombinedVerifier("both", [constant(0.5), constant(score, name="broken-prm")])
    with pytest.raises(EdgesearchError, match=r"verifier broken-prm gave a score outside \[0, 1\]"):
        judged(verifier, opened(verifier).grown((step(),)))


def test_a_part_that_loses_beams_is_an_error_that_names_it() -> None:
    class Forgetful(Part):
        def judge(self, beams: Sequence[Beam]) -> list[Judged]:
            return super().judge(beams)[1:]

    verifier = CombinedVerifier("both", [constant(0.5), Forgetful(name="forgetful")])
    with pytest.raises(EdgesearchError, match="forgetful judged 0 of 1 beams"):
        judged(verifier, opened(verifier).grown((step(),)))


def test_an_error_of_a_part_keeps_its_class_and_gains_its_name() -> None:
    class Full(Part):
        def judge(self, beams: Sequence[Beam]) -> list[Judged]:
            raise ContextOverflow("too long")

    verifier = CombinedVerifier("both", [constant(0.5), Full(name="short-prm")])
    with pytest.raises(ContextOverflow, match=r"^verifier short-prm: too long$"):
        judged(verifier, opened(verifier).grown((step(),)))


def test_warnings_of_the_parts_are_passed_on() -> None:
    part = constant(0.5)
    part.warnings = ("slow today",)  # type: ignore[attr-defined]
    assert CombinedVerifier("both", [constant(0.5), OutcomeVerifier(part)]).warnings == ("slow today",)


def test_every_part_is_closed_also_where_one_fails_to() -> None:
    class Stuck(Part):
        def close(self) -> None:
            raise OSError("stuck")

    last = constant(0.5)
    with pytest.raises(OSError, match="stuck"):
        CombinedVerifier("both", [constant(0.5), Stuck(), last]).close()
    assert last.num_closed == 1


@pytest.mark.parametrize(
    ("num_parts", "weights", "message"),
    [
        (1, None, "at least 2 parts, not 1"),
        (2, (1.0,), "2 parts need 2 weights, not 1"),
        (2, (1.0, 0.0), "> 0, not 0"),
        (2, (1.0, -1.0), "> 0, not -1"),
        (2, (1.0, math.nan), "> 0, not nan"),
        (2, (1.0, math.inf), "> 0, not inf"),
    ],
)
def test_a_combination_that_makes_no_sense_is_refused(num_parts: int, weights: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CombinedVerifier("none", [constant(0.5) for _ in range(num_parts)], weights)


# -- the real models ---------------------------------------------------------------------------------------------------

PROBLEM = held_out(seed=0, count=9)[8].problem


@pytest.mark.parametrize("name", ["beam", "best_of_n"])
@pytest.mark.parametrize("weights", [None, (0.7, 0.3)], ids=["product", "sum"])
def test_real_searches_run_with_it_at_the_cost_of_the_model_alone(
    prm: OnnxPrm, weights: Sequence[float] | None, name: str
) -> None:
    engine, parts = nano_engine(), [prm, CertaintyVerifier("entropy")]
    alone, both = (run(engine, verifier, PROBLEM, name) for verifier in (prm, CombinedVerifier("both", parts, weights)))
    engine.close()
    assert len(both.candidates) == 16
    assert all(candidate.beam.is_judged for candidate in both.candidates)
    assert both.usage.verified_tokens <= 1.05 * both.usage.decoded_tokens
    if name == "best_of_n":  # the same samples, so the same work
        assert both.usage == alone.usage


def test_a_real_score_is_the_product_of_what_its_parts_say_alone(prm: OnnxPrm) -> None:
    engine = nano_engine()
    alone = [run(engine, verifier, PROBLEM, "best_of_n") for verifier in (prm, CertaintyVerifier())]
    both = run(engine, CombinedVerifier("both", [prm, CertaintyVerifier()]), PROBLEM, "best_of_n")
    engine.close()
    for model, sureness, product in zip(*(each.candidates for each in (*alone, both)), strict=True):
        expected = [a * b for a, b in zip(model.beam.scores, sureness.beam.scores, strict=True)]
        assert product.beam.scores == pytest.approx(expected, abs=EXACT)

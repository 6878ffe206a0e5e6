"""The solver's own certainty: the contract for each kind, golden cases by hand, and what an engine may not tell."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nano_parts import nano_engine, run
from verifier_contract import RIGHT, VerifierContract

from edgesearch.engines.llama_cpp import LlamaCppEngine
from edgesearch.errors import EdgesearchError, UsageError
from edgesearch.search.select import aggregate
from edgesearch.tasks.arithmetic import held_out
from edgesearch.types import Beam, Certainty, Finish, Prompt, Step
from edgesearch.verifiers.base import Judged
from edgesearch.verifiers.certainty import KINDS, CertaintyVerifier

NEEDING = ("entropy", "margin")
LOGPROBS, ENTROPIES, MARGINS = (-0.1, -0.5, -0.9), (0.2, 0.4, 0.9), (0.9, 0.6, 0.0)


def certainty(logprobs=LOGPROBS, entropies=ENTROPIES, margins=MARGINS) -> Certainty:
    return Certainty(logprobs, entropies, margins, (0.0,) * len(logprobs))


def step(logprobs=LOGPROBS, finish: Finish = "step", *, told: Certainty | None = None, text: str = RIGHT) -> Step:
    return Step(text, tuple(range(1, len(logprobs) + 1)), sum(logprobs), finish, certainty=told)


def scores(kind: str, *steps: Step) -> tuple[float, ...]:
    (judged,) = CertaintyVerifier(kind).judge([Beam(Prompt("?"), steps)])
    return judged.beam.scores


@pytest.mark.parametrize("kind", KINDS)
class TestContract(VerifierContract):
    @pytest.fixture
    def verifier(self, kind: str) -> CertaintyVerifier:
        return CertaintyVerifier(kind)

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(text.encode())

    def end_of_turn(self) -> tuple[int, ...]:
        return (0,)

    def num_prompt_tokens(self, prompt: Prompt) -> int:
        return 0

    def num_step_tokens(self, step: Step) -> int:
        return 0

    def step(self, text: str, finish: Finish = "step") -> Step:
        return self.told(super().step(text, finish))

    def blank(self) -> Step:
        return self.told(super().blank())

    def told(self, step: Step) -> Step:
        """With what an engine tells, different for each text."""
        values = tuple((token % 7) / 7 for token in step.token_ids)
        logprobs = tuple(-value for value in values)
        return replace(step, logprob=sum(logprobs), certainty=Certainty(logprobs, values, values, values))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("mean", math.exp(-0.5)),
        ("sum", math.exp(-1.5)),
        ("worst", math.exp(-0.5)),
        ("entropy", math.exp(-0.5)),
        ("margin", 0.5),
    ],
)
def test_a_step_scores_what_the_formula_says(kind: str, expected: float) -> None:
    """Worked by hand: log-probabilities -0.1, -0.5, -0.9; entropies 0.2, 0.4, 0.9; margins 0.9, 0.6, 0."""
    assert scores(kind, step(told=certainty())) == (pytest.approx(expected),)
    if kind not in NEEDING:
        assert scores(kind, step()) == (pytest.approx(expected),)


def test_the_product_of_sums_is_the_probability_of_the_whole_solution() -> None:
    steps = step((-0.1, -0.4)), step((-1.0,), "stop")
    found = scores("sum", *steps)
    assert found == pytest.approx((math.exp(-0.5), math.exp(-1.0)))
    assert aggregate(found, "prod") == pytest.approx(math.exp(-1.5))
    assert CertaintyVerifier("sum").info.aggregator == "prod"


def test_the_worst_step_so_far_counts_also_where_earlier_steps_were_judged_before() -> None:
    low, high = step((-2.0,)), step((-0.1, -0.1))
    found = scores("worst", high, low, high)
    assert found == pytest.approx((math.exp(-0.1), math.exp(-2.0), math.exp(-2.0)))
    verifier = CertaintyVerifier("worst")
    (first,) = verifier.judge([Beam(Prompt("?"), (high, low))])
    (second,) = verifier.judge([first.beam.grown((high,))])
    assert second.beam.scores == found


@settings(deadline=None)
@given(
    st.lists(st.floats(-20, 0), min_size=1, max_size=8),
    st.lists(st.floats(-20, 0), min_size=1, max_size=8),
    st.sampled_from(["mean", "sum", "worst"]),
)
def test_what_is_likelier_never_scores_lower(left: list[float], right: list[float], kind: str) -> None:
    def sureness(logprobs: list[float]) -> float:
        return sum(logprobs) if kind == "sum" else sum(logprobs) / len(logprobs)

    (low,), (high,) = (scores(kind, step(tuple(each))) for each in sorted((left, right), key=sureness))
    assert 0 <= low <= high <= 1


def test_a_sharper_distribution_never_scores_lower() -> None:
    blurred = certainty(entropies=(1.0, 1.0, 1.0), margins=(0.1, 0.1, 0.1))
    assert scores("entropy", step(told=certainty())) > scores("entropy", step(told=blurred))
    assert scores("margin", step(told=certainty())) > scores("margin", step(told=blurred))


def test_a_blank_ending_counts_to_its_step_only_where_nobody_tells_its_share() -> None:
    right = step((-0.5, -0.5), told=certainty((-0.5, -0.5), (0, 0), (1, 1)))
    ending = step((-1.1,), "stop", told=certainty((-1.1,), (0,), (1,)), text="")
    told = Beam(Prompt("?")).grown((right, ending)).steps
    assert scores("mean", *told) == (pytest.approx(math.exp(-0.5)),)
    untold = Beam(Prompt("?")).grown((replace(right, certainty=None), replace(ending, certainty=None))).steps
    assert scores("mean", *untold) == (pytest.approx(math.exp(-2.1 / 3)),)


def test_it_costs_nothing() -> None:
    verifier = CertaintyVerifier()
    assert (verifier.info.name, verifier.info.num_params, verifier.seconds_per_token) == ("certainty", 0, 0)
    assert verifier.info.max_context == 0
    assert verifier.judge([Beam(Prompt("?"), (step(),))])[0].verified_tokens == 0


@pytest.mark.parametrize("kind", KINDS)
def test_only_kinds_that_read_distributions_ask_for_them(kind: str) -> None:
    assert CertaintyVerifier(kind).info.needs_certainty == (kind in NEEDING)


def test_an_unknown_kind_lists_the_known() -> None:
    with pytest.raises(UsageError, match=r"certainty has no kind 'best'; it has mean, sum, worst, entropy, margin"):
        CertaintyVerifier("best")


@pytest.mark.parametrize("kind", NEEDING)
def test_an_engine_that_tells_no_distributions_is_an_error_that_names_a_kind_that_works(kind: str) -> None:
    with pytest.raises(UsageError, match="--verifier certainty"):
        scores(kind, step())


def test_an_engine_that_tells_no_token_counts_can_use_the_sum() -> None:
    uncounted = Step(RIGHT, (), -1.5, "step")
    assert scores("sum", uncounted) == (pytest.approx(math.exp(-1.5)),)
    with pytest.raises(UsageError, match="certainty:sum"):
        scores("mean", uncounted)


@pytest.mark.parametrize("kind", ["mean", "sum", "worst"])
@pytest.mark.parametrize("logprob", [math.nan, 0.5, 1000.0, math.inf])
def test_a_log_probability_that_cannot_be_is_an_error_and_not_a_score(kind: str, logprob: float) -> None:
    with pytest.raises(EdgesearchError, match=r"certainty.* gave a score outside \[0, 1\]"):
        scores(kind, step((logprob,)))


@pytest.mark.parametrize("figures", [{"entropies": (math.nan,) * 3}, {"entropies": (-900.0,) * 3}])
def test_an_entropy_that_cannot_be_is_an_error(figures: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(EdgesearchError, match=r"certainty:entropy gave a score outside"):
        scores("entropy", step(told=certainty(**figures)))


def test_rounding_and_impossible_tokens_stay_in_range() -> None:
    assert scores("mean", step((1e-9,))) == (1.0,)
    assert scores("mean", step((-math.inf,))) == (0.0,)


def test_two_different_texts_that_are_both_certain_show_that_the_engine_tells_nothing() -> None:
    prompt = Prompt("?")
    silent = [Beam(prompt, (step((0.0,), text=text),)) for text in ("a\n\n", "b\n\n")]
    with pytest.raises(UsageError, match="does not tell them; use --verifier consensus"):
        CertaintyVerifier().judge(silent)
    # One may be certain, and so may what it goes on with; and other problems are no business of it.
    longer = silent[0].grown((step((0.0,), "stop", text="c"),))
    elsewhere = Beam(Prompt("?"), silent[1].steps)
    found = CertaintyVerifier().judge([silent[0], longer, elsewhere])
    assert [judged.beam.scores for judged in found] == [(1.0,), (1.0, 1.0), (1.0,)]


def test_what_was_judged_is_not_looked_at_again() -> None:
    broken = Beam(Prompt("?"), (step((math.nan,)),), (0.5,))
    assert CertaintyVerifier().judge([broken]) == [Judged(broken, 0)]


# -- the real solver ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaCppEngine]:
    loaded = nano_engine()
    yield loaded
    loaded.close()


@pytest.mark.parametrize("name", ["beam", "best_of_n"])
@pytest.mark.parametrize("kind", KINDS)
def test_real_searches_run_with_every_kind_at_no_cost(engine: LlamaCppEngine, kind: str, name: str) -> None:
    problem = held_out(seed=0, count=9)[8].problem  # one whose samples differ
    result = run(engine, CertaintyVerifier(kind), problem, name, n=8)
    assert len(result.candidates) == 8
    assert all(candidate.beam.is_judged and 0 < (candidate.score or 0) <= 1 for candidate in result.candidates)
    assert len({candidate.score for candidate in result.candidates}) > 1
    assert (result.usage.verified_tokens, result.usage.verifier_prompt_tokens, result.usage.verifier_flops) == (0, 0, 0)


def test_what_the_real_solver_tells_of_its_certainty_fits_what_it_draws(engine: LlamaCppEngine) -> None:
    """The expectation of -log p over a distribution is its entropy, so over many tokens the two come close."""
    drawn, entropies = [], []
    for sample in held_out(seed=0, count=12):
        result = run(engine, CertaintyVerifier("entropy"), sample.problem, "best_of_n")
        for step in (step for candidate in result.candidates for step in candidate.beam.steps):
            assert step.certainty is not None
            assert sum(step.certainty.logprobs) == pytest.approx(step.logprob)
            drawn += step.certainty.logprobs
            entropies += step.certainty.entropies
    assert len(drawn) > 3000
    assert -sum(drawn) / len(drawn) == pytest.approx(sum(entropies) / len(entropies), rel=0.2)

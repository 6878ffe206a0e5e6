"""What every strategy promises, on the built-in models: the same contract for each of them."""

import pytest

import edgesearch
from edgesearch import search
from edgesearch.pipeline import Pipeline

PROBLEMS = (
    "Ana has 12 apples. Ben has 3 more than Ana. Cara has twice as many as Ben. How many apples does Cara have?",
    "Of 40 people 25 like tea and 18 like milk; 7 like both. How many like neither?",
)
SAMPLING = [name for name in search.general_names() if name != "greedy"]
REVISING = ("revision", "revision_vote")


@pytest.fixture(scope="module")
def pipeline():
    with edgesearch.load("nano", max_n=16, check=False) as loaded:
        yield loaded


def solved(pipeline: Pipeline, strategy: str, n: int, problem: str = PROBLEMS[0], seed: int = 0, **options):
    return pipeline.solve(problem, budget_s=600, strategy=strategy, n=n, seed=seed, **options)


def texts(solution):
    return sorted(candidate.beam.text for candidate in solution.candidates)


@pytest.mark.parametrize("name", SAMPLING)
@pytest.mark.parametrize("seed", [0, 1])
def test_with_one_beam_every_strategy_is_one_sample(pipeline, name, seed):
    own = {"extensions": 0} if name == "budget_forcing" else {}
    alone = solved(pipeline, "sample", 1, seed=seed)
    found = solved(pipeline, name, 1, seed=seed, options=own)
    assert found.text == alone.text
    assert found.answer == alone.answer


@pytest.mark.parametrize("name", search.general_names())
@pytest.mark.parametrize("n", [4, 16])
def test_every_strategy_answers_and_counts_what_it_did(pipeline, name, n):
    solution = solved(pipeline, name, n)
    assert solution.answer is not None
    assert solution.strategy.name == name
    assert solution.finish != "deadline"
    usage = solution.usage
    assert usage.decoded_tokens > 0
    assert usage.decoded_tokens >= sum(step_tokens(solution))
    if name not in REVISING:
        assert usage.prefilled_tokens == usage.prompt_tokens
    if search.strategy(name).needs_scores:
        assert 0 < usage.verified_tokens <= usage.decoded_tokens
    else:
        assert usage.verified_tokens == 0


def step_tokens(solution):
    """Tokens of distinct steps among the candidates: nothing can have been drawn less often."""
    steps = {step.id: len(step.token_ids) for candidate in solution.candidates for step in candidate.beam.steps}
    return steps.values()


@pytest.mark.parametrize("name", SAMPLING)
def test_the_seed_fixes_every_draw(pipeline, name):
    first, again = (solved(pipeline, name, 8, PROBLEMS[1], seed=5) for _ in range(2))
    assert first.text == again.text
    assert texts(first) == texts(again)
    assert first.usage.decoded_tokens == again.usage.decoded_tokens


@pytest.mark.parametrize("name", SAMPLING)
def test_another_seed_draws_other_samples(pipeline, name):
    first, other = (solved(pipeline, name, 8, seed=seed, temperature=3.0) for seed in (5, 6))
    assert texts(first) != texts(other)


@pytest.mark.parametrize("name", search.general_names())
def test_a_strategy_that_runs_out_of_time_still_answers_or_says_that_it_has_none(pipeline, name):
    solution = pipeline.solve(PROBLEMS[0], budget_s=0.05, strategy=name, n=16)
    assert solution.answer is not None or solution.finish in ("deadline", "length")


@pytest.mark.parametrize("name", search.general_names())
def test_the_engine_holds_nothing_of_a_search_that_has_ended(pipeline, name):
    solved(pipeline, name, 4)
    assert not pipeline._engine._nodes
    assert not pipeline._verifier._pasts

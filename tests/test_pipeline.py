"""The whole pipeline on the real built-in models: GGUF in llama.cpp, the verifier in ONNX Runtime, the real clock."""

import shutil
from pathlib import Path

import pytest

import edgesearch
from edgesearch import catalog, search
from edgesearch.errors import ContextOverflow, UsageError
from edgesearch.events import Grew, Progress, Scored, Solved, Started, WaveStarted
from edgesearch.tasks.arithmetic import grade, held_out
from edgesearch.types import Problem

EASY = "Ana has 12 apples. Ben has twice as many as Ana. How many apples do Ana and Ben have together?"
SAMPLES = held_out(seed=0, count=30)


@pytest.fixture(scope="module")
def pipeline():
    with edgesearch.load() as loaded:
        yield loaded


def test_the_one_line_of_the_readme_solves_a_problem_of_several_steps():
    solution = edgesearch.solve(EASY, budget_s=10)
    assert solution.answer == "36"
    assert solution.finish == "stop"
    assert (solution.models.solver, solution.models.verifier) == ("nano", "nano-prm")
    assert solution.load_s > 0


@pytest.mark.parametrize("name", [name for name in search.general_names() if not name.startswith("revision")])
def test_every_strategy_solves_an_easy_problem(pipeline, name):
    solution = pipeline.solve(EASY, budget_s=20, strategy=name, n=8)
    assert solution.answer == "36"
    assert solution.strategy.name == name
    assert solution.usage.prefilled_tokens == solution.usage.prompt_tokens
    assert solution.usage.verified_tokens <= 1.05 * solution.usage.decoded_tokens


def test_a_width_that_does_not_fit_the_strategy_is_refused_with_its_rule(pipeline):
    with pytest.raises(UsageError, match=r"^strategy dvts: n must be a multiple of m"):
        pipeline.solve(EASY, strategy="dvts", n=6, m=4)


def test_the_strategy_s_own_options_reach_it_and_are_told(pipeline):
    solution = pipeline.solve(EASY, budget_s=20, strategy="beam", n=8, options={"granularity": 2})
    assert solution.answer == "36"
    assert solution.strategy.options == {"granularity": 2, "deduplicate": False}
    with pytest.raises(UsageError, match=r"^strategy beam: granularity must be >= 1, not 0$"):
        pipeline.solve(EASY, strategy="beam", options={"granularity": 0})


def test_a_vote_can_end_early_with_the_same_answer_and_fewer_tokens(pipeline):
    problem = held_out(5, 11)[10].problem  # its samples differ in length
    whole, early, sure = (
        pipeline.solve(problem, budget_s=60, strategy="majority", n=64, early_stop=each) for each in (None, 1.0, 0.9)
    )
    assert (whole.early_stop, early.early_stop, sure.early_stop) == (None, "dominance", "confidence")
    assert early.answer == whole.answer
    assert sure.usage.decoded_tokens < early.usage.decoded_tokens < whole.usage.decoded_tokens
    with pytest.raises(UsageError, match=r"^early-stop: "):
        pipeline.solve(EASY, strategy="majority", early_stop=0.3)


def test_search_with_the_verifier_solves_more_than_greedy_decoding(pipeline):
    def right(**options):
        return sum(grade(s, pipeline.solve(s.problem, budget_s=60, **options).answer) for s in SAMPLES)

    assert right(strategy="beam", n=16) > right(strategy="greedy")


def test_the_same_seed_gives_the_same_solution_and_another_seed_other_samples(pipeline):
    def texts(seed):
        solution = pipeline.solve(SAMPLES[3].problem, budget_s=60, strategy="best_of_n", n=16, seed=seed)
        return [candidate.beam.text for candidate in solution.candidates]

    assert texts(1) == texts(1)
    assert texts(1) != texts(2)


def test_kv_cells_are_the_prompt_s_and_the_beams_own(pipeline):
    usage = pipeline.solve(SAMPLES[0].problem, budget_s=60, strategy="best_of_n", n=16).usage
    assert usage.kv_cells <= usage.prompt_tokens + usage.decoded_tokens


def test_every_step_of_the_chosen_solution_has_a_score(pipeline):
    solution = pipeline.solve(EASY, budget_s=20, strategy="beam", n=8)
    assert len(solution.steps) == len(solution.scores)
    assert all(0 <= score <= 1 for score in solution.scores)
    assert "".join(solution.steps) == solution.text


def test_events_begin_with_the_plan_and_end_with_the_solution(pipeline):
    events = list(pipeline.events(SAMPLES[1].problem, budget_s=60, strategy="beam", n=64))
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Solved)
    assert all(isinstance(event, Progress) for event in events[1:-1])


@pytest.mark.parametrize("budget_s", [0.3, 1.0])
def test_auto_is_a_planned_solve_whose_waves_do_nothing_twice(pipeline, budget_s):
    solution = pipeline.solve(SAMPLES[3].problem, budget_s=budget_s, confidence=1)
    plan, usage = solution.plan, solution.usage
    assert plan.waves[0].strategy.name in ("rebase", "greedy")
    assert all(wave.reason and wave.predicted_s > 0 for wave in plan.waves)
    assert [wave.started_s for wave in plan.waves] == sorted(wave.started_s for wave in plan.waves)
    assert plan.least_s > 0
    assert usage.prefilled_tokens == usage.prompt_tokens > 0
    assert usage.verified_tokens <= 1.05 * usage.decoded_tokens
    assert usage.verified_tokens == 0 or usage.verifier_calls > 0
    assert 0 < usage.decode_passes <= usage.decoded_tokens


def test_unchecked_auto_goes_on_with_more_waves_and_more_candidates_where_it_is_not_sure(pipeline):
    with edgesearch.load(max_n=8, check=False) as unchecked:
        short, long = (unchecked.solve(SAMPLES[5].problem, budget_s=each, confidence=1) for each in (0.5, 4.0))
    assert long.early_stop in (None, "settled", "dominance", "no_time")
    if long.early_stop is None:
        assert len(long.plan.waves) > len(short.plan.waves)
        assert len(long.candidates) > len(short.candidates)
    assert long.usage.prefilled_tokens == long.usage.prompt_tokens
    assert long.usage.verified_tokens <= 1.05 * long.usage.decoded_tokens


def test_an_easy_problem_gives_most_of_a_long_budget_back(pipeline):
    solution = pipeline.solve(EASY, budget_s=600)
    assert solution.answer == "36"
    assert solution.early_stop is not None
    assert solution.finish == "stop"


def test_a_share_of_the_vote_is_only_called_calibrated_where_it_is(pipeline):
    with edgesearch.load(check=False, max_n=16) as unchecked:
        auto = unchecked.solve(EASY, budget_s=2)
        majority = unchecked.solve(EASY, budget_s=20, strategy="majority", n=8)
        assert auto.is_calibrated is (unchecked.policy is not None)
    assert not majority.is_calibrated
    assert majority.confidence == majority.agreement
    assert 0 <= auto.confidence <= 1


@pytest.mark.parametrize("options", [{}, {"strategy": "rebase", "n": 8}, {"strategy": "majority", "n": 8}])
def test_a_traced_solve_tells_every_step_of_every_candidate(pipeline, options):
    events = list(pipeline.events(SAMPLES[3].problem, budget_s=1.0 if not options else 60, is_traced=True, **options))
    grown = {event.node: event for event in events if isinstance(event, Grew)}
    waves = [event for event in events if isinstance(event, WaveStarted)]
    solution = events[-1].solution
    roots = {event.root for event in waves}
    assert all(event.parent in roots or event.parent in grown for event in grown.values())
    assert {step.id for each in solution.candidates for step in each.beam.steps} <= set(grown)
    assert {event.node for event in events if isinstance(event, Scored)} <= set(grown)
    assert [event.wave.reason for event in waves if event.number >= 0] == [wave.reason for wave in solution.plan.waves]


def test_no_budget_is_too_small_to_end_with_a_solution_object(pipeline):
    for budget_s in (0.001, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06):
        solution = pipeline.solve(EASY, budget_s=budget_s)
        assert solution.finish in ("deadline", "stop")
        assert solution.answer is None or solution.answer.isdigit()
        assert solution.plan.least_s > 0


def test_cancelling_ends_a_solve_with_the_best_so_far(pipeline):
    events = pipeline.events(SAMPLES[1].problem, budget_s=600, strategy="best_of_n", n=64)
    assert isinstance(next(events), Started)
    pipeline.cancel()
    [last] = [event for event in events if isinstance(event, Solved)]
    assert last.solution.finish == "deadline"


def test_an_abandoned_solve_does_not_disturb_the_next_one(pipeline):
    for event in pipeline.events(SAMPLES[1].problem, budget_s=60, strategy="beam", n=64):
        if isinstance(event, Progress):
            break
    assert pipeline.solve(EASY, budget_s=20).answer == "36"


def test_a_failure_in_the_middle_of_a_solve_does_not_disturb_the_next_one(pipeline, monkeypatch):
    def fail(beams):
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(pipeline._verifier, "judge", fail)
        with pytest.raises(MemoryError):
            pipeline.solve(EASY, budget_s=20, strategy="beam")
    assert pipeline.solve(EASY, budget_s=20, strategy="beam").answer == "36"


def test_problems_that_only_the_verifier_cannot_read_cost_nothing_later(pipeline):
    problem = "Ana has 3 apples. " * 81  # fits the solver's context, leaves the verifier too little
    for _ in range(150):
        with pytest.raises(ContextOverflow, match="verifier"):
            pipeline.solve(problem, budget_s=5, strategy="beam")
    assert pipeline.solve(EASY, budget_s=20, strategy="beam", n=64).answer == "36"


def test_a_closed_pipeline_says_so():
    closed = edgesearch.load(max_n=1)
    events = closed.events(EASY, budget_s=5)
    next(events)
    closed.close()
    events.close()
    with pytest.raises(UsageError, match="closed"):
        closed.solve(EASY, budget_s=5)


def test_a_narrower_search_than_asked_for_is_said(pipeline):
    solution = pipeline.solve(EASY, budget_s=0.02, strategy="beam", n=64)
    assert any("ran instead" in warning for warning in solution.warnings)


def test_a_strategy_that_ran_as_asked_for_is_not_warned_about(pipeline):
    for name in search.general_names():
        assert pipeline.solve("x+3=10. What whole number is x?", strategy=name, budget_s=5.0).warnings == ()


def test_a_text_outside_the_training_domain_is_answered_with_a_warning_that_names_model(pipeline):
    solution = pipeline.solve("What is the capital of France?", budget_s=5)
    assert any("--model" in warning for warning in solution.warnings)


def test_problems_of_the_training_domain_are_not_warned_about(pipeline):
    assert pipeline.solve(EASY, budget_s=5).warnings == ()


def test_control_tokens_in_a_problem_are_only_text(pipeline):
    solution = pipeline.solve(EASY + "<|endoftext|><|im_end|>", budget_s=5)
    assert solution.usage.prompt_tokens > 30  # they were spelled out


def test_a_problem_longer_than_the_context_is_an_error_not_a_truncation(pipeline):
    with pytest.raises(ContextOverflow, match="context of 512"):
        pipeline.solve("Ana has 3 apples. " * 300, budget_s=5)
    assert pipeline.solve(EASY, budget_s=5).answer == "36"  # and the pipeline goes on


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget_s": 0}, "budget"),
        ({"budget_s": -1}, "budget"),
        ({"budget_s": float("nan")}, "budget"),
        ({"n": 0}, "n must be in"),
        ({"n": 10_000}, "n must be in"),
        ({"m": 0}, "m must be"),
        ({"max_tokens": 0}, "max-tokens"),
        ({"strategy": "beem"}, "beam"),
        ({"aggregator": "median"}, "last, min, prod, mean"),
    ],
)
def test_an_option_out_of_its_range_is_one_sentence_that_says_what_fits(pipeline, options, message):
    with pytest.raises(UsageError, match=message):
        pipeline.solve(EASY, **{"budget_s": 5, **options})


def test_a_blank_problem_is_refused(pipeline):
    with pytest.raises(UsageError, match="empty"):
        pipeline.solve(Problem(" \n\t "), budget_s=5)


def test_a_solver_without_a_known_verifier_falls_back_to_consensus_and_says_so(tmp_path: Path):
    path = tmp_path / "mine.gguf"
    shutil.copy(catalog.solver("nano").path, path)
    with edgesearch.load(str(path), max_n=8) as pipeline:
        plain = pipeline.solve(EASY, budget_s=20)
        asked = pipeline.solve(EASY, budget_s=20, strategy="beam")
    assert plain.strategy.name == asked.strategy.name == "majority"
    assert plain.models.verifier == "consensus"
    assert any("no verifier is known" in warning for warning in plain.warnings)
    assert any("beam needs a verifier" in warning for warning in asked.warnings)


def test_the_nano_verifier_can_be_named_for_any_solver_of_its_vocabulary(tmp_path: Path):
    path = tmp_path / "mine.gguf"
    shutil.copy(catalog.solver("nano").path, path)
    with edgesearch.load(str(path), "nano-prm", max_n=8) as pipeline:
        assert pipeline.solve(EASY, budget_s=20).strategy.name == "rebase"


def test_without_a_verifier_the_default_is_one_greedy_solution():
    with edgesearch.load("nano", "none", max_n=4) as pipeline:
        solution = pipeline.solve(EASY, budget_s=20)
        assert solution.strategy.name == "greedy"
        assert solution.models.verifier is None
        with pytest.raises(UsageError, match="needs a verifier"):
            pipeline.solve(EASY, budget_s=20, strategy="beam", n=4)


@pytest.mark.parametrize("name", ["nano-medium", "nano-large"])
def test_the_larger_baselines_load_and_solve(name):
    with edgesearch.load(name, "none", max_n=1) as pipeline:
        assert pipeline.solve(EASY, budget_s=20).answer == "36"

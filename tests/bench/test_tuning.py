"""Tuning: what is measured, that a run goes on where it stopped, and what policy the measurements make."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgesearch import catalog
from edgesearch.bench import tuning, tuning_policy
from edgesearch.bench.tuning import Measured, ProblemSkipped, Setting, TuneEvent, TuneProgress, Tuner, Unit
from edgesearch.budget import ManualClock
from edgesearch.errors import ContextOverflow, EdgesearchError, UsageError
from edgesearch.planner import policy as policies
from edgesearch.planner.policy import Policy, Weights
from edgesearch.tasks import load as load_task
from edgesearch.tasks.arithmetic import held_out
from edgesearch.tasks.base import Source, Task, make_sample
from edgesearch.types import Beam, Candidate, ModelNames, Problem, Prompt, Solution, Step, StrategyUsed, Usage

GRID = (Setting("greedy", 1, 1), Setting("weighted", 4, 1), Setting("weighted", 16, 1))
UNITS = tuning.units(GRID, (0,), has_scores=True)
MODELS = {"solver": "a" * 64}


def made_task(num: int = 10) -> Task:
    """Problems whose number is how hard they are, in hundredths."""
    samples = tuple(make_sample(f"p{i}", f"problem {i * 100 // num}", "right") for i in range(num))
    return Task("made", 1, "test", "plain-1", "answer-1", Source("file:made", "1", "unknown"), samples)


class MadeSolver:
    """Solves by chance: the harder the problem the more often it is wrong; wider searches are right more often."""

    def __init__(self, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.calls: list[tuple[str, Setting, int]] = []
        self.on_call: Callable[[int], None] = lambda count: None
        self.num_cancelled = 0
        self.proven = ""
        """Text of a problem whose answers are proven right."""
        self.runs_n: int | None = None

    def cancel(self) -> None:
        self.num_cancelled += 1

    def solve(self, problem: Problem, *, budget_s: float, strategy: str, n: int, m: int, seed: int) -> Solution:
        self.calls.append((problem.id, Setting(strategy, n, m), seed))
        self.on_call(len(self.calls))
        self.clock.advance(0.1 * n)
        rng = random.Random(f"{problem.text} {seed}")
        ease = 1 - int(problem.text.split()[-1]) / 100
        proof = True if problem.text == self.proven else None
        candidates = tuple(self._candidate(rng, ease, proof, place) for place in range(n))
        rights = sum(candidate.answer == "right" for candidate in candidates)
        return Solution(
            answer="right" if 2 * rights >= n else "wrong", text="", finish="stop", confidence=None,
            budget_s=budget_s, wall_s=0.1 * n, load_s=0.0,
            strategy=StrategyUsed(strategy, self.runs_n or n, m, "last"), models=ModelNames("made", "made-prm"),
            usage=Usage(decode_passes=40, decoded_tokens=40 * n, verifier_calls=1, verified_tokens=30 * n),
            candidates=candidates,
        )  # fmt: skip

    def _candidate(self, rng: random.Random, ease: float, proof: bool | None, place: int) -> Candidate:
        is_right = rng.random() < ease
        score = min(1.0, max(0.0, ease * 0.8 + 0.2 * is_right + rng.gauss(0, 0.05)))
        beam = Beam(Prompt("?"), (Step("text", (1,), -0.1, "stop"),), (score,), proof if is_right else None)
        return Candidate(beam, "right" if is_right else "wrong", score, 0.01 * place)


def run(
    path: Path, solver: MadeSolver | None = None, task: Task | None = None, units: tuple[Unit, ...] = UNITS
) -> list[TuneEvent]:
    tuner = Tuner(solver or MadeSolver(), task or made_task(), units, path, models=MODELS)
    return list(tuner.events())


def measured(events: list[TuneEvent]) -> Measured:
    (found,) = [event for event in events if isinstance(event, Measured)]
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """200 problems, measured."""
    return measured(run(tmp_path_factory.mktemp("tuning") / "made.jsonl", task=made_task(200)))


def made_policy(found: Measured) -> Policy:
    solver, verifier = Weights("made", "a" * 64), Weights("made-prm", "b" * 64)
    return tuning_policy.make(found.problems, solver=solver, verifier=verifier, task=made_task(), seed=0, check=None)


# -- what is measured ------------------------------------------------------------------------------------------------


def test_a_grid_is_written_as_strategies_with_widths():
    assert tuning.parse_grid("greedy; rebase:4, 16;beam:16;") == (
        Setting("greedy", 1, 1), Setting("rebase", 4, 1), Setting("rebase", 16, 1), Setting("beam", 16, 4),
    )  # fmt: skip


def test_the_default_grid_has_nineteen_settings():
    assert len(tuning.parse_grid(tuning.DEFAULT_GRID)) == 19


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ("", "empty"),
        (";", "empty"),
        ("nothing:4", "unknown strategy"),
        ("rebase", "needs widths"),
        ("rebase:", "needs widths"),
        ("rebase:0", "needs widths"),
        ("rebase:-4", "needs widths"),
        ("rebase:5000", "needs widths"),
        ("rebase:four", "needs widths"),
        ("rebase:4;rebase:4", "a setting twice"),
    ],
)
def test_a_grid_that_cannot_be_run_is_refused(grid: str, said: str):
    with pytest.raises(UsageError, match=said):
        tuning.parse_grid(grid)


def test_a_beam_search_narrower_than_its_children_keeps_one_beam():
    assert tuning.parse_grid("beam:2") == (Setting("beam", 2, 2),)


def test_no_two_kinds_of_measurement_share_draws(tmp_path: Path):
    solver = MadeSolver()
    run(tmp_path / "made.jsonl", solver, made_task(1))
    by_seed: dict[int, set[str]] = {}
    kinds = {unit.seed: unit.kind for unit in UNITS}
    for _, setting, seed in solver.calls:
        by_seed.setdefault(seed, set()).add(str(setting))
    assert {kinds[seed] for seed in by_seed if seed in kinds} == {"row", "drafts", "draws", "pool"}
    assert by_seed[0] == {"greedy", "weighted:4", "weighted:16"}
    assert all(len(settings) == 1 for seed, settings in by_seed.items() if seed)


def test_pools_hold_twice_as_many_candidates_as_the_widest_setting():
    (pool,) = [unit for unit in UNITS if unit.kind == "pool"]
    assert pool.setting.n * pool.num_waves == 32


def test_without_scores_majority_votes_are_pooled_and_nothing_is_predicted():
    units = tuning.units((Setting("majority", 8, 1),), (0, 1), has_scores=False)
    assert [(unit.kind, unit.setting.strategy, unit.seed) for unit in units if unit.kind != "draws"] == [
        ("row", "majority", 0), ("row", "majority", 1), ("pool", "majority", 3_000_000),
    ]  # fmt: skip


def test_strategies_that_the_verifier_does_not_allow_leave_the_grid():
    class OutcomeOnly(MadeSolver):
        def solve(self, problem: Problem, *, budget_s: float, strategy: str, n: int, m: int, seed: int) -> Solution:
            if strategy == "rebase":
                raise UsageError("rebase needs step scores")
            ran = "majority" if strategy == "weighted" else strategy
            return super().solve(problem, budget_s=budget_s, strategy=ran, n=n, m=m, seed=seed)

    grid = tuning.parse_grid("greedy; majority:4; weighted:4; rebase:4,16")
    kept = tuning.suiting(OutcomeOnly(), Problem("problem 1"), grid)
    assert [str(setting) for setting in kept] == ["greedy", "majority:4"]


def test_a_setting_that_ran_as_another_ends_the_run(tmp_path: Path):
    solver = MadeSolver()
    solver.runs_n = 2
    with pytest.raises(UsageError, match="was run as"):
        run(tmp_path / "made.jsonl", solver)


def test_a_proof_ends_a_pool_and_leaves_the_problem_without_a_bin(tmp_path: Path):
    solver = MadeSolver()
    solver.proven = "problem 0"
    found = measured(run(tmp_path / "made.jsonl", solver, made_task(2)))
    first, second = found.problems
    (pool,) = [unit for unit in UNITS if unit.kind == "pool"]
    assert len(first[pool]["candidates"]) == pool.setting.n
    assert len(second[pool]["candidates"]) == pool.setting.n * pool.num_waves
    assert tuning_policy.Measurements.of(found.problems).is_open.tolist() == [False, True]


# -- going on --------------------------------------------------------------------------------------------------------


def test_a_run_goes_on_where_it_stopped_and_measures_nothing_twice(tmp_path: Path):
    first, second = MadeSolver(), MadeSolver()
    tuner = Tuner(first, made_task(), UNITS, tmp_path / "made.jsonl", models=MODELS)
    first.on_call = lambda count: tuner.cancel() if count == 12 else None
    cut = measured(list(tuner.events()))
    assert cut.is_cancelled
    assert first.num_cancelled == 1
    again = measured(run(tmp_path / "made.jsonl", second))
    straight = measured(run(tmp_path / "straight.jsonl"))
    assert again.problems == straight.problems
    assert len(cut.problems) < len(again.problems) == 10
    assert len(second.calls) < 10 * len({(kind.setting, kind.seed) for kind in UNITS}) + 10


def test_a_finished_run_is_read_and_nothing_is_solved(tmp_path: Path):
    run(tmp_path / "made.jsonl")
    solver = MadeSolver()
    assert len(measured(run(tmp_path / "made.jsonl", solver)).problems) == 10
    assert solver.calls == []


def test_a_wider_grid_or_more_problems_measure_only_what_is_new(tmp_path: Path):
    run(tmp_path / "made.jsonl")
    solver = MadeSolver()
    units = tuning.units((*GRID, Setting("best_of_n", 4, 1)), (0,), has_scores=True)
    run(tmp_path / "made.jsonl", solver, units=units)
    assert {str(setting) for _, setting, _ in solver.calls} == {"best_of_n:4"}


def test_other_models_or_problems_are_measured_anew(tmp_path: Path):
    run(tmp_path / "made.jsonl", task=made_task(2))
    solver = MadeSolver()
    list(Tuner(solver, made_task(2), UNITS, tmp_path / "made.jsonl", models={"solver": "b" * 64}).events())
    assert len(solver.calls) > 0


def test_a_half_written_line_is_measured_again_and_told(tmp_path: Path):
    path = tmp_path / "made.jsonl"
    run(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    solver = MadeSolver()
    found = measured(run(path, solver))
    assert (found.num_damaged, len(found.problems)) == (1, 10)
    assert {problem for problem, _, _ in solver.calls} == {"p9"}
    assert measured(run(path, MadeSolver())).num_damaged == 1


def test_another_programs_file_is_left_as_it_is(tmp_path: Path):
    path = tmp_path / "made.jsonl"
    path.write_text("something else\n")
    with pytest.raises(UsageError, match="not a file of tuning measurements"):
        run(path)
    assert path.read_text() == "something else\n"
    with pytest.raises(UsageError, match="no file"):
        run(tmp_path)


def test_two_runs_do_not_write_into_one_file(tmp_path: Path):
    path = tmp_path / "made.jsonl"
    solver = MadeSolver()
    failed: list[str] = []

    def begin_another(count: int) -> None:
        if count == 1:
            with pytest.raises(EdgesearchError, match="another process") as caught:
                run(path)
            failed.append(str(caught.value))

    solver.on_call = begin_another
    run(path, solver)
    assert failed


def test_a_problem_that_does_not_fit_is_told_and_left_out(tmp_path: Path):
    class Short(MadeSolver):
        def solve(self, problem: Problem, *, budget_s: float, strategy: str, n: int, m: int, seed: int) -> Solution:
            if problem.id == "p3":
                raise ContextOverflow("too long")
            return super().solve(problem, budget_s=budget_s, strategy=strategy, n=n, m=m, seed=seed)

    events = run(tmp_path / "made.jsonl", Short())
    assert [event for event in events if isinstance(event, ProblemSkipped)] == [ProblemSkipped("p3", "too long")]
    assert (len(measured(events).problems), measured(events).num_skipped) == (9, 1)


def test_progress_tells_the_time_that_is_left(tmp_path: Path):
    clock = ManualClock()
    tuner = Tuner(MadeSolver(clock), made_task(), UNITS, tmp_path / "made.jsonl", models=MODELS, clock=clock)
    told = [event for event in tuner.events() if isinstance(event, TuneProgress)]
    left = [event.time_left_s for event in told if event.time_left_s is not None]
    assert told[0].num_units == 10 * len(UNITS)
    assert left[-1] == pytest.approx(0.0, abs=1e-6)
    assert left[len(left) // 2] == pytest.approx(clock() / 2, rel=0.3)


# -- the policy ------------------------------------------------------------------------------------------------------


def test_rows_are_means_over_problems(whole: Measured):
    policy = made_policy(whole)
    rows = [unit for unit in whole.problems[0] if unit.kind == "row"]
    for unit, row in zip(rows, policy.overall, strict=True):
        lines = [problem[unit] for problem in whole.problems]
        assert row.accuracy == pytest.approx(np.mean([line["is_right"] for line in lines]), abs=1e-4)
        assert row.accuracy_interval[0] <= row.accuracy <= row.accuracy_interval[1]
        assert (row.decode_passes, row.p90_decode_passes) == (40, 40)
        assert row.decoded_tokens == 40 * row.n
        assert row.seconds == pytest.approx(0.1 * row.n)


def test_bins_hold_a_fifth_each_and_get_harder(whole: Measured):
    policy = made_policy(whole)
    assert [each.num_problems for each in policy.bins] == [40] * 5
    assert [each.num_problems for each in policy.oracle_bins] == [40] * 5
    shares = [each.pass_at_1 for each in policy.bins]
    assert shares == sorted(shares, reverse=True)
    assert policy.bins[0].rows[0].accuracy > policy.bins[4].rows[0].accuracy


def test_the_policy_s_edges_put_the_tuning_problems_into_its_bins(whole: Measured):
    policy = made_policy(whole)
    scores = tuning_policy.Measurements.of(whole.problems).mean_scores
    counts = np.bincount([policy.bin_of(score) or 0 for score in scores], minlength=6)
    assert counts[1:].tolist() == [each.num_problems for each in policy.bins]


def test_a_policy_can_be_written_and_read(whole: Measured):
    policy = made_policy(whole)
    assert policy.calibration is not None
    assert policies.loads(policy.dumps()) == policy


def test_too_few_problems_make_no_bins_and_no_calibration(tmp_path: Path):
    policy = made_policy(measured(run(tmp_path / "made.jsonl")))
    assert (policy.edges, policy.bins, policy.oracle_bins, policy.calibration) == ((), (), (), None)
    assert policy.overall


def test_no_problems_make_no_policy():
    with pytest.raises(EdgesearchError, match="no problem"):
        made_policy(Measured((), 0, 0, is_cancelled=False))


def test_several_seeds_of_a_problem_are_one_observation(tmp_path: Path):
    units = tuning.units(GRID, (0, 1), has_scores=True)
    task = made_task(40)
    policy = made_policy(measured(run(tmp_path / "made.jsonl", task=task, units=units)))
    assert len(policy.overall) == len(GRID)
    low, high = policy.overall[0].accuracy_interval
    assert high - low > 0.15


# -- whether choosing by difficulty pays -----------------------------------------------------------------------------


def hand_made(num: int = 200) -> list[dict[Unit, dict[str, object]]]:
    """Problems of two kinds: on those that look hard `wide` is right and `narrow` is not, and it is the dearer one."""
    narrow, wide = Setting("weighted", 4, 1), Setting("weighted", 16, 1)
    costs = {"decode_passes": 1, "decoded_tokens": 1, "verifier_calls": 1, "verified_tokens": 1}
    found = []
    for place in range(num):
        is_hard = place % 2 == 0
        found.append({
            Unit("row", narrow, 0): costs | {"is_right": not is_hard, "seconds": 0.1},
            Unit("row", wide, 0): costs | {"is_right": True, "seconds": 1.0},
            Unit("drafts", narrow, 1): {"mean_score": (0.1 if is_hard else 0.9) + place / 1e4, "is_proven": False},
            Unit("draws", narrow, 2): {"num": 10, "num_right": 1 if is_hard else 9},
        })  # fmt: skip
    return found


def test_choosing_by_difficulty_is_as_accurate_in_fewer_seconds_where_only_hard_problems_need_more():
    (compared,) = tuning_policy.compare(hand_made(), [2.0])
    single, predicted, oracle = compared.choices
    assert (single.way, predicted.way, oracle.way) == ("single", "predicted", "oracle")
    assert single.accuracy == predicted.accuracy == oracle.accuracy == 1
    assert single.seconds == 1.0
    assert predicted.seconds < 0.65
    assert predicted.chosen[0] == "weighted:4"
    assert predicted.chosen[4] == "weighted:16"
    assert predicted.gain == 0


def test_settings_that_take_longer_are_not_chosen_from():
    (compared,) = tuning_policy.compare(hand_made(), [0.5])
    assert all(set(choice.chosen) == {"weighted:4"} for choice in compared.choices)
    assert compared.choices[0].accuracy == 0.5


def test_a_setting_that_looks_good_by_luck_does_not_look_good_on_the_other_half():
    rng = random.Random(0)
    settings = [Setting("weighted", n, 1) for n in range(1, 31)]
    costs = {"decode_passes": 1, "decoded_tokens": 1, "verifier_calls": 1, "verified_tokens": 1, "seconds": 1.0}
    problems = [
        {Unit("row", setting, 0): costs | {"is_right": rng.random() < 0.5} for setting in settings} for _ in range(60)
    ]
    (compared,) = tuning_policy.compare(problems, [2.0])
    best = max(np.mean([lines[Unit("row", setting, 0)]["is_right"] for lines in problems]) for setting in settings)
    assert best > 0.6
    assert compared.choices[0].accuracy < best


def test_by_default_the_seconds_are_round_and_reach_from_the_cheapest_to_the_dearest(whole: Measured):
    budgets = [each.budget_s for each in tuning_policy.compare(whole.problems)]
    assert budgets == sorted(budgets)
    assert budgets[0] >= 0.1
    assert budgets[-1] >= 1.6


# -- on the built-in models and problems -----------------------------------------------------------------------------


def test_generated_problems_that_results_are_reported_on_are_left_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tuning, "_REPORTED_SEEDS", (0,))
    monkeypatch.setattr(tuning, "_REPORTED_SIZE", 30)
    drawn = load_task("arithmetic", seed=1_000_000, limit=20)
    reported = held_out(0, 30)[3]
    twice = make_sample("again", reported.problem, reported.target)
    both = dataclasses.replace(drawn, samples=(*drawn.samples, twice))
    kept, left_out = tuning.apart(both)
    assert left_out == ("again",)
    assert (kept.samples, kept.digest) == (drawn.samples, drawn.digest)
    with pytest.raises(UsageError, match="another --seed"):
        tuning.apart(load_task("arithmetic", seed=0, limit=10))


def test_tasks_that_are_not_generated_are_tuned_as_they_are():
    task = made_task()
    assert tuning.apart(task) == (task, ())


def test_the_built_in_models_can_be_tuned(tmp_path: Path):
    from edgesearch.loading import load

    task = load_task("arithmetic", seed=1_000_000, limit=3)
    units = tuning.units(tuning.parse_grid("greedy; rebase:4"), (0,), has_scores=True)
    with load("nano") as pipeline:
        found = measured(list(Tuner(pipeline, task, units, tmp_path / "nano.jsonl", models=MODELS).events()))
    policy = made_policy(found)
    greedy, rebase = policy.overall
    assert len(found.problems) == 3
    assert (greedy.strategy, rebase.strategy) == ("greedy", "rebase")
    assert 0 < greedy.decode_passes <= rebase.decoded_tokens
    assert rebase.verifier_calls > 0 == greedy.verifier_calls
    lines = [json.loads(line) for line in (tmp_path / "nano.jsonl").read_text().splitlines()]
    assert {line["kind"] for line in lines} == {"row", "drafts", "draws", "pool"}
    assert catalog.solver("nano").policy is not None

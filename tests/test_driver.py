"""The driver on scripted models and a manual clock: what is done, when it stops, and that nothing is done twice."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch import search
from edgesearch.budget import Budget, ManualClock
from edgesearch.driver import Driver, Job, JobResult
from edgesearch.engines.scripted import ScriptedEngine
from edgesearch.errors import ContextOverflow, UsageError
from edgesearch.search.base import Expand, Judge, SearchConfig, Strategy
from edgesearch.search.select import aggregate
from edgesearch.types import Beam, Prompt, Sampling
from edgesearch.verifiers.scripted import ScriptedVerifier

STEPS = ("one apple\n\n", "two apples\n\n", r"The answer is \boxed{7}")


def write_rest(beam: Beam, seed: int) -> str:
    """Three steps, the last with the answer; the seed marks each step, so that samples differ."""
    rest = STEPS[len(beam.steps) :]
    return "".join(step.replace("apple", f"s{seed % 97} apple") for step in rest)


class World:
    """A driver over scripted models on one manual clock."""

    def __init__(self, write=write_rest, *, pass_s=0.01, token_s=0.0, score=lambda beam, index: 0.5, **engine):
        self.clock = ManualClock()
        self.engine = ScriptedEngine(write, clock=self.clock, pass_s=pass_s, **engine)
        self.verifier = ScriptedVerifier(score, clock=self.clock, token_s=token_s)
        self.driver = Driver(self.engine, self.verifier)

    def job(self, name="beam", *, budget_s=100.0, n=4, m=2, max_tokens=64, strategy=None, **options) -> Job:
        return Job(
            prompt=Prompt(user="how many apples are there"),
            strategy=strategy or search.strategy(name),
            config=SearchConfig(n=n, m=m),
            sampling=Sampling(),
            deadline=Budget(budget_s).start(self.clock),
            max_tokens=max_tokens,
            **options,
        )

    def run(self, *jobs: Job) -> list[JobResult]:
        numbers = [self.driver.submit(job) for job in jobs]
        results: dict[int, JobResult] = {}
        for _ in range(10_000):
            results |= dict(self.driver.turn())
            if len(results) == len(jobs):
                return [results[number] for number in numbers]
        raise AssertionError("the driver never came to an end")


@pytest.mark.parametrize("name", search.names())
def test_every_strategy_runs_to_its_end_and_finds_the_answer(name):
    world = World()
    [result] = world.run(world.job(name))
    assert {candidate.answer for candidate in result.candidates} == {"7"}
    assert not result.is_cut
    assert all(candidate.beam.finish == "stop" for candidate in result.candidates)


@pytest.mark.parametrize("name", search.names())
def test_nothing_is_kept_once_a_job_has_ended(name):
    world = World()
    world.run(world.job(name), world.job(name, budget_s=0.05))
    assert world.engine.nodes == set()
    assert world.verifier.nodes == set()


@pytest.mark.parametrize("name", search.names())
def test_the_prompt_is_prefilled_once(name):
    world = World()
    [result] = world.run(world.job(name, n=8))
    assert result.usage.prefilled_tokens == result.usage.prompt_tokens > 0


@pytest.mark.parametrize("name", ["best_of_n", "weighted", "beam"])
def test_no_step_is_judged_twice(name):
    world = World()
    [result] = world.run(world.job(name, n=8))
    assert len(world.verifier.judged_nodes) == len(set(world.verifier.judged_nodes))
    assert result.usage.verified_tokens <= result.usage.decoded_tokens


def test_copies_of_one_text_are_judged_once_and_share_their_score():
    world = World(write=lambda beam, seed: "".join(STEPS[len(beam.steps) :]))
    [result] = world.run(world.job("best_of_n", n=8))
    assert len(result.candidates) == 8
    assert len(world.verifier.judged_nodes) == len(STEPS)
    assert {candidate.score for candidate in result.candidates} == {0.5}


def test_drafts_of_several_problems_share_each_pass():
    world = World()
    world.run(world.job("majority", n=4), world.job("majority", n=4))
    assert world.engine.passes[0] == 8


def test_waiting_scores_of_several_problems_share_one_call():
    world = World()
    world.run(world.job("beam", n=2), world.job("beam", n=3))
    assert world.verifier.calls[0] == 5


def test_a_problem_gets_the_same_solutions_alone_and_beside_others():
    def texts(*extra):
        world = World()
        jobs = [world.job("beam", seed=5), *(world.job(name) for name in extra)]
        return [candidate.beam.text for candidate in world.run(*jobs)[0].candidates]

    assert texts() == texts("majority", "best_of_n")


def test_seeds_change_the_samples():
    def texts(seed):
        world = World()
        return [candidate.beam.text for candidate in world.run(world.job("majority", seed=seed))[0].candidates]

    assert texts(1) == texts(1)
    assert texts(1) != texts(2)


@pytest.mark.parametrize("name", search.names())
@pytest.mark.parametrize("budget_s", [0.02, 0.05, 0.1, 0.15, 0.2, 0.5])
def test_the_deadline_is_met_whatever_the_strategy(name, budget_s):
    world = World(pass_s=0.01, token_s=0.001)
    [result] = world.run(world.job(name, budget_s=budget_s, n=4))
    assert world.clock.now_s <= budget_s + 0.01  # at most the pass under way, which a real engine interrupts
    assert result.is_cut or result.candidates


def test_at_the_deadline_the_finished_beams_are_the_candidates():
    def write(beam, seed):
        return r"\boxed{1}" if beam.steps or seed % 2 else "a long first step that goes on and on\n\n" * 30

    world = World(write)
    [result] = world.run(world.job("majority", n=8, budget_s=0.3, max_tokens=1000))
    assert result.is_cut
    assert {candidate.answer for candidate in result.candidates} == {"1"}


def test_without_any_finished_beam_the_cut_off_ones_are_shown_unanswered():
    world = World(write=lambda beam, seed: "and so on " * 100)
    [result] = world.run(world.job("majority", budget_s=0.2, max_tokens=1000))
    assert result.candidates
    assert all(candidate.answer is None and candidate.beam.finish == "deadline" for candidate in result.candidates)


def test_finished_samples_are_scored_before_the_deadline():
    def write(beam, seed):
        return r"\boxed{3}" if seed % 3 == 0 else "and so on " * 500

    world = World(write, token_s=0.002, score=lambda beam, index: 0.9)
    [result] = world.run(world.job("best_of_n", n=16, budget_s=0.4, max_tokens=1000))
    assert result.is_cut
    assert [candidate.score for candidate in result.candidates] == [0.9] * len(result.candidates)
    assert result.candidates


def test_the_safety_lane_answers_where_the_search_does_not():
    def write(beam, seed):
        return r"\boxed{5}" if seed == GREEDY_SEED else "and so on " * 500

    world = World(write)
    [result] = world.run(world.job("beam", budget_s=0.5, max_tokens=1000, has_safety_lane=True))
    assert [candidate.answer for candidate in result.candidates if candidate.answer] == ["5"]


def test_the_safety_lane_is_no_candidate_once_the_search_has_an_answer():
    world = World()
    [with_lane] = world.run(world.job("majority", n=4, has_safety_lane=True))
    assert len(with_lane.candidates) == 4


def test_the_safety_lane_is_cut_off_as_soon_as_the_search_has_an_answer():
    def write(beam, seed):
        return "and so on " * 500 if seed == GREEDY_SEED else r"\boxed{1}"

    world = World(write)
    world.run(world.job("majority", max_tokens=1000, has_safety_lane=True))
    assert len(world.engine.passes) < 10


def test_the_greedy_strategy_draws_at_temperature_zero_only():
    temperatures = set()

    class Spy(ScriptedEngine):
        def start(self, draft):
            temperatures.add(draft.sampling.temperature)
            super().start(draft)

    world = World()
    spy = Spy(write_rest)
    world.driver = Driver(spy, None)
    world.run(world.job("greedy"))
    assert temperatures == {0.0}


def test_a_strategy_that_needs_scores_is_refused_without_a_verifier():
    world = World()
    driver = Driver(world.engine, None)
    with pytest.raises(UsageError, match="needs a verifier"):
        driver.submit(world.job("beam"))


def test_the_token_limit_cuts_a_solution_off_as_length():
    world = World(write=lambda beam, seed: "and so on " * 100)
    [result] = world.run(world.job("beam", max_tokens=10))
    assert {candidate.beam.finish for candidate in result.candidates} == {"length"}
    assert all(candidate.beam.num_tokens <= 10 for candidate in result.candidates)


def test_a_token_limit_that_falls_on_a_step_end_ends_the_search():
    world = World(write=lambda beam, seed: "step\n\n" * 50)
    [result] = world.run(world.job("beam", max_tokens=8))
    assert {candidate.beam.finish for candidate in result.candidates} == {"length"}


def test_beams_that_are_kept_can_be_expanded_again():
    def expand_twice(root, config):
        first = yield Expand([root, root])
        yield Expand(first[:1], keep=[first[1]])
        yield Expand([first[1]], is_to_end=True)

    world = World()
    strategy = Strategy("twice", expand_twice, "best", False, True, "a test")
    [result] = world.run(world.job(strategy=strategy))
    assert [candidate.answer for candidate in result.candidates] == ["7"]


def test_beams_that_are_not_kept_are_freed():
    kept = []

    def drop_one(root, config):
        first = yield Expand([root, root, root])
        yield Expand(first[:1])
        kept.append(world.engine.nodes)

    world = World()
    world.run(world.job(strategy=Strategy("drop", drop_one, "best", False, True, "a test")))
    assert len(kept[0]) <= 2  # the beam that was expanded and its child


def test_judging_judged_beams_costs_nothing():
    def judge_twice(root, config):
        beams = yield Expand([root], is_to_end=True)
        beams = yield Judge(beams)
        beams = yield Judge(beams)
        assert beams[0].is_judged

    world = World()
    world.run(world.job(strategy=Strategy("twice", judge_twice, "best", True, False, "a test")))
    assert len(world.verifier.calls) == 1


def test_an_end_of_turn_right_after_a_step_adds_no_step_and_no_score():
    world = World(write=lambda beam, seed: "" if beam.steps else "so it is \\boxed{2}\n\n")
    [result] = world.run(world.job("beam", n=2, m=1))
    assert [len(candidate.beam.steps) for candidate in result.candidates] == [1, 1]
    assert [len(candidate.beam.scores) for candidate in result.candidates] == [1, 1]
    assert {candidate.beam.finish for candidate in result.candidates} == {"stop"}


def test_cancelling_the_deadline_ends_the_job_with_what_it_has():
    world = World(write=lambda beam, seed: "and so on " * 100)
    job = world.job("majority", max_tokens=1000)
    number = world.driver.submit(job)
    world.driver.turn()
    job.deadline.cancel()
    [(ended, result)] = world.driver.turn()
    assert ended == number
    assert result.is_cut


def test_the_flops_of_the_verifier_are_counted():
    world = World()
    [beam, majority] = world.run(world.job("beam"), world.job("majority"))
    assert beam.usage.verifier_flops > 0 == majority.usage.verifier_flops
    assert beam.usage.solver_flops > 0


def test_beam_search_follows_the_scores():
    def score(beam, index):
        return 0.9 if "good" in beam.steps[0].text else 0.1

    def write(beam, seed):
        kind = "good" if seed % 4 == 0 else "bad"
        first = [] if beam.steps else [f"{kind} start s{seed % 1000}\n\n"]
        return "".join([*first, r"\boxed{1}" if beam.steps and "good" in beam.steps[0].text else r"\boxed{2}"])

    world = World(write, score=score)
    [result] = world.run(world.job("beam", n=16, m=4))
    best = max(result.candidates, key=lambda candidate: candidate.score)
    assert best.answer == "1"
    assert best.score == aggregate(best.beam.scores, "last")


GREEDY_SEED = None


def _greedy_seed() -> int:
    from edgesearch.engines.sampling import mix_seed

    return mix_seed(0, 0)


GREEDY_SEED = _greedy_seed()


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(search.names()),
    n=st.integers(1, 20),
    m=st.integers(1, 8),
    budget_s=st.floats(0.02, 3),
    pass_s=st.floats(0.001, 0.05),
    token_s=st.floats(0, 0.01),
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=5),
    has_safety_lane=st.booleans(),
)
def test_any_search_ends_in_time_and_leaves_nothing_behind(
    name, n, m, budget_s, pass_s, token_s, lengths, has_safety_lane
):
    def write(beam, seed):
        words = lengths[(seed + len(beam.steps)) % len(lengths)]
        is_last = len(beam.steps) >= seed % 4
        return "w " * words + (r"\boxed{1}" if is_last else "x\n\ny\n\n\\boxed{2}")

    world = World(write, pass_s=pass_s, token_s=token_s)
    job = world.job(name, n=n, m=min(m, n), budget_s=budget_s, max_tokens=100, has_safety_lane=has_safety_lane)
    [result] = world.run(job)
    assert world.clock.now_s <= budget_s + pass_s + 1e-9
    assert world.engine.nodes == set()
    assert world.verifier.nodes == set()
    assert result.usage.prefilled_tokens in (0, result.usage.prompt_tokens)


def test_steps_that_were_drawn_but_not_judged_in_time_still_answer():
    world = World(write=lambda beam, seed: "so it is \\boxed{7}\n\nand more and more " * 20, token_s=10.0)
    [result] = world.run(world.job("beam", budget_s=5, max_tokens=1000))
    assert "7" in {candidate.answer for candidate in result.candidates}


def test_a_search_whose_scores_cannot_come_in_time_ends_at_once():
    world = World(token_s=10.0)
    world.run(world.job("beam", budget_s=5))
    assert world.clock.now_s < 1


def test_one_slow_beam_does_not_hide_what_the_others_have_written():
    def write(beam, seed):
        return "slow " * 1000 if seed % 4 == 0 else "so \\boxed{7}\n\nmore"

    world = World(write)
    [result] = world.run(world.job("beam", n=8, budget_s=1, max_tokens=2000))
    assert "7" in {candidate.answer for candidate in result.candidates}


def test_the_safety_lane_goes_on_when_the_search_ends_without_an_answer():
    def write(beam, seed):
        return "thinking " * 40 + r"\boxed{5}" if seed == GREEDY_SEED else "no idea"

    world = World(write)
    [result] = world.run(world.job("majority", max_tokens=1000, has_safety_lane=True))
    assert "5" in {candidate.answer for candidate in result.candidates}


def test_a_prompt_that_the_verifier_refuses_leaves_nothing_behind():
    world = World()

    def refuse(prompt, token_ids):
        raise ContextOverflow("too long")

    world.verifier.open = refuse
    with pytest.raises(ContextOverflow):
        world.driver.submit(world.job("beam"))
    assert world.engine.nodes == set()


def test_a_closed_driver_leaves_nothing_behind():
    world = World()
    world.driver.submit(world.job("beam"))
    world.driver.turn()
    world.driver.close()
    assert world.engine.nodes == world.verifier.nodes == set()
    assert world.driver.turn() == []


def test_a_draft_that_found_no_room_is_cut_off_not_lost():
    class Full(ScriptedEngine):
        def advance(self, deadline):
            if len(self.passes) == 10:
                self.passes.append(0)
                return self.cancel([self._running[-1].draft.id])
            return super().advance(deadline)

    world = World()
    world.engine = Full(write_rest)
    world.driver = Driver(world.engine, world.verifier)
    [result] = world.run(world.job("majority", n=3))
    assert len(result.candidates) >= 2

"""The driver on scripted models and a manual clock: what is done, when it stops, and that nothing is done twice."""

import dataclasses

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgesearch import search
from edgesearch.budget import Budget, ManualClock
from edgesearch.choice import choose
from edgesearch.driver import Driver
from edgesearch.engines.scripted import ScriptedEngine
from edgesearch.errors import ContextOverflow, UsageError
from edgesearch.jobs import Job, JobResult
from edgesearch.search.base import Expand, Judge, SearchConfig, Strategy
from edgesearch.search.early_stop import EarlyStop
from edgesearch.search.select import aggregate
from edgesearch.types import AGGREGATORS, Beam, Prompt, Sampling
from edgesearch.verifiers.scripted import ScriptedVerifier

STEPS = ("one apple\n\n", "two apples\n\n", r"The answer is \boxed{7}")


def write_rest(beam: Beam, seed: int) -> str:
    """Three steps, the last with the answer; the seed marks each step, so that samples differ."""
    rest = STEPS[len(beam.steps) :]
    return "".join(step.replace("apple", f"s{seed % 97} apple") for step in rest)


REVISING = ("revision", "revision_vote")
"""Strategies that show the solver other prompts than the problem's own."""


def is_allowed(job: Job) -> bool:
    """Whether the strategy runs with this n and m."""
    try:
        job.strategy.check(job.config, job.strategy.options())
    except ValueError:
        return False
    return True


class World:
    """A driver over scripted models on one manual clock."""

    def __init__(
        self, write=write_rest, *, pass_s=0.01, token_s=0.0, score=lambda beam, index: 0.5, check=None, **engine
    ):
        self.clock = ManualClock()
        self.engine = ScriptedEngine(write, clock=self.clock, pass_s=pass_s, **engine)
        self.verifier = ScriptedVerifier(score, clock=self.clock, token_s=token_s)
        self.driver = Driver(self.engine, self.verifier, check)

    def job(
        self, name="beam", *, budget_s=100.0, n=4, m=2, max_tokens=64, strategy=None, aggregator="last", **options
    ) -> Job:
        return Job(
            prompt=Prompt(user="how many apples are there"),
            strategy=strategy or search.strategy(name),
            config=SearchConfig(n=n, m=m, aggregator=aggregator),
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


@pytest.mark.parametrize("name", search.general_names())
def test_every_strategy_runs_to_its_end_and_finds_the_answer(name):
    world = World()
    [result] = world.run(world.job(name))
    assert {candidate.answer for candidate in result.candidates} == {"7"}
    assert not result.is_cut
    assert all(candidate.beam.finish == "stop" for candidate in result.candidates)


@pytest.mark.parametrize("name", search.general_names())
def test_nothing_is_kept_once_a_job_has_ended(name):
    world = World()
    world.run(world.job(name), world.job(name, budget_s=0.05))
    assert world.engine.nodes == set()
    assert world.verifier.nodes == set()


@pytest.mark.parametrize("name", [name for name in search.general_names() if name not in REVISING])
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


def test_every_candidate_tells_when_its_last_token_was_drawn():
    def write(beam, seed):
        return "w " * (seed % 7) + r"\boxed{7}"

    world = World(write, pass_s=0.5)
    world.clock.advance(100.0)
    [result] = world.run(world.job("majority", n=16))
    ends_s = [candidate.finished_s for candidate in result.candidates]
    assert ends_s == [0.5 * candidate.beam.num_tokens for candidate in result.candidates]  # a token a pass
    assert ends_s == sorted(ends_s)
    assert len(set(ends_s)) > 1


def test_copies_of_one_text_have_their_own_times():
    class OneByOne(ScriptedEngine):
        def start(self, draft):
            self.info = dataclasses.replace(self.info, max_sequences=1)
            super().start(draft)

    world = World()
    world.engine = OneByOne(lambda beam, seed: r"\boxed{7}", clock=world.clock, pass_s=0.5)
    world.driver = Driver(world.engine, world.verifier)
    [result] = world.run(world.job("best_of_n", n=3))
    assert [candidate.finished_s for candidate in result.candidates] == [1.0, 2.0, 3.0]
    assert {candidate.score for candidate in result.candidates} == {0.5}


def test_waiting_for_scores_is_no_part_of_when_a_beam_was_drawn():
    world = World(pass_s=0.5, token_s=1.0)
    [result] = world.run(world.job("beam", n=1, m=1, budget_s=1000.0))
    [candidate] = result.candidates
    read = sum(len(step.token_ids) for step in candidate.beam.steps[:-1])  # each step is judged before the next
    assert candidate.finished_s == 0.5 * candidate.beam.num_tokens + 1.0 * read


def test_what_is_cut_off_ends_at_the_deadline_or_where_its_token_limit_was_reached():
    world = World(write=lambda beam, seed: "and so on " * 100, pass_s=0.25)
    [cut] = world.run(world.job("majority", budget_s=10.0, max_tokens=1000))
    assert {candidate.finished_s for candidate in cut.candidates} == {world.clock.now_s}
    world = World(write=lambda beam, seed: "step\n\n" * 50, pass_s=0.25, token_s=1.0)
    [full] = world.run(world.job("beam", n=1, m=1, max_tokens=4))
    [candidate] = full.candidates
    assert candidate.beam.finish == "length"
    assert candidate.finished_s == 4 * 0.25 + 1.0 * (4 - len(candidate.beam.steps[-1].token_ids))


def test_tokens_are_counted_as_the_engine_says_where_the_ids_of_steps_do_not_tell():
    class Endpoint(ScriptedEngine):
        def open(self, prompt):
            super().open(prompt)
            return ()

        def advance(self, deadline):
            done = super().advance(deadline)
            return [dataclasses.replace(each, prompt_tokens=12, drawn_tokens=100) for each in done]

    world = World()
    world.engine = Endpoint(write_rest)
    world.driver = Driver(world.engine, None)
    [result] = world.run(world.job("majority", n=3))
    assert (result.usage.prompt_tokens, result.usage.decoded_tokens) == (12, 300)
    drawn = 2 * world.engine.info.num_params * (300 + result.usage.prefilled_tokens)
    assert result.usage.solver_flops == drawn


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


@pytest.mark.parametrize("name", search.general_names())
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
    def expand_twice(root, config, options):
        first = yield Expand([root, root])
        yield Expand(first[:1], keep=[first[1]])
        yield Expand([first[1]], is_to_end=True)

    world = World()
    strategy = Strategy("twice", expand_twice, "best", False, True, "a test")
    [result] = world.run(world.job(strategy=strategy))
    assert [candidate.answer for candidate in result.candidates] == ["7"]


def test_beams_that_are_not_kept_are_freed():
    kept = []

    def drop_one(root, config, options):
        first = yield Expand([root, root, root])
        yield Expand(first[:1])
        kept.append(world.engine.nodes)

    world = World()
    world.run(world.job(strategy=Strategy("drop", drop_one, "best", False, True, "a test")))
    assert len(kept[0]) <= 2  # the beam that was expanded and its child


def test_judging_judged_beams_costs_nothing():
    def judge_twice(root, config, options):
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
    name=st.sampled_from(search.general_names()),
    n=st.integers(1, 20),
    m=st.integers(1, 8),
    budget_s=st.floats(0.02, 3),
    pass_s=st.floats(0.001, 0.05),
    token_s=st.floats(0, 0.01),
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=5),
    has_safety_lane=st.booleans(),
    proof=st.sampled_from([None, True, False]),
)
def test_any_search_ends_in_time_and_leaves_nothing_behind(
    name, n, m, budget_s, pass_s, token_s, lengths, has_safety_lane, proof
):
    def write(beam, seed):
        words = lengths[(seed + len(beam.steps)) % len(lengths)]
        is_last = len(beam.steps) >= seed % 4
        return "w " * words + (r"\boxed{1}" if is_last else "x\n\ny\n\n\\boxed{2}")

    world = World(write, pass_s=pass_s, token_s=token_s, check=lambda problem, stated: proof)
    job = world.job(name, n=n, m=min(m, n), budget_s=budget_s, max_tokens=100, has_safety_lane=has_safety_lane)
    assume(is_allowed(job))
    [result] = world.run(job)
    assert world.clock.now_s <= budget_s + pass_s + 1e-9
    assert world.engine.nodes == set()
    assert world.verifier.nodes == set()
    if name not in REVISING:
        assert result.usage.prefilled_tokens in (0, result.usage.prompt_tokens)


def test_a_rollout_gives_a_value_and_no_candidate():
    def look_ahead(root, config, options):
        [beam] = yield Expand([root])
        [rollout] = yield Expand([beam], is_to_end=True, keep=[beam], is_rollout=True)
        assert rollout.finish == "stop"
        [judged] = yield Judge([rollout])
        assert judged.is_judged
        yield Expand([beam], is_to_end=True)

    world = World(write=lambda beam, seed: f"{seed}\n\nso \\boxed{{{len(beam.steps)}}}")
    [result] = world.run(world.job(strategy=Strategy("ahead", look_ahead, "best", True, True, "a test")))
    assert len(result.candidates) == 1
    assert world.engine.nodes == set()


def test_a_rollout_is_all_there_is_where_the_search_found_nothing():
    def only_ahead(root, config, options):
        yield Expand([root], is_to_end=True, is_rollout=True)

    world = World(write=lambda beam, seed: "so \\boxed{4}")
    [result] = world.run(world.job(strategy=Strategy("ahead", only_ahead, "best", True, False, "a test")))
    assert [candidate.answer for candidate in result.candidates] == ["4"]


def test_a_rollout_that_is_proven_right_ends_the_search():
    def look_ahead(root, config, options):
        yield Expand([root], is_to_end=True, is_rollout=True)
        raise AssertionError("the search went on")

    world = World(write=lambda beam, seed: "so \\boxed{4}", check=lambda problem, stated: stated == "4")
    [result] = world.run(world.job(strategy=Strategy("ahead", look_ahead, "best", True, False, "a test")))
    assert [candidate.beam.proof for candidate in result.candidates] == [True]


def test_a_beam_grows_by_as_many_steps_as_are_asked_for():
    sizes = []

    def three_steps(root, config, options):
        [beam] = yield Expand([root], num_steps=3)
        sizes.append(len(beam.steps))
        [beam] = yield Judge([beam])
        sizes.append(len(beam.scores))
        [beam] = yield Expand([beam], num_steps=3)
        sizes.append(len(beam.steps))

    world = World(write=lambda beam, seed: "\n\n".join("abcdefg"[len(beam.steps) : 5]))
    world.run(world.job(strategy=Strategy("three", three_steps, "best", True, True, "a test")))
    assert sizes == [3, 3, 5]


def test_a_solution_of_another_prompt_comes_back_as_one_of_the_problem_s_own():
    def revise(root, config, options):
        [first] = yield Expand([root], is_to_end=True, keep=[root])
        prompt = Prompt(root.prompt.user, attempts=(first.text,), base=root.prompt.id)
        [second] = yield Expand([Beam(prompt)], is_to_end=True)
        assert second.prompt == root.prompt
        [judged] = yield Judge([second])
        assert judged.is_judged

    world = World(write=lambda beam, seed: f"so \\boxed{{{len(beam.prompt.attempts)}}}")
    [result] = world.run(world.job(strategy=Strategy("revise", revise, "best", True, False, "a test")))
    assert [candidate.answer for candidate in result.candidates] == ["0", "1"]
    assert all(candidate.beam.prompt == result.job.prompt for candidate in result.candidates)
    assert world.engine.nodes == set()


def test_a_revision_that_does_not_fit_is_left_out_and_told():
    def revise(root, config, options):
        yield Expand([root], is_to_end=True)
        beams = yield Expand([Beam(Prompt("word " * 5000))], is_to_end=True)
        assert beams == []

    world = World(write=lambda beam, seed: "so \\boxed{4}")
    [result] = world.run(world.job(strategy=Strategy("revise", revise, "best", False, False, "a test")))
    assert [candidate.answer for candidate in result.candidates] == ["4"]
    assert any("did not fit" in warning for warning in result.warnings)


def test_one_beam_grown_step_by_step_goes_on_with_its_random_stream_and_its_sisters_with_their_own():
    seeds = []

    def branch(root, config, options):
        [beam] = yield Expand([root])
        yield Expand([beam, beam])

    def write(beam, seed):
        seeds.append((len(beam.steps), seed))
        return "a\n\nb\n\nc"

    world = World(write=write)
    world.run(world.job(strategy=Strategy("branch", branch, "best", True, True, "a test")))
    assert seeds[1] == (1, seeds[0][1])
    assert seeds[2] not in ((1, seeds[0][1]), seeds[0])


def test_a_vote_that_no_sample_left_can_change_ends_the_search_and_says_so():
    lengths = iter([1, 1, 1, 200])
    world = World(write=lambda beam, seed: "word " * next(lengths) + "\\boxed{7}")
    [result] = world.run(world.job("majority", n=4, max_tokens=1000, early_stop=EarlyStop()))
    assert result.early_stop == "dominance"
    assert not result.is_cut
    assert {candidate.answer for candidate in result.candidates} == {"7"}
    assert result.usage.decoded_tokens < 200
    assert world.engine.nodes == set()


def test_without_the_wish_no_vote_ends_early():
    world = World(write=lambda beam, seed: "\\boxed{7}")
    [result] = world.run(world.job("majority", n=4))
    assert result.early_stop is None
    assert len(result.candidates) == 4


def test_a_strategy_that_needs_step_scores_refuses_a_verifier_of_whole_solutions():
    world = World()
    world.verifier.info = dataclasses.replace(world.verifier.info, is_outcome=True)
    with pytest.raises(UsageError, match=r"^strategy beam needs step scores, and scripted scores whole solutions only"):
        world.driver.submit(world.job("beam"))
    world.run(world.job("best_of_n"))


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


# -- exact checks ------------------------------------------------------------------------------------------------------


class Checker:
    """A check that knows one right answer and counts what it is asked; None for answers it cannot judge."""

    def __init__(self, right="7", unknown=()):
        self.right, self.unknown = right, unknown
        self.asked = []

    def __call__(self, problem, stated):
        self.asked.append((problem, stated))
        return None if stated in self.unknown else stated == self.right


def write_one_right(beam, seed):
    """One sample in eight, a long one, is right; the first steps say which."""
    right = seed % 8 == 0 if not beam.steps else "long" in beam.text
    rest = ["a long thought " * 3 + "\n\n" if right else "a guess\n\n", "so\n\n", rf"\boxed{{{7 if right else 5}}}"]
    return "".join(rest[len(beam.steps) :])


def mislead(beam, index):
    """The verifier likes the wrong ones."""
    return 0.01 if "long" in beam.text else 0.99


@pytest.mark.parametrize("aggregator", AGGREGATORS)
@pytest.mark.parametrize("name", ["majority", "best_of_n", "weighted"])
def test_a_proven_solution_is_chosen_whatever_the_verifier_thinks(name, aggregator):
    def answer_chosen(check):
        world = World(write_one_right, score=mislead, check=check)
        [result] = world.run(world.job(name, n=64, aggregator=aggregator))
        choice = choose(result.candidates, result.job.strategy.selection)
        return choice.candidate.answer, choice.confidence

    assert answer_chosen(Checker()) == ("7", 1.0)
    assert answer_chosen(None)[0] == "5"


@pytest.mark.parametrize("aggregator", AGGREGATORS)
@pytest.mark.parametrize("name", ["best_of_n", "weighted", "beam"])
def test_a_solution_that_is_proven_wrong_loses_to_every_other(name, aggregator):
    def write(beam, seed):
        doubtful = seed % 8 == 0 if not beam.steps else "long" in beam.text
        return "".join(
            [*([] if beam.steps else ["long\n\n" if doubtful else "short\n\n"]), rf"\boxed{{{6 - doubtful}}}"]
        )

    world = World(write, score=mislead, check=Checker(unknown=("5",)))
    [result] = world.run(world.job(name, n=64, m=1, aggregator=aggregator))
    choice = choose(result.candidates, result.job.strategy.selection)
    assert choice.candidate.answer == "5"
    assert choice.candidate.beam.proof is None
    assert {candidate.beam.proof for candidate in result.candidates} == {None, False}


@pytest.mark.parametrize("name", search.general_names())
def test_a_check_that_cannot_tell_changes_nothing(name):
    def outcome(check):
        world = World(check=check)
        [result] = world.run(world.job(name, n=8))
        told = [(each.beam.text, each.beam.scores, each.answer, each.score) for each in result.candidates]
        return told, result.usage, result.is_cut, world.clock.now_s, world.verifier.calls

    assert outcome(lambda problem, stated: None) == outcome(None)


@pytest.mark.parametrize("name", search.general_names())
@pytest.mark.parametrize("right", ["7", "8"])
def test_scores_are_the_verifier_s_own_whatever_is_proven(name, right):
    world = World(check=Checker(right))
    [result] = world.run(world.job(name, n=8))
    assert {score for candidate in result.candidates for score in candidate.beam.scores} <= {0.5}


@pytest.mark.parametrize("name", search.general_names())
def test_each_finished_solution_is_checked_once_on_the_problem_s_own_text(name):
    check = Checker("8")
    world = World(check=check)
    [result] = world.run(world.job(name, n=8))
    assert check.asked == [("how many apples are there", "7")] * len(result.candidates)


@pytest.mark.parametrize("name", [name for name in search.general_names() if not search.strategy(name).keeps_all])
def test_a_search_is_closed_by_the_pass_that_proves_an_answer(name):
    world = World(check=Checker())
    number = world.driver.submit(world.job(name, n=8))
    for _ in range(1000):
        ended = world.driver.turn()
        if world.driver._jobs:
            best = world.driver.view(number).best
            assert best is None or not best.beam.proof
        if ended:
            break
    [(_, result)] = ended
    assert any(candidate.beam.proof for candidate in result.candidates)
    assert not result.is_cut
    assert world.engine.nodes == world.verifier.nodes == set()


def test_a_strategy_that_keeps_all_its_samples_goes_on_after_a_proof():
    world = World(write=lambda beam, seed: "word " * (seed % 20) + "\\boxed{7}", check=lambda problem, stated: True)
    [result] = world.run(world.job("sample", n=8))
    assert [candidate.beam.proof for candidate in result.candidates] == [True] * 8


def test_nothing_more_is_drawn_or_judged_once_an_answer_is_proven():
    def write(beam, seed):
        return r"\boxed{7}" if seed % 8 == 0 else "and so on " * 300 + r"\boxed{5}"

    world = World(write, check=Checker())
    [result] = world.run(world.job("best_of_n", n=64, max_tokens=2000))
    assert {candidate.answer for candidate in result.candidates} == {"7"}
    assert len(world.engine.passes) < 5
    assert world.verifier.calls == []
    assert result.usage.verified_tokens == 0


def test_a_proof_ends_its_own_search_and_no_other():
    world = World(write_one_right, check=Checker())
    [proven, other] = world.run(world.job("majority", n=64), world.job("majority", n=4, seed=3))
    assert any(candidate.beam.proof for candidate in proven.candidates)
    assert len(other.candidates) == 4 or any(candidate.beam.proof for candidate in other.candidates)


def test_only_what_is_finished_and_states_an_answer_is_checked():
    check = Checker()
    world = World(write=lambda beam, seed: "it is \\boxed{7} and so on " * 100, check=check)
    [cut] = world.run(world.job("majority", max_tokens=10))
    assert {candidate.beam.finish for candidate in cut.candidates} == {"length"}
    world = World(write=lambda beam, seed: "no idea", check=check)
    [silent] = world.run(world.job("majority"))
    assert {candidate.beam.proof for candidate in (*cut.candidates, *silent.candidates)} == {None}
    assert check.asked == []


def test_a_safety_lane_that_is_proven_right_ends_the_search():
    def write(beam, seed):
        return r"\boxed{7}" if seed == GREEDY_SEED else "and so on " * 500

    world = World(write, check=Checker())
    [result] = world.run(world.job("beam", max_tokens=1000, has_safety_lane=True))
    assert [(candidate.answer, candidate.beam.proof) for candidate in result.candidates] == [("7", True)]
    assert not result.is_cut
    assert len(world.engine.passes) < 10


def test_the_safety_lane_goes_on_while_all_answers_are_proven_wrong():
    def write(beam, seed):
        return "thinking " * 40 + r"\boxed{7}" if seed == GREEDY_SEED else r"\boxed{5}"

    world = World(write, check=Checker())
    [result] = world.run(world.job("majority", max_tokens=1000, has_safety_lane=True))
    assert choose(result.candidates, "majority").candidate.answer == "7"


def test_where_the_safety_lane_is_wrong_too_a_wrong_answer_is_all_there_is():
    world = World(check=Checker("8"))
    [result] = world.run(world.job("majority", n=2, has_safety_lane=True))
    assert choose(result.candidates, "majority").confidence == 0.0


def test_a_failing_check_does_not_end_a_search():
    def failing(problem, stated):
        raise ValueError("a surprise")

    world = World(check=failing)
    [result] = world.run(world.job("best_of_n"))
    assert {(candidate.answer, candidate.beam.proof) for candidate in result.candidates} == {("7", None)}


def test_errors_of_the_verifier_pass_through_beside_a_check():
    world = World(check=Checker("8"))

    def fail(beams):
        raise MemoryError

    world.verifier.judge = fail
    with pytest.raises(MemoryError):
        world.run(world.job("beam"))


def test_of_a_budget_of_milliseconds_most_is_spent_on_the_search():
    world = World(write=lambda beam, seed: "\\boxed{7}", pass_s=0.001)
    [result] = world.run(world.job("greedy", budget_s=0.006))
    assert [candidate.answer for candidate in result.candidates] == ["7"]
    assert world.clock.now_s <= 0.006

"""Several problems on one pipeline: who begins when, how wide, and that nobody's end is another one's loss."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgesearch
from edgesearch.budget import ManualClock
from edgesearch.catalog import SolverSpec
from edgesearch.engines.scripted import ScriptedEngine
from edgesearch.errors import ContextOverflow, EdgesearchError, UsageError
from edgesearch.pipeline import Asked, Pipeline
from edgesearch.shared import Failed, SharedPipeline, solve_all
from edgesearch.tasks.arithmetic import grade, held_out
from edgesearch.types import Problem, Solution
from edgesearch.verifiers.scripted import ScriptedVerifier

STEPS = ("one apple\n\n", "two apples\n\n", r"The answer is \boxed{7}")
NUM_TOKENS = 16
"""Of such a solution, its end of turn among them; a pass draws one of each."""
ENDLESS = "endless"
"""A problem whose solutions never end."""


def write(beam, seed):
    """Three steps; the seed marks each one and, now and then, the answer, so that a vote is not settled at once."""
    if beam.prompt.user == ENDLESS:
        return "on and " * 4000
    rest = "".join(step.replace("apple", f"s{seed % 97} apple") for step in STEPS[len(beam.steps) :])
    return rest.replace("7", str(7 + seed % 3))


class CountingEngine(ScriptedEngine):
    """Knows how much was asked of it, and can give up passes that end too late, as a real one does."""

    interrupts = False

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.num_interrupted = self.most_sequences = 0

    def advance(self, deadline):
        if self.interrupts and self._pass_s > deadline.remaining():
            self.num_interrupted += 1
            self._clock.advance(max(0.0, deadline.remaining()))
            return []
        done = super().advance(deadline)
        self.most_sequences = max(self.most_sequences, len(self.nodes) + len(self._running))
        return done


class World:
    """A shared pipeline over scripted models on one manual clock."""

    def __init__(self, *, n=8, pass_s=0.01, token_s=0.0, interrupts=False, max_context=8192):
        self.clock, self.pass_s = ManualClock(), pass_s
        self.engine = CountingEngine(write, clock=self.clock, pass_s=pass_s, max_sequences=n, max_context=max_context)
        self.engine.interrupts = interrupts
        self.verifier = ScriptedVerifier(lambda beam, index: 0.5, clock=self.clock, token_s=token_s)
        spec = SolverSpec(
            "scripted", Path("scripted.gguf"), mean_solution_tokens=NUM_TOKENS, mean_step_tokens=5, max_tokens=8000
        )
        self.pipeline = Pipeline(spec, self.engine, self.verifier, "scripted", clock=self.clock)
        self.shared = SharedPipeline(self.pipeline)
        self.endings = {}
        self.most_drafts = 0

    def submit(self, text="how many apples", **asked):
        return self.shared.submit(text, Asked(**asked))

    def turn(self, count=1):
        for _ in range(count):
            self.endings |= dict(self.shared.turn())
            self.most_drafts = max(self.most_drafts, len(self.shared._driver._owners))

    def run(self):
        """Goes on until all have ended; their endings by ticket, in the order in which they ended."""
        for _ in range(100_000):
            if not self.shared.num_open:
                return self.endings
            self.turn()
        raise AssertionError("it never came to an end")

    def assert_nothing_is_left(self):
        assert self.engine.nodes == set()
        assert not self.engine._running
        assert not self.engine._queue
        assert self.verifier.nodes == set()


def texts(solution):
    return sorted(candidate.beam.text for candidate in solution.candidates)


# -- who begins --------------------------------------------------------------------------------------------------------


def test_the_earliest_deadline_comes_first():
    world = World(n=4)  # two problems at a time
    tickets = {budget_s: world.submit(strategy="greedy", budget_s=budget_s) for budget_s in (10, 8, 9, 7)}
    world.turn()
    assert world.shared.num_waiting == 2
    assert list(world.run()) == [tickets[budget_s] for budget_s in (7, 8, 9, 10)]


def test_one_that_becomes_urgent_later_is_not_overtaken_for_ever():
    world = World(n=1)  # one problem at a time
    patient = world.submit(strategy="greedy", budget_s=2.0)
    for _ in range(40):  # each of them takes 0.16 s, and all have less time than the first at first
        world.submit(strategy="greedy", budget_s=1.0)
        world.turn(NUM_TOKENS + 2)
        if patient in world.endings:
            break
    assert world.endings[patient].answer is not None


def test_a_problem_alone_has_the_whole_engine_and_others_share_it_fairly():
    world = World(n=31)
    alone = world.submit(budget_s=0.5, strategy="best_of_n")
    assert world.run()[alone].strategy.n == 28  # one place for its prompt, two for whoever comes next
    four = [world.submit(budget_s=5.0, strategy="best_of_n") for _ in range(4)]
    endings = world.run()
    assert [endings[ticket].strategy.n for ticket in four] == [6] * 4


def test_a_width_that_was_asked_for_is_kept_where_there_is_room_and_else_said():
    world = World(n=18)
    small, large = (world.submit(budget_s=5.0, strategy="best_of_n", n=n) for n in (4, 12))
    endings = world.run()
    assert (endings[small].strategy.n, endings[small].warnings) == (4, ())
    assert endings[large].strategy.n == 7
    assert endings[large].warnings == ("best_of_n with n=7 ran instead: other problems share the engine",)


def test_a_newcomer_begins_at_once_and_a_planned_solve_leaves_its_share_to_it():
    world = World(n=16)
    world.submit(budget_s=1000.0, confidence=None)
    world.turn(NUM_TOKENS // 2)
    assert world.shared._driver.num_free == 2
    world.submit(budget_s=1000.0, confidence=None)
    world.turn()
    assert world.shared.num_waiting == 0
    world.turn(4 * NUM_TOKENS)
    assert [job.num_places for job in world.shared._driver._jobs.values()] == [7, 7]


def test_a_search_that_never_ends_does_not_keep_others_from_beginning():
    world = World(n=16)
    world.submit(ENDLESS, budget_s=1000.0, strategy="best_of_n")
    world.turn(3)
    tickets = [world.submit(budget_s=1.0, strategy="greedy") for _ in range(3)]
    world.turn(90)
    assert [world.endings[ticket].answer is not None for ticket in tickets] == [True] * 3


def test_a_planned_solve_is_wide_again_once_the_others_have_ended():
    world = World(n=16)
    world.submit(ENDLESS, budget_s=1.0, strategy="best_of_n", n=12)
    ticket = world.submit(budget_s=3.0, confidence=None)
    waves = world.run()[ticket].plan.waves
    assert waves[0].strategy.n < 8
    assert max(wave.strategy.n for wave in waves if wave.started_s > 1.0) >= 8


def test_a_deadline_that_passes_while_a_problem_waits_ends_it_unanswered():
    world = World(n=1)
    first = world.submit(ENDLESS, budget_s=1.0, strategy="greedy")
    world.turn()
    late = world.submit(Problem("how many", "late"), budget_s=0.1)
    found = world.run()[late]
    assert (found.answer, found.finish, found.id, found.strategy.n) == (None, "deadline", "late", 0)
    assert found.usage.decoded_tokens == 0
    assert found.wall_s <= 0.1 + world.pass_s
    assert found.warnings == ("nothing was drawn: it waited for room until its end (problems under way: 1)",)
    assert world.endings[first].usage.decoded_tokens > 50


# -- everyone for themselves -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "asked", "kind"),
    [
        ("so many apples " * 3000, {}, ContextOverflow),
        ("how many", {"strategy": "no such thing"}, UsageError),
        ("how many", {"n": 1000}, UsageError),
        ("how many", {"strategy": "dvts", "n": 6}, UsageError),
    ],
)
def test_one_that_cannot_be_solved_as_asked_fails_alone(text, asked, kind):
    world = World()
    good = [world.submit(strategy="best_of_n", n=2, budget_s=5.0) for _ in range(2)]
    bad = world.submit(text, budget_s=5.0, **asked)
    endings = world.run()
    assert isinstance(endings[bad].error, kind)
    assert all(endings[ticket].answer for ticket in good)
    world.assert_nothing_is_left()


def test_a_strategy_that_its_verifier_does_not_suit_leaves_nothing_behind(monkeypatch):
    world = World()
    info = world.verifier.info
    world.verifier.info = type(info)(info.name, info.num_params, info.device, is_outcome=True)
    bad = world.submit(strategy="beam", budget_s=5.0)
    good = world.submit(strategy="best_of_n", budget_s=5.0)
    assert isinstance(world.run()[bad].error, UsageError)
    assert world.endings[good].answer
    world.assert_nothing_is_left()


def test_an_engine_that_fails_fails_those_under_way_and_not_those_that_wait(monkeypatch):
    world = World(n=1)
    first = world.submit(strategy="greedy", budget_s=5.0)
    world.turn()
    second = world.submit(strategy="greedy", budget_s=6.0)
    with monkeypatch.context() as patched:
        patched.setattr(world.engine, "advance", lambda deadline: (_ for _ in ()).throw(EdgesearchError("no room")))
        world.turn()
    assert str(world.endings[first].error) == "no room"
    assert world.run()[second].answer
    world.assert_nothing_is_left()


def test_cancelling_one_ends_it_with_its_best_and_leaves_the_others_as_they_are():
    def solutions(is_cancelled):
        world = World()
        tickets = [world.submit(f"how many {i}", strategy="best_of_n", n=2, budget_s=5.0) for i in range(3)]
        world.turn(NUM_TOKENS // 2)
        if is_cancelled:
            world.shared.cancel(tickets[1])
            world.turn()
            assert list(world.endings) == [tickets[1]]
            assert world.endings[tickets[1]].finish == "deadline"
        endings = world.run()
        world.shared.cancel(tickets[1])  # of one that has come back: ignored
        world.assert_nothing_is_left()
        return [texts(endings[tickets[i]]) for i in (0, 2)]

    assert solutions(is_cancelled=True) == solutions(is_cancelled=False)


def test_one_that_waits_can_be_cancelled():
    world = World(n=1)
    world.submit(strategy="greedy", budget_s=5.0)
    waiting = world.submit(strategy="greedy", budget_s=6.0)
    world.turn()
    world.shared.cancel(waiting)
    world.turn()
    assert world.endings[waiting].answer is None


def test_each_draws_what_it_would_draw_alone():
    def run(concurrency):
        world = World(n=8 * 5 + 2)
        world.shared.close()
        problems = [f"how many {i}" for i in range(8)]
        asked = Asked(budget_s=60.0, strategy="best_of_n", n=4)
        found = dict(solve_all(world.pipeline, problems, asked, concurrency=concurrency))
        world.assert_nothing_is_left()
        return [(found[i].answer, texts(found[i]), found[i].usage.decoded_tokens) for i in range(8)]

    assert run(1) == run(4) == run(8)


def test_the_same_problems_at_the_same_times_end_in_the_same_way():
    def run():
        world = World(n=12, token_s=0.001)
        for i in range(6):
            world.submit(f"how many {i}", budget_s=0.4 + 0.1 * i, seed=i)
            world.turn(3)
        return {ticket: (found.answer, texts(found), found.wall_s) for ticket, found in world.run().items()}

    assert run() == run()


# -- deadlines ---------------------------------------------------------------------------------------------------------


def test_one_slow_call_of_the_verifier_does_not_overrun_another_one_s_deadline():
    world = World(n=12, token_s=0.01)  # a solution takes 0.16 s to judge
    judged = world.submit(strategy="best_of_n", n=8, budget_s=100.0)
    short = world.submit(ENDLESS, strategy="greedy", budget_s=0.3)
    endings = world.run()
    assert endings[short].wall_s <= 0.3
    assert len({candidate.score for candidate in endings[judged].candidates}) == 1  # all of them have theirs
    assert endings[judged].candidates[0].score is not None


def test_many_that_end_at_once_all_end_in_time_with_their_scores():
    world = World(n=63, token_s=0.0005)
    tickets = [world.submit(f"how many {i}", budget_s=1.0, confidence=None) for i in range(12)]
    endings = world.run()
    assert all(endings[ticket].wall_s <= 1.0 for ticket in tickets)
    assert all(endings[ticket].answer is not None for ticket in tickets)
    assert not any("no time to score" in warning for ticket in tickets for warning in endings[ticket].warnings)


def test_problems_that_end_together_leave_each_other_the_time_that_an_end_takes():
    world = World(n=63)
    for i in range(4):
        world.submit(f"how many {i}", budget_s=1.0, strategy="greedy")
    world.submit("how many", budget_s=2.0, strategy="greedy")
    world.turn()
    kept = sorted(job.reserve_s for job in world.shared._driver._jobs.values())
    assert kept == pytest.approx([0.008, 0.008, 0.010, 0.012, 0.014])


def test_a_deadline_in_the_middle_of_a_pass_does_not_cost_the_others_that_pass():
    world = World(n=16, interrupts=True)
    others = [world.submit(ENDLESS, strategy="greedy", budget_s=0.1033 + 0.0371 * i) for i in range(5)]
    world.submit(ENDLESS, strategy="greedy", budget_s=0.5033)
    endings = world.run()
    assert world.engine.num_interrupted == 1  # the last one's own, which nobody shares
    assert all(endings[ticket].wall_s > endings[ticket].budget_s - 2 * world.pass_s for ticket in others)


def test_a_solve_that_had_time_for_one_greedy_draft_only_goes_on_with_votes_that_need_no_scores():
    world = World(n=16)
    world.pipeline._meter.slowdown = 20.0  # believed to be slow when it begins, and then it is not
    ticket = world.submit(budget_s=3.0, confidence=None)
    solution = world.run()[ticket]
    assert solution.plan.waves[0].strategy.name == "greedy"
    assert {wave.strategy.name for wave in solution.plan.waves[1:]} == {"majority"}
    assert solution.answer is not None


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 24),
    pass_s=st.sampled_from([0.001, 0.01, 0.05]),
    token_s=st.sampled_from([0.0, 0.00001]),
    arrivals=st.lists(
        st.tuples(
            st.integers(0, 30),
            st.integers(1, 200),
            st.sampled_from(["auto", "greedy", "best_of_n", "beam", "majority"]),
            st.booleans(),
        ),
        min_size=1,
        max_size=12,
    ),
)
def test_whoever_comes_when_all_end_in_time_and_those_with_enough_of_it_answer(n, pass_s, token_s, arrivals):
    world = World(n=n, pass_s=pass_s, token_s=token_s)
    budgets = {}
    for gap, num_passes, strategy, is_endless in arrivals:
        world.turn(gap)
        text = ENDLESS if is_endless and strategy == "greedy" else f"how many {len(budgets)}"
        ticket = world.submit(text, budget_s=num_passes * pass_s, strategy=strategy, confidence=None)
        budgets[ticket] = num_passes, text
    endings = world.run()
    assert endings.keys() == budgets.keys()
    for ticket, (num_passes, text) in budgets.items():
        found = endings[ticket]
        assert isinstance(found, Solution)
        assert found.wall_s <= (num_passes + 1) * pass_s + 1e-9
        # Two solutions one after the other: the one that made room, and its own. There is room for all side by side.
        if 2 * len(arrivals) <= n and num_passes >= 4 * NUM_TOKENS and text != ENDLESS:
            assert found.answer is not None
    world.assert_nothing_is_left()
    assert world.most_drafts <= max(2, n)
    assert world.engine.most_sequences <= 2 * n + 4


# -- beginning and end -------------------------------------------------------------------------------------------------


def test_closing_drops_what_is_under_way_and_gives_the_pipeline_back():
    world = World()
    world.submit(budget_s=5.0)
    world.turn(3)
    with pytest.raises(UsageError, match="several problems share this pipeline"):
        world.pipeline.solve("how many")
    with pytest.raises(UsageError, match="shared already"):
        SharedPipeline(world.pipeline)
    world.shared.close()
    world.shared.close()
    world.assert_nothing_is_left()
    with pytest.raises(UsageError, match="this sharing of a pipeline is closed"):
        world.shared.submit("how many")
    assert world.pipeline.solve("how many", budget_s=1.0).answer is not None
    world.pipeline.close()
    with pytest.raises(UsageError, match="this pipeline is closed"):
        SharedPipeline(world.pipeline)


def test_progress_is_told_of_whoever_has_not_ended():
    world = World(n=1)
    running = world.submit(strategy="greedy", budget_s=5.0)
    waiting = world.submit(strategy="greedy", budget_s=6.0)
    world.turn(3)
    assert world.shared.progress(running).decoded_tokens == 0  # told by draft
    assert len(world.shared.progress(running).beams) == 1
    assert world.shared.progress(waiting).seconds_left == pytest.approx(6.0 - 3 * world.pass_s)
    world.run()
    assert world.shared.progress(running) is None


@pytest.mark.parametrize("budget_s", [0.0, -1.0, float("nan"), float("inf")])
def test_a_budget_that_is_none_is_refused_at_once(budget_s):
    world = World()
    with pytest.raises(UsageError, match="budget must be"):
        world.submit(budget_s=budget_s)
    assert world.shared.num_open == 0


def test_solving_all_takes_problems_only_as_they_can_begin():
    world = World()
    world.shared.close()
    taken = []

    def problems():
        for i in range(7):
            taken.append(i)
            yield f"how many {i}"

    endings = solve_all(world.pipeline, problems(), Asked(budget_s=5.0, strategy="greedy"), concurrency=3)
    next(endings)
    assert len(taken) == 3
    assert sorted([0, *(place for place, _ in endings)])[1:] == sorted(place for place in range(1, 7))
    with pytest.raises(UsageError, match="concurrency must be >= 1, not 0"):
        next(solve_all(world.pipeline, [], concurrency=0))
    assert list(solve_all(world.pipeline, [])) == []


# -- the built-in models -----------------------------------------------------------------------------------------------


def test_twelve_problems_at_once_are_all_answered_and_each_prompt_is_read_once():
    samples = held_out(3, 12)
    with edgesearch.load() as pipeline:
        found = dict(solve_all(pipeline, [each.problem for each in samples], Asked(budget_s=20.0), concurrency=12))
        assert pipeline.solve(samples[0].problem, budget_s=20.0).answer is not None
    assert not any(isinstance(ending, Failed) for ending in found.values())
    assert all(found[i].usage.prefilled_tokens == found[i].usage.prompt_tokens for i in range(12))
    assert sum(grade(sample, found[i].answer) for i, sample in enumerate(samples)) >= 9

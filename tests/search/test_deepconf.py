"""DeepConf: which traces are drawn to their end, and what their votes weigh."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

import edgesearch
from edgesearch import search
from edgesearch.budget import Budget, ManualClock
from edgesearch.choice import choose
from edgesearch.driver import Driver
from edgesearch.engines.scripted import Doubt, ScriptedEngine, Writer
from edgesearch.jobs import Job, JobResult
from edgesearch.search.base import Expand, SearchConfig
from edgesearch.search.confidence import lowest_confidence
from edgesearch.search.deepconf import (
    DeepConfOnlineOptions,
    DeepConfOptions,
    deepconf,
    deepconf_online,
    has_fallen,
    num_warmup,
    rounds_online,
    weigh,
    weigh_online,
)
from edgesearch.tasks.arithmetic import held_out
from edgesearch.types import Beam, Candidate, Certainty, Finish, Prompt, Sampling, Step

ROOT = Beam(Prompt("2 + 2?"))
FOUR = SearchConfig(n=4)


def sure(*confidences: float, finish: Finish = "stop") -> Step:
    zeros = (0.0,) * len(confidences)
    certainty = Certainty(zeros, zeros, zeros, confidences)
    return Step("x\n\n", tuple(range(len(confidences))), -1.0, finish, certainty=certainty)


def trace(*confidences: float, stated: str | None = "4", proof: bool | None = None) -> Candidate:
    beam = Beam(ROOT.prompt, (sure(*confidences),), proof=proof)
    return Candidate(beam, stated, None)


# -- offline -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 16])
def test_offline_it_asks_for_n_whole_solutions(n: int) -> None:
    drawing = deepconf(ROOT, SearchConfig(n=n), DeepConfOptions())
    assert next(drawing) == Expand([ROOT] * n, is_to_end=True)
    with pytest.raises(StopIteration):
        drawing.send([])


def test_the_most_confident_share_votes_with_its_confidence() -> None:
    traces = [trace(5.0, 1.0), trace(4.0, 4.0), trace(9.0, 2.0), trace(3.0, 3.0)]
    assert weigh(traces, FOUR, DeepConfOptions(keep=0.5, window=1)) == [0.0, 4.0, 0.0, 3.0]
    assert weigh(traces, FOUR, DeepConfOptions(keep=0.5, window=2)) == [0.0, 4.0, 5.5, 0.0]
    assert weigh(traces, FOUR, DeepConfOptions(keep=1.0, window=1)) == [1.0, 4.0, 2.0, 3.0]
    assert weigh(traces, FOUR, DeepConfOptions(keep=0.01, window=1)) == [0.0, 4.0, 0.0, 0.0]


def test_traces_without_a_vote_take_no_share_of_those_that_are_kept() -> None:
    silent, wrong = trace(9.0, stated=None), trace(8.0, proof=False)
    traces = [silent, trace(1.0), wrong, trace(2.0)]
    assert weigh(traces, FOUR, DeepConfOptions(keep=0.5, window=1)) == [0.0, 0.0, 0.0, 2.0]
    assert weigh([silent, wrong], FOUR, DeepConfOptions()) == [0.0, 0.0]
    assert weigh([], FOUR, DeepConfOptions()) == []


def test_the_window_is_a_tenth_of_the_mean_length_by_default() -> None:
    doubtful, even = trace(*[5.0] * 28, 0.0, 5.0), trace(*[4.0] * 10)  # 20 tokens on average
    assert weigh([doubtful, even], FOUR, DeepConfOptions(keep=1.0)) == [2.5, 4.0]
    assert weigh([trace(5.0, 1.0)], FOUR, DeepConfOptions()) == [1.0]


def test_one_confident_trace_outvotes_two_that_are_not() -> None:
    traces = [trace(1.0, stated="5"), trace(1.5, stated="5"), trace(4.0, stated="4")]
    weights = weigh(traces, FOUR, DeepConfOptions(keep=1.0))
    weighed = [
        Candidate(each.beam, each.answer, None, weight=weight) for each, weight in zip(traces, weights, strict=True)
    ]
    choice = choose(weighed, "confident")
    assert choice.candidate is weighed[2]
    assert choice.confidence == pytest.approx(4 / 6.5)
    assert choose(weighed, "majority").candidate is weighed[0]


# -- online ------------------------------------------------------------------------------------------------------------


class Online:
    """An online search that is answered by hand."""

    def __init__(self, n: int, warm: Sequence[Step], options: DeepConfOnlineOptions) -> None:
        self.search = deepconf_online(ROOT, SearchConfig(n=n), options)
        self.first = next(self.search)
        self.request = self.search.send([ROOT.grown((step,)) for step in warm])

    def turn(self, *steps: Step) -> list[Beam]:
        """Grows the traces by these steps; those that go on."""
        assert isinstance(self.request, Expand)
        grown = [beam.grown((step,)) for beam, step in zip(self.request.beams, steps, strict=True)]
        self.request = self.search.send(grown)
        assert isinstance(self.request, Expand)
        return list(self.request.beams)


def on(*confidences: float) -> Step:
    return sure(*confidences, finish="step")


def test_online_the_first_traces_are_drawn_to_their_end_and_the_others_step_by_step() -> None:
    online = Online(8, [sure(3.0), sure(3.0)], DeepConfOnlineOptions())
    assert online.first == Expand([ROOT] * 2, is_to_end=True, keep=[ROOT])
    assert online.request == Expand([ROOT] * 6)


def test_a_trace_that_falls_under_the_threshold_is_given_up() -> None:
    online = Online(5, [sure(3.0), sure(2.0)], DeepConfOnlineOptions(keep=1.0, window=1, warmup=2))
    left = online.turn(on(2.5), on(1.9), on(2.0))
    assert [beam.steps[0].certainty.confidences for beam in left if beam.steps[0].certainty] == [(2.5,), (2.0,)]
    assert [len(beam.steps) for beam in online.turn(on(9.0), on(0.1))] == [2]


def test_a_trace_that_fell_once_stays_fallen_though_its_later_tokens_are_sure() -> None:
    online = Online(3, [sure(3.0)], DeepConfOnlineOptions(keep=1.0, window=1, warmup=1))
    assert len(online.turn(on(9.0, 2.9, 9.0), on(3.0))) == 1


def test_a_trace_shorter_than_the_window_cannot_fall() -> None:
    online = Online(3, [sure(3.0, 3.0, 3.0)], DeepConfOnlineOptions(keep=1.0, window=3, warmup=1))
    assert len(online.turn(on(0.1), on(0.1, 0.1))) == 2
    assert len(online.turn(on(8.9, 0.1), on(0.1))) == 1
    assert not has_fallen(ROOT, 1, 5.0)


def test_finished_traces_leave_and_the_search_ends_with_the_last_of_them() -> None:
    online = Online(3, [sure(3.0)], DeepConfOnlineOptions(keep=1.0, window=1, warmup=1))
    assert len(online.turn(sure(9.0), on(3.0))) == 1
    with pytest.raises(StopIteration):
        online.turn(sure(0.1))


def test_the_search_ends_where_all_others_have_fallen() -> None:
    online = Online(3, [sure(3.0)], DeepConfOnlineOptions(keep=1.0, window=1, warmup=1))
    with pytest.raises(StopIteration):
        online.turn(on(1.0), on(1.0))


@pytest.mark.parametrize(("n", "warmup"), [(1, 0), (1, 16), (4, 4), (4, 9)])
def test_with_no_traces_but_the_first_it_draws_them_and_ends(n: int, warmup: int) -> None:
    drawing = deepconf_online(ROOT, SearchConfig(n=n), DeepConfOnlineOptions(warmup=warmup))
    assert next(drawing) == Expand([ROOT] * n, is_to_end=True, keep=[])
    with pytest.raises(StopIteration):
        drawing.send([ROOT.grown((sure(1.0),))] * n)


def test_without_room_for_the_first_traces_the_others_are_still_tried() -> None:
    assert Online(4, [], DeepConfOnlineOptions()).request == Expand([ROOT] * 3)


@pytest.mark.parametrize(("n", "expected"), [(1, 1), (2, 1), (4, 1), (8, 2), (16, 4), (64, 16)])
def test_a_quarter_is_drawn_first_by_default(n: int, expected: int) -> None:
    assert num_warmup(SearchConfig(n=n), DeepConfOnlineOptions()) == expected


def test_it_lasts_two_solutions_unless_there_are_none_but_the_first() -> None:
    assert rounds_online(SearchConfig(n=8), DeepConfOnlineOptions()) == 2.0
    assert rounds_online(SearchConfig(n=1), DeepConfOnlineOptions()) == 1.0
    assert rounds_online(SearchConfig(n=8), DeepConfOnlineOptions(warmup=8)) == 1.0


def test_online_the_threshold_is_that_of_the_first_traces_alone() -> None:
    traces = [trace(3.0), trace(5.0), trace(4.9), trace(9.0)]
    options = DeepConfOnlineOptions(keep=0.1, window=1, warmup=2)
    assert weigh_online(traces, FOUR, options) == [0.0, 5.0, 4.9, 9.0]
    options = DeepConfOnlineOptions(keep=1.0, window=1, warmup=2)
    assert weigh_online([*traces, trace(2.9)], FOUR, options) == [3.0, 5.0, 4.9, 9.0, 0.0]
    assert weigh_online([], FOUR, options) == []


# -- run by the driver -------------------------------------------------------------------------------------------------


def run(name: str, write: Writer, doubt: Doubt, n: int, **own: float) -> tuple[JobResult, ScriptedEngine]:
    """The search over a scripted engine."""
    clock = ManualClock()
    engine = ScriptedEngine(write, clock=clock, pass_s=0.01, doubt=doubt)
    driver = Driver(engine, None)
    strategy = search.strategy(name)
    driver.submit(
        Job(
            prompt=Prompt("how many"),
            strategy=strategy,
            config=SearchConfig(n=n),
            sampling=Sampling(),
            deadline=Budget(1000.0).start(clock),
            max_tokens=1000,
            options=strategy.options(**own),
        )
    )
    while True:
        for _, result in driver.turn():
            return result, engine


def write_steps(beam: Beam, seed: int) -> str:
    steps = ["one two\n\n", "three four\n\n", f"so \\boxed{{{seed % 2}}}"]
    return "".join(steps[len(beam.steps) :])


def test_a_trace_that_was_given_up_is_no_candidate_and_costs_nothing_more() -> None:
    def doubt(seed: int, place: int) -> float:
        return 1.0 if seed % 2 and place > 3 else 5.0

    offline, _ = run("deepconf", write_steps, doubt, 32)
    answers = [candidate.answer for candidate in offline.candidates]
    assert {"0", "1"} <= set(answers[:16])
    online, engine = run("deepconf_online", write_steps, doubt, 32, window=1, warmup=16, keep=0.1)
    assert [each.answer for each in online.candidates] == answers[:16] + [each for each in answers[16:] if each == "0"]
    num_fallen = answers[16:].count("1")
    saved = offline.usage.decoded_tokens - online.usage.decoded_tokens
    assert saved == num_fallen * 4  # the last step's: three words or spaces and the end of turn
    assert engine.nodes == set()


def test_what_a_trace_says_of_itself_decides_the_vote() -> None:
    result, _ = run("deepconf", write_steps, lambda seed, place: 9.0 if seed % 2 else 1.0, 16)
    weights = weigh(result.candidates, result.job.config, DeepConfOptions(keep=1.0))
    assert weights == [9.0 if each.answer == "1" else 1.0 for each in result.candidates]


# -- settings and the built-in models ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keep": 0.0}, r"keep must be in \(0, 1\], not 0\.0"),
        ({"keep": 1.1}, r"keep must be in \(0, 1\], not 1\.1"),
        ({"window": -1}, "window must be >= 0, not -1"),
    ],
)
@pytest.mark.parametrize("options", [DeepConfOptions, DeepConfOnlineOptions])
def test_a_setting_out_of_range_is_named(
    options: type[DeepConfOptions | DeepConfOnlineOptions], settings: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        options(**settings)  # type: ignore[arg-type]


def test_the_first_traces_cannot_be_fewer_than_none() -> None:
    with pytest.raises(ValueError, match="warmup must be >= 0, not -1"):
        DeepConfOnlineOptions(warmup=-1)


@pytest.mark.parametrize("n", [1, 4, 16])
def test_on_the_built_in_models_the_least_confident_traces_have_no_vote(n: int) -> None:
    hard = held_out(3, 100, "mixed")[-1]
    with edgesearch.load("nano", "none", max_n=16) as pipeline:
        drawn = pipeline.solve(hard.problem, budget_s=600, strategy="deepconf", n=n)
        online = pipeline.solve(hard.problem, budget_s=600, strategy="deepconf_online", n=n)
    weights = weigh(drawn.candidates, SearchConfig(n=n), DeepConfOptions(keep=0.5, window=8))
    confidences = [lowest_confidence(each.beam, 8) for each in drawn.candidates if each.answer is not None]
    in_vote = [weight for weight in weights if weight > 0]
    assert sorted(confidences)[-len(in_vote) :] == sorted(in_vote)
    assert len(in_vote) == 1 if n == 1 else 1 <= len(in_vote) < n
    assert len(online.candidates) <= len(drawn.candidates) == n
    assert online.usage.decoded_tokens <= drawn.usage.decoded_tokens

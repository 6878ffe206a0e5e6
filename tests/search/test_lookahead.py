"""Lookahead search: beam search by the value of greedy rollouts."""

from __future__ import annotations

import pytest
from searches import ROOT, Played, Scripted, grow, judge

import edgesearch
from edgesearch.search.base import Expand, Judge, SearchConfig
from edgesearch.search.beam import BeamOptions, beam_search
from edgesearch.search.lookahead import LookaheadOptions, lookahead, rounds
from edgesearch.tasks.arithmetic import held_out
from edgesearch.types import Beam


def play(n: int, m: int, k: int = 1, aggregator: edgesearch.types.Aggregator = "last") -> Played:
    return Played(lookahead(ROOT, SearchConfig(n=n, m=m, aggregator=aggregator), LookaheadOptions(k)))


def test_beams_are_ranked_by_where_greedy_rollouts_from_them_end() -> None:
    search = play(4, 2, k=2)
    judged = search.turn([0.1, 0.2, 0.8, 0.9])
    assert search.request == Expand(judged, num_steps=2, temperature=0.0, keep=judged, is_rollout=True)
    search.turn([0.7, 0.6, 0.5, 0.4])
    assert search.request == Expand([judged[0], judged[0], judged[1], judged[1]])


def test_children_grow_from_the_beam_and_not_from_its_rollout() -> None:
    search = play(4, 2)
    search.turn([0.1, 0.2, 0.8, 0.9])
    search.turn([0.7, 0.6, 0.5, 0.4])
    assert [len(beam.steps) for beam in search.frontier] == [1] * 4
    assert [beam.scores for beam in search.frontier] == [(0.1,), (0.1,), (0.2,), (0.2,)]


@pytest.mark.parametrize(("aggregator", "best"), [("last", 1), ("min", 0), ("mean", 1), ("prod", 1)])
def test_a_rollout_s_value_is_the_aggregate_of_all_its_steps(aggregator, best: int) -> None:
    search = play(2, 2, aggregator=aggregator)
    judged = search.turn([0.6, 0.5])
    search.turn([0.6, 0.9])
    assert search.frontier == [judged[best]] * 2


def test_a_rollout_that_ends_the_solution_counts_by_its_end() -> None:
    search = play(2, 2, k=3)
    judged = search.turn([0.1, 0.9])
    search.turn([0.8, 0.7], ["stop", "length"])
    assert search.frontier == [judged[0]] * 2


def test_finished_beams_need_no_rollout() -> None:
    search = play(4, 2)
    judged = search.turn([0.9, 0.1, 0.5, 0.7], ["stop", "step", "length", "step"])
    assert search.frontier == [judged[1], judged[3]]


def test_identical_beams_share_one_rollout() -> None:
    search = play(4, 2)
    twins = grow([ROOT]) * 3 + grow([ROOT])
    search.search.send(twins)
    twin, other = judge(twins[:1], [0.1])[0], judge(twins[3:], [0.8])[0]
    search.request = search.search.send([twin, twin, twin, other])
    assert search.frontier == [twin, other]
    search.turn([0.9, 0.8])
    assert search.frontier == [twin, twin, other, other]


def test_a_beam_with_nobody_to_be_compared_with_needs_no_rollout() -> None:
    search = play(2, 2)
    judged = search.turn([0.1, 0.9], ["step", "stop"])
    assert search.request == Expand([judged[0]])
    alone = play(1, 1)
    judged = alone.turn([0.1])
    assert alone.request == Expand(judged)


def test_it_ends_when_all_beams_end_at_once() -> None:
    search = play(4, 2)
    with pytest.raises(StopIteration):
        search.turn([0.9, 0.1, 0.5, 0.7], ["stop", "length", "stop", "stop"])


def test_it_can_be_closed_during_a_rollout() -> None:
    search = play(4, 2)
    search.turn([0.1, 0.2, 0.3, 0.4])
    search.search.close()
    with pytest.raises(StopIteration):
        next(search.search)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 4), (4, 2), (7, 3)])
def test_no_lookahead_is_beam_search(n: int, m: int) -> None:
    config = SearchConfig(n=n, m=m)
    searches = lookahead(ROOT, config, LookaheadOptions(k=0)), beam_search(ROOT, config, BeamOptions())
    requests = [next(search) for search in searches]
    for scores in ([0.3, 0.9, 0.5, 0.7, 0.1, 0.2, 0.8], [0.5] * 7):
        assert requests[0] == requests[1]
        assert isinstance(requests[0], Expand)
        grown = grow(requests[0].beams)
        assert [search.send(grown) for search in searches] == [Judge(grown)] * 2
        judged = judge(grown, scores[:n])
        requests = [search.send(judged) for search in searches]
    assert requests[0] == requests[1]


def test_a_negative_k_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^k must be >= 0, not -1$"):
        LookaheadOptions(k=-1)


@pytest.mark.parametrize(("n", "k", "expected"), [(16, 0, 1), (16, 3, 4), (1, 3, 1)])
def test_it_lasts_k_steps_longer_for_every_step(n: int, k: int, expected: float) -> None:
    assert rounds(SearchConfig(n=n, m=1), LookaheadOptions(k)) == expected


# -- over scripted models ----------------------------------------------------------------------------------------------


def write_one_of_two(beam: Beam, seed: int) -> str:
    """One way starts well and ends badly, the other the other way round; the first step decides."""
    is_late = "late" in beam.text if beam.steps else seed % 2
    steps = ["late bloomer\n\n", "so\n\n", r"\boxed{7}"] if is_late else ["early star\n\n", "hm\n\n", r"\boxed{5}"]
    return "".join(steps[len(beam.steps) :])


def score(beam: Beam, index: int) -> float:
    is_late = "late" in beam.text
    return ((0.2, 0.9, 0.9) if is_late else (0.8, 0.1, 0.1))[index]


def test_it_keeps_what_beam_search_drops() -> None:
    beam, ahead = (Scripted(write_one_of_two, name, n=8, m=8, score=score) for name in ("beam", "lookahead"))
    assert {candidate.answer for candidate in beam.result.candidates} == {"5"}
    assert {candidate.answer for candidate in ahead.result.candidates} == {"7"}


def write(beam: Beam, seed: int) -> str:
    """A solution of 2 to 5 steps, each with the seed's mark."""
    rest = [f"step {index} of s{seed % 11}\n\n" for index in range(1 + seed % 4)][len(beam.steps) :]
    return "".join(rest) + rf"\boxed{{{seed % 11}}}"


@pytest.mark.parametrize("k", [1, 2, 100])
def test_each_step_of_beams_and_rollouts_is_verified_once(k: int) -> None:
    run = Scripted(write, "lookahead", n=8, m=2, options=LookaheadOptions(k))
    assert len(run.verifier.judged_nodes) == len(set(run.verifier.judged_nodes))
    assert run.result.usage.verified_tokens <= run.result.usage.decoded_tokens
    assert run.engine.nodes == run.verifier.nodes == set()


def test_rollouts_are_no_candidates() -> None:
    run = Scripted(write, "lookahead", n=8, m=2, options=LookaheadOptions(k=100))
    assert len(run.result.candidates) <= 8


def test_it_draws_and_verifies_at_most_k_more_steps_for_each() -> None:
    def long(beam: Beam, seed: int) -> str:
        return f"s{seed % 1000}\n\n" * (5 - len(beam.steps)) + r"\boxed{1}"

    plain = Scripted(long, "beam", n=8, m=2).result.usage
    for k in (1, 3):
        usage = Scripted(long, "lookahead", n=8, m=2, options=LookaheadOptions(k)).result.usage
        assert plain.decoded_tokens < usage.decoded_tokens <= (k + 1) * plain.decoded_tokens
        assert plain.verified_tokens < usage.verified_tokens <= (k + 1) * plain.verified_tokens


def test_a_child_drawn_like_its_parent_s_rollout_goes_on() -> None:
    def same(beam: Beam, seed: int) -> str:
        first = [] if beam.steps else [f"start {seed % 3}\n\n"]
        return "".join([*first, *["and on\n\n"] * (4 - max(1, len(beam.steps))), r"\boxed{1}"])

    run = Scripted(same, "lookahead", n=6, m=2)
    assert {candidate.answer for candidate in run.result.candidates} == {"1"}
    assert not run.result.is_cut


@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.8])
def test_a_deadline_in_the_middle_is_met(share: float) -> None:
    whole = Scripted(write, "lookahead", n=8, m=2, token_s=0.001)
    cut = Scripted(write, "lookahead", n=8, m=2, token_s=0.001, budget_s=share * whole.wall_s)
    assert cut.result.is_cut
    assert cut.wall_s <= share * whole.wall_s + 0.02


# -- on the built-in models --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pipeline():
    with edgesearch.load(check=False) as loaded:
        yield loaded


PROBLEM = held_out(seed=0, count=21)[20].problem


@pytest.mark.parametrize("n", [1, 4, 16])
@pytest.mark.parametrize("k", [0, 1, 3])
def test_it_answers_on_the_built_in_models(pipeline, n: int, k: int) -> None:
    solution = pipeline.solve(PROBLEM, budget_s=60, strategy="lookahead", n=n, options={"k": k})
    assert solution.answer is not None
    assert solution.warnings == ()
    assert solution.strategy.options == {"k": k}
    assert solution.usage.verified_tokens <= 1.05 * solution.usage.decoded_tokens


def test_one_beam_writes_what_one_sample_writes(pipeline) -> None:
    alone = pipeline.solve(PROBLEM, budget_s=60, strategy="sample", n=1, seed=3)
    ahead = pipeline.solve(PROBLEM, budget_s=60, strategy="lookahead", n=1, seed=3)
    assert ahead.text == alone.text
    assert ahead.usage.decoded_tokens == alone.usage.decoded_tokens

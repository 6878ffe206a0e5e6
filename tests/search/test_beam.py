"""Beam search, driven by hand: expand, judge, select, until every beam is finished."""

from __future__ import annotations

from collections import Counter

import pytest
from searches import ROOT, Played, Scripted, grow, judge

import edgesearch
from edgesearch import search
from edgesearch.errors import UsageError
from edgesearch.search.base import Expand, Judge, SearchConfig
from edgesearch.search.beam import BeamOptions, beam_search
from edgesearch.search.options import parse_options
from edgesearch.tasks.arithmetic import held_out


def play(n: int, m: int, **options: int) -> Played:
    return Played(beam_search(ROOT, SearchConfig(n=n, m=m), BeamOptions(**options)))


@pytest.mark.parametrize("n", [1, 2, 7, 16])
def test_it_starts_with_n_copies_of_the_problem(n: int) -> None:
    assert play(n, 4).request == Expand([ROOT] * n)


def test_the_best_are_branched_and_the_rest_dropped() -> None:
    search = play(4, 2)
    judged = search.turn([0.1, 0.9, 0.5, 0.7])
    assert search.frontier == [judged[1], judged[1], judged[3], judged[3]]
    judged = search.turn([0.2, 0.3, 0.4, 0.1])
    assert search.frontier == [judged[2], judged[2], judged[1], judged[1]]
    assert all(len(each.steps) == 2 for each in search.frontier)


def test_an_n_that_m_does_not_divide_keeps_fewer_and_gives_the_best_the_rest() -> None:
    search = play(7, 3)
    judged = search.turn([0.1, 0.9, 0.5, 0.7, 0.2, 0.3, 0.4])
    assert search.frontier == [judged[1]] * 4 + [judged[3]] * 3


def test_finished_beams_leave_and_shrink_the_width() -> None:
    search = play(4, 2)
    judged = search.turn([0.9, 0.1, 0.5, 0.7], ["stop", "step", "step", "step"])
    assert search.frontier == [judged[3]] * 3
    judged = search.turn([0.9, 0.1, 0.5], ["stop", "stop", "step"])
    assert search.frontier == [judged[2]]
    with pytest.raises(StopIteration):
        search.turn([0.9], ["stop"])


def test_a_beam_that_was_cut_off_by_its_length_leaves_too() -> None:
    search = play(3, 1)
    judged = search.turn([0.9, 0.1, 0.5], ["length", "step", "step"])
    assert search.frontier == [judged[2], judged[1]]


@pytest.mark.parametrize("granularity", [1, 2])
def test_it_ends_when_all_beams_end_at_once(granularity: int) -> None:
    search = play(4, 2, granularity=granularity)
    with pytest.raises(StopIteration):
        search.turn([0.9, 0.1, 0.5, 0.7], ["stop", "length", "stop", "stop"])


def test_one_beam_alone_is_a_plain_draft() -> None:
    search = play(1, 4)
    for length in range(1, 4):
        judged = search.turn([0.0])
        assert search.frontier == judged
        assert len(judged[0].steps) == length
    with pytest.raises(StopIteration):
        search.turn([0.0], ["stop"])


def test_more_children_than_beams_keep_the_best_one_at_full_width() -> None:
    search = play(3, 8)
    judged = search.turn([0.1, 0.2, 0.9])
    assert search.frontier == [judged[2]] * 3


def test_with_one_child_each_all_beams_go_on() -> None:
    search = play(3, 1)
    judged = search.turn([0.1, 0.2, 0.9])
    assert search.frontier == [judged[2], judged[1], judged[0]]


def test_beams_that_were_drawn_alike_count_once() -> None:
    search = play(4, 2)
    twins = grow([ROOT]) * 3 + grow([ROOT])
    search.search.send(twins)
    twin, other = judge(twins[:1], [0.9])[0], judge(twins[3:], [0.8])[0]
    search.request = search.search.send([twin, twin, twin, other])
    assert search.frontier == [twin, twin, other, other]


def test_only_the_new_step_of_each_beam_waits_for_a_score() -> None:
    search = play(2, 1)
    search.turn([0.5, 0.6])
    judged = search.turn([0.7, 0.8])
    assert [each.scores for each in judged] == [(0.6, 0.7), (0.5, 0.8)]


def test_fewer_replies_than_beams_narrow_the_search() -> None:
    search = play(4, 1)
    search.search.send(grow([ROOT] * 2))
    search.request = search.search.send(judge(grow([ROOT] * 2), [0.1, 0.2]))
    assert len(search.frontier) == 2
    assert search.search.send([]) == Judge([])
    with pytest.raises(StopIteration):
        search.search.send([])


def test_it_can_be_closed_at_any_moment() -> None:
    search = play(4, 2)
    search.turn([0.1, 0.2, 0.3, 0.4])
    search.search.close()
    with pytest.raises(StopIteration):
        next(search.search)


# -- deduplication -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("is_on", "kept"), [(False, [3, 0]), (True, [3, 2])])
def test_beams_of_one_text_count_once_if_asked_for(is_on: bool, kept: list[int]) -> None:
    search = play(4, 2, deduplicate=is_on)
    search.expand(texts=["a  b\n\n", "a\tb \n\n", "c d\n\n", " a b\n\n"])
    judged = search.judge([0.8, 0.7, 0.6, 0.9])
    assert search.frontier == [judged[index] for index in kept for _ in range(2)]


# -- granularity -------------------------------------------------------------------------------------------------------


def test_beams_are_compared_every_g_steps_and_branch_before_the_last_of_them() -> None:
    search = play(4, 2, granularity=3)
    assert (search.frontier, search.num_steps) == ([ROOT] * 4, 3)
    judged = search.turn([0.1, 0.9, 0.5, 0.7])
    assert (search.frontier, search.num_steps) == ([judged[1], judged[3]], 2)
    alone = search.turn([0.1, 0.2])
    assert (search.frontier, search.num_steps) == ([alone[0], alone[0], alone[1], alone[1]], 1)
    judged = search.turn([0.1, 0.2, 0.4, 0.3])
    assert (search.frontier, search.num_steps) == ([judged[2], judged[3]], 2)
    assert all(len(each.steps) == 6 for each in search.frontier)


def test_a_beam_that_ends_while_it_grows_alone_leaves_its_children_to_the_others_but_one() -> None:
    search = play(6, 2, granularity=2)
    judged = search.turn([0.1, 0.9, 0.5, 0.7, 0.2, 0.3])
    assert search.frontier == [judged[1], judged[3], judged[2]]
    alone = search.turn([0.5, 0.5, 0.5], ["step", "stop", "step"])
    assert search.frontier == [alone[0]] * 3 + [alone[2]] * 2


def test_it_ends_when_all_that_was_kept_ends_before_it_branches() -> None:
    search = play(4, 2, granularity=2)
    search.turn([0.1, 0.9, 0.5, 0.7])
    with pytest.raises(StopIteration):
        search.turn([0.5, 0.5], ["stop", "length"])


@pytest.mark.parametrize("granularity", [0, -1])
def test_a_granularity_out_of_range_is_refused(granularity: int) -> None:
    with pytest.raises(ValueError, match=rf"^granularity must be >= 1, not {granularity}$"):
        BeamOptions(granularity=granularity)


def test_options_are_read_from_text() -> None:
    beam = search.strategy("beam")
    assert parse_options(beam, {"granularity": "3", "deduplicate": "yes"}) == BeamOptions(3, deduplicate=True)
    with pytest.raises(UsageError, match="granularity must be >= 1, not 0"):
        parse_options(beam, {"granularity": "0"})


# -- over scripted models ----------------------------------------------------------------------------------------------


def write(beam: edgesearch.types.Beam, seed: int) -> str:
    """A solution of 3 to 6 steps, each with the seed's mark."""
    num_steps = 3 + seed % 4
    rest = [f"step {index} of s{seed % 7}\n\n" for index in range(num_steps)][len(beam.steps) :]
    return "".join(rest) + rf"\boxed{{{seed % 3}}}"


@pytest.mark.parametrize("granularity", [2, 3, 100])
def test_each_step_is_verified_once_whatever_the_granularity(granularity: int) -> None:
    run = Scripted(write, "beam", n=8, m=2, options=BeamOptions(granularity=granularity))
    assert len(run.verifier.judged_nodes) == len(set(run.verifier.judged_nodes))
    assert run.result.usage.verified_tokens <= run.result.usage.decoded_tokens


def test_a_granularity_that_no_solution_outlasts_is_best_of_n() -> None:
    wide = Scripted(write, "beam", n=8, m=2, options=BeamOptions(granularity=100))
    best_of_n = Scripted(write, "best_of_n", n=8, m=2)
    assert Counter(wide.texts) == Counter(best_of_n.texts)


def test_a_coarse_search_draws_fewer_tokens() -> None:
    fine, coarse = (
        Scripted(lambda beam, seed: write(beam, seed - seed % 4 + 3), "beam", n=8, m=4, options=BeamOptions(g))
        for g in (1, 3)
    )
    assert coarse.result.usage.decoded_tokens < fine.result.usage.decoded_tokens


# -- on the built-in models --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pipeline():
    with edgesearch.load(check=False) as loaded:
        yield loaded


LONG = [sample.problem for index, sample in enumerate(held_out(seed=0, count=46)) if index in (20, 24, 30, 42)]


@pytest.mark.parametrize("name", ["beam", "dvts"])
@pytest.mark.parametrize("granularity", [1, 2])
def test_no_more_tokens_are_verified_than_decoded_on_solutions_of_six_steps(pipeline, name, granularity) -> None:
    for problem in LONG:
        solution = pipeline.solve(problem, budget_s=60, strategy=name, n=16, options={"granularity": granularity})
        assert max(len(each.beam.steps) for each in solution.candidates) >= 6
        assert solution.usage.verified_tokens <= 1.05 * solution.usage.decoded_tokens
        assert solution.usage.verified_tokens > 0


@pytest.mark.parametrize("n", [1, 4, 16])
@pytest.mark.parametrize("options", [{}, {"granularity": 2}, {"granularity": 100}, {"deduplicate": True}], ids=str)
def test_it_answers_on_the_built_in_models(pipeline, n, options) -> None:
    solution = pipeline.solve(LONG[0], budget_s=60, strategy="beam", n=n, options=options)
    assert solution.answer is not None
    assert solution.warnings == ()
    assert (solution.strategy.name, solution.strategy.n) == ("beam", n)
    assert {name: solution.strategy.options[name] for name in options} == options


def test_one_beam_writes_what_one_sample_writes(pipeline) -> None:
    alone = pipeline.solve(LONG[1], budget_s=60, strategy="sample", n=1, seed=3).text
    for granularity in (1, 2):
        options = {"granularity": granularity}
        assert pipeline.solve(LONG[1], budget_s=60, strategy="beam", n=1, seed=3, options=options).text == alone

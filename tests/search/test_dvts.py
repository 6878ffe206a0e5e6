"""Diverse verifier tree search: independent trees, each of which keeps its best step."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from searches import ROOT, Played, Scripted, grow

import edgesearch
from edgesearch import search
from edgesearch.errors import UsageError
from edgesearch.search.base import Expand, SearchConfig
from edgesearch.search.dvts import DvtsOptions, check, dvts
from edgesearch.tasks.arithmetic import held_out


def play(n: int, m: int, **options: int) -> Played:
    return Played(dvts(ROOT, SearchConfig(n=n, m=m), DvtsOptions(**options)))


@pytest.mark.parametrize("n", [1, 4, 16])
def test_it_starts_with_n_copies_of_the_problem(n: int) -> None:
    assert play(n, min(n, 4)).request == Expand([ROOT] * n)


def test_each_tree_keeps_its_best_child_whatever_the_others_have() -> None:
    search = play(6, 3)
    judged = search.turn([0.7, 0.8, 0.9, 0.1, 0.3, 0.2])
    assert search.frontier == [judged[2]] * 3 + [judged[4]] * 3
    judged = search.turn([0.1, 0.0, 0.0, 0.9, 0.8, 1.0])
    assert search.frontier == [judged[0]] * 3 + [judged[5]] * 3


def test_of_equal_children_the_first_is_kept() -> None:
    search = play(4, 2)
    judged = search.turn([0.5, 0.5, 0.5, 0.5])
    assert search.frontier == [judged[0]] * 2 + [judged[2]] * 2


def test_a_tree_ends_with_its_best_child_and_the_others_go_on() -> None:
    search = play(4, 2)
    judged = search.turn([0.9, 0.1, 0.5, 0.7], ["stop", "step", "step", "step"])
    assert search.frontier == [judged[3]] * 2
    with pytest.raises(StopIteration):
        search.turn([0.1, 0.2], ["step", "stop"])


def test_a_tree_goes_on_at_full_width_where_a_lesser_child_finished() -> None:
    search = play(4, 2)
    judged = search.turn([0.9, 0.1, 0.5, 0.7], ["step", "stop", "stop", "step"])
    assert search.frontier == [judged[0]] * 2 + [judged[3]] * 2


def test_a_child_that_was_cut_off_is_never_kept() -> None:
    search = play(6, 3)
    judged = search.turn([0.9, 0.1, 0.2, 0.9, 0.8, 0.7], ["length", "step", "step", "length", "deadline", "length"])
    assert search.frontier == [judged[2]] * 3


@pytest.mark.parametrize("granularity", [1, 2])
def test_it_ends_when_all_children_end_at_once(granularity: int) -> None:
    search = play(4, 2, granularity=granularity)
    with pytest.raises(StopIteration):
        search.turn([0.9, 0.1, 0.5, 0.7], ["stop", "length", "stop", "stop"])


def test_one_beam_alone_is_a_plain_draft() -> None:
    search = play(1, 4)
    judged = search.turn([0.0])
    assert search.frontier == judged
    with pytest.raises(StopIteration):
        search.turn([0.0], ["stop"])


def test_fewer_beams_than_children_are_one_tree() -> None:
    search = play(3, 8)
    judged = search.turn([0.1, 0.9, 0.2])
    assert search.frontier == [judged[1]] * 3


def test_with_one_child_each_every_beam_is_a_tree() -> None:
    search = play(3, 1)
    judged = search.turn([0.1, 0.9, 0.2], ["step", "stop", "step"])
    assert search.frontier == [judged[0], judged[2]]


def test_trees_that_came_to_the_same_step_stay_two_trees() -> None:
    search = play(4, 2)
    grown = search.expand()
    twin, *others = [beam.judged((score,)) for beam, score in zip(grown, [0.9, 0.1, 0.2], strict=False)]
    search.request = search.search.send([twin, others[0], twin, others[1]])
    assert search.frontier == [twin] * 4
    judged = search.turn([0.1, 0.2, 0.3, 0.4])
    assert search.frontier == [judged[1]] * 2 + [judged[3]] * 2


def test_fewer_replies_than_beams_make_fewer_trees() -> None:
    search = play(6, 2)
    search.request = search.search.send(grow([ROOT] * 3))
    judged = search.judge([0.1, 0.2, 0.3])
    assert search.frontier == [judged[1]] * 2 + [judged[2]] * 2


def test_a_tree_s_beam_goes_on_alone_before_it_branches() -> None:
    search = play(4, 2, granularity=3)
    assert (search.frontier, search.num_steps) == ([ROOT] * 4, 3)
    judged = search.turn([0.1, 0.9, 0.5, 0.7])
    assert (search.frontier, search.num_steps) == ([judged[1], judged[3]], 2)
    alone = search.turn([0.1, 0.2], ["stop", "step"])
    assert (search.frontier, search.num_steps) == ([alone[1], alone[1]], 1)
    with pytest.raises(StopIteration):
        search.turn([0.1, 0.2], ["stop", "stop"])


@settings(max_examples=60, deadline=None)
@given(
    m=st.integers(1, 4),
    mine=st.lists(st.floats(0, 1), min_size=4, max_size=4),
    others=st.lists(st.lists(st.floats(0, 1), min_size=8, max_size=8), min_size=2, max_size=2),
)
def test_what_a_tree_keeps_does_not_depend_on_the_scores_of_the_others(m, mine, others) -> None:
    def kept(theirs: list[float]) -> list[int]:
        search = play(3 * m, m)
        judged = search.turn(mine[:m] + theirs[: 2 * m])
        return [judged.index(beam) for beam in search.frontier[:m]]

    assert kept(others[0]) == kept(others[1])


@pytest.mark.parametrize(("n", "m"), [(5, 2), (16, 3), (3, 2)])
def test_an_n_that_m_does_not_divide_is_refused_with_the_rule(n: int, m: int) -> None:
    with pytest.raises(ValueError, match=rf"^n must be a multiple of m for n/m trees, not n={n} with m={m}$"):
        check(SearchConfig(n=n, m=m), DvtsOptions())
    assert search.strategy("dvts").check is check


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 4), (3, 4), (4, 4), (16, 4), (16, 1)])
def test_whole_trees_and_one_narrow_tree_are_fine(n: int, m: int) -> None:
    check(SearchConfig(n=n, m=m), DvtsOptions())


def test_a_granularity_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^granularity must be >= 1, not 0$"):
        DvtsOptions(granularity=0)


# -- over scripted models ----------------------------------------------------------------------------------------------


def write(beam: edgesearch.types.Beam, seed: int) -> str:
    """A solution of 2 to 5 steps, each with the seed's mark."""
    rest = [f"step {index} of s{seed % 11}\n\n" for index in range(1 + seed % 4)][len(beam.steps) :]
    return "".join(rest) + rf"\boxed{{{seed % 11}}}"


def score(beam: edgesearch.types.Beam, index: int) -> float:
    return sum(beam.steps[index].text.encode()) % 97 / 97


@pytest.mark.parametrize("granularity", [1, 2, 100])
def test_every_finished_child_is_a_candidate_and_verified_once(granularity: int) -> None:
    run = Scripted(write, "dvts", n=12, m=3, options=DvtsOptions(granularity), score=score)
    finished = [beam for beam in run.result.candidates if beam.beam.finish == "stop"]
    assert len(finished) == len(run.result.candidates) >= 4
    assert len(run.verifier.judged_nodes) == len(set(run.verifier.judged_nodes))
    assert run.chosen is not None
    assert run.chosen.score == max(candidate.score or 0.0 for candidate in finished)


def test_a_deadline_in_the_middle_leaves_what_has_finished() -> None:
    whole = Scripted(write, "dvts", n=12, m=3, score=score)
    cut = Scripted(write, "dvts", n=12, m=3, score=score, budget_s=whole.wall_s / 2)
    assert cut.result.is_cut
    assert 0 < len(cut.result.candidates) < len(whole.result.candidates)


# -- on the built-in models --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pipeline():
    with edgesearch.load(check=False) as loaded:
        yield loaded


PROBLEM = held_out(seed=0, count=21)[20].problem


@pytest.mark.parametrize("n", [1, 4, 16])
@pytest.mark.parametrize("granularity", [1, 2])
def test_it_answers_on_the_built_in_models(pipeline, n: int, granularity: int) -> None:
    options = {"granularity": granularity}
    solution = pipeline.solve(PROBLEM, budget_s=60, strategy="dvts", n=n, options=options)
    assert solution.answer is not None
    assert solution.warnings == ()
    assert solution.strategy.options == options


def test_one_beam_writes_what_one_sample_writes(pipeline) -> None:
    alone = pipeline.solve(PROBLEM, budget_s=60, strategy="sample", n=1, seed=3).text
    assert pipeline.solve(PROBLEM, budget_s=60, strategy="dvts", n=1, seed=3).text == alone


def test_an_n_that_m_does_not_divide_is_a_usage_error(pipeline) -> None:
    with pytest.raises(UsageError, match="n must be a multiple of m for n/m trees, not n=10 with m=4"):
        pipeline.solve(PROBLEM, budget_s=60, strategy="dvts", n=10, m=4)

"""Reward balanced search: every beam goes on, with as many children as its score earns."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from searches import ROOT, Played, Scripted, grow, judge

import edgesearch
from edgesearch.search.base import Expand, SearchConfig
from edgesearch.search.rebase import RebaseOptions, rebase, shares
from edgesearch.tasks.arithmetic import held_out

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=40)
TEMPERATURES = st.floats(1e-6, 1e6)


def play(n: int, **options: float) -> Played:
    return Played(rebase(ROOT, SearchConfig(n=n, m=1), RebaseOptions(**options)))


# -- shares ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "width", "temperature", "expected"),
    [
        # By hand after eq. (1) of arXiv 2408.00724, best first and each part rounded up.
        ([1.0, 0.8, 0.6], 16, 0.2, [11, 4, 1]),  # e^5 : e^4 : e^3 = 0.665 : 0.245 : 0.090 of 16; 5 x 0.731 = 3.66
        ([0.6, 1.0, 0.8], 16, 0.2, [1, 11, 4]),
        ([0.5, 0.5, 0.5, 0.5], 16, 0.2, [4, 4, 4, 4]),
        ([0.5, 0.5, 0.5], 4, 0.2, [2, 1, 1]),
        ([0.5, 0.5, 0.5], 2, 0.2, [1, 1, 0]),
        ([0.3], 7, 0.2, [7]),
        ([0.9, 0.1], 0, 0.2, [0, 0]),
        ([], 5, 0.2, []),
        ([0.0, 1.0], 10, 1e-9, [0, 10]),
        ([0.0, 1.0], 10, 1e9, [4, 6]),
        ([0.0, 1.0], 10, 5e-324, [0, 10]),
        ([1.0, 1.0, 0.0], 5, 1e-9, [3, 2, 0]),
    ],
)
def test_children_are_shared_out_by_the_softmax_of_scores(scores, width, temperature, expected) -> None:
    assert shares(scores, width, temperature) == expected


@settings(deadline=None)
@given(SCORES, st.integers(0, 200), TEMPERATURES)
def test_shares_add_up_to_the_width_and_follow_the_scores(scores, width: int, temperature: float) -> None:
    children = shares(scores, width, temperature)
    assert sum(children) == width
    assert min(children) >= 0
    ranked = [count for _, count in sorted(zip(scores, children, strict=True), key=lambda pair: -pair[0])]
    assert ranked == sorted(ranked, reverse=True)
    by_score: dict[float, list[int]] = {}
    for score, count in zip(scores, children, strict=True):
        by_score.setdefault(score, []).append(count)
    for counts in by_score.values():
        assert counts[0] - counts[-1] <= 1


@settings(deadline=None)
@given(SCORES, st.integers(1, 200), TEMPERATURES)
def test_no_share_is_a_whole_child_above_its_part(scores, width: int, temperature: float) -> None:
    weights = [math.exp((score - max(scores)) / temperature) for score in scores]
    parts = [width * weight / math.fsum(weights) for weight in weights]
    children = shares(scores, width, temperature)
    assert all(count < part + 1 + 1e-9 for count, part in zip(children, parts, strict=True))


@settings(deadline=None)
@given(st.lists(st.integers(0, 1000).map(lambda score: score / 1000), min_size=1, max_size=80), st.integers(1, 200))
def test_a_low_temperature_gives_the_best_all_and_a_high_one_all_the_same(scores, width: int) -> None:
    cold = shares(scores, width, 1e-6)  # low beside the least gap between two of these scores
    assert all(count == 0 or score == max(scores) for score, count in zip(scores, cold, strict=True))
    hot = shares(scores, width, math.inf)
    assert max(hot) - min(hot) <= 1


# -- by hand -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 7, 16])
def test_it_starts_with_n_copies_of_the_problem(n: int) -> None:
    assert play(n).request == Expand([ROOT] * n)


def test_beams_get_children_by_their_scores() -> None:
    search = play(4)
    judged = search.turn([0.9, 0.1, 0.5, 0.8])
    assert search.frontier == [judged[0]] * 3 + [judged[3]]


def test_a_finished_beam_takes_one_child_of_the_width_with_it() -> None:
    search = play(4)
    judged = search.turn([0.9, 0.1, 0.5, 0.8], ["stop", "step", "length", "step"])
    assert search.frontier == [judged[3]] * 2
    with pytest.raises(StopIteration):
        search.turn([0.1, 0.1], ["stop", "stop"])


def test_it_ends_when_all_beams_end_at_once() -> None:
    search = play(3)
    with pytest.raises(StopIteration):
        search.turn([0.9, 0.1, 0.5], ["stop", "length", "stop"])


def test_one_beam_alone_is_a_plain_draft() -> None:
    search = play(1)
    judged = search.turn([0.0])
    assert search.frontier == judged


@pytest.mark.parametrize(("is_on", "expected"), [(False, {"twin": 6, "other": 2}), (True, {"twin": 4, "other": 4})])
def test_a_step_drawn_often_is_followed_often_unless_deduplicated(is_on: bool, expected: dict[str, int]) -> None:
    search = play(8, deduplicate=is_on)
    assert isinstance(search.request, Expand)
    drawn = grow([ROOT] * 2, texts=["twin\n\n", "other\n\n"])
    search.search.send([drawn[0]] * 6 + [drawn[1]] * 2)
    twin, other = judge(drawn, [0.5, 0.5])
    search.request = search.search.send([twin] * 6 + [other] * 2)
    assert Counter(beam.text.strip() for beam in search.frontier) == expected


def test_the_aggregator_decides_what_a_score_is() -> None:
    search = Played(rebase(ROOT, SearchConfig(n=2, m=1, aggregator="min"), RebaseOptions(temperature=1e-6)))
    search.turn([0.9, 0.9])
    search.request = search.search.send(grow(search.frontier))
    judged = search.judge([0.1, 0.8])
    assert search.frontier == [judged[1]] * 2


@pytest.mark.parametrize("temperature", [0, -1, math.nan])
def test_a_temperature_out_of_range_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match=r"^temperature must be above 0, not "):
        RebaseOptions(temperature=temperature)


# -- over scripted models ----------------------------------------------------------------------------------------------


def write(beam: edgesearch.types.Beam, seed: int) -> str:
    """A solution of 2 to 5 steps, each with the seed's mark."""
    rest = [f"step {index} of s{seed % 11}\n\n" for index in range(1 + seed % 4)][len(beam.steps) :]
    return "".join(rest) + rf"\boxed{{{seed % 11}}}"


def score(beam: edgesearch.types.Beam, index: int) -> float:
    return sum(beam.steps[index].text.encode()) % 97 / 97


@pytest.mark.parametrize("n", [1, 5, 16])
def test_n_solutions_come_to_their_end_and_each_step_is_verified_once(n: int) -> None:
    run = Scripted(write, "rebase", n=n, m=1, score=score)
    assert len(run.result.candidates) == n
    assert len(run.verifier.judged_nodes) == len(set(run.verifier.judged_nodes))


def test_the_answer_is_the_weighted_vote() -> None:
    def solutions(beam: edgesearch.types.Beam, seed: int) -> str:
        return rf"\boxed{{{1 if seed % 4 else 2}}}"

    run = Scripted(solutions, "rebase", n=16, score=lambda beam, index: 0.6 if "{1}" in beam.text else 0.9)
    assert run.chosen is not None
    assert run.chosen.answer == "1"


def test_a_deadline_in_the_middle_leaves_what_has_finished() -> None:
    whole = Scripted(write, "rebase", n=12, score=score)
    cut = Scripted(write, "rebase", n=12, score=score, budget_s=whole.wall_s / 2)
    assert cut.result.is_cut
    assert 0 < len(cut.result.candidates) < 12


# -- on the built-in models --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pipeline():
    with edgesearch.load(check=False) as loaded:
        yield loaded


PROBLEM = held_out(seed=0, count=21)[20].problem


@pytest.mark.parametrize("n", [1, 4, 16])
@pytest.mark.parametrize("options", [{}, {"temperature": 1.0, "deduplicate": True}], ids=str)
def test_it_answers_on_the_built_in_models(pipeline, n: int, options: dict) -> None:
    solution = pipeline.solve(PROBLEM, budget_s=60, strategy="rebase", n=n, options=options)
    assert solution.answer is not None
    assert solution.warnings == ()
    assert solution.usage.verified_tokens <= 1.05 * solution.usage.decoded_tokens


def test_one_beam_writes_what_one_sample_writes(pipeline) -> None:
    alone = pipeline.solve(PROBLEM, budget_s=60, strategy="sample", n=1, seed=3).text
    assert pipeline.solve(PROBLEM, budget_s=60, strategy="rebase", n=1, seed=3).text == alone

"""Monte Carlo tree search with PUCT: the formula, the way simulations go, its cost, by hand and over models."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from searches import ROOT, Played, Scripted, grow, judge

import edgesearch
from edgesearch.engines.scripted import ScriptedEngine
from edgesearch.search.base import Expand, Judge, Search, SearchConfig
from edgesearch.search.mcts import MctsOptions, Tree, likelihood, mcts, puct, rounds
from edgesearch.search.tree import Node
from edgesearch.tasks.arithmetic import held_out
from edgesearch.types import Beam, Finish, Step


def play(n: int, m: int, **options: float | str) -> Played:
    return Played(mcts(ROOT, SearchConfig(n=n, m=m), MctsOptions(**options)))


# -- the formula -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node", "visits", "c_puct", "expected"),
    [
        # Q + (c + ln((1 + N + 19652) / 19652)) P sqrt(N) / (1 + n), worked out by hand
        (Node(ROOT, value=0.7, prior=0.25), 0, 1.25, 0.7),
        (Node(ROOT, value=0.7, prior=0.25), 9, 1.25, 0.7 + 1.2505087 * 0.25 * 3),
        (Node(ROOT, value=0.7, prior=0.25, visits=2, total=1.0), 9, 1.25, 0.5 + 1.2505087 * 0.25 * 3 / 3),
        (Node(ROOT, prior=0.5, visits=1, total=0.8, pending=1), 4, 2.0, 0.4 + 2.0002544 * 0.5 * 2 / 3),
        (Node(ROOT, value=0.7, prior=0.25), 19651, 0.0, 0.7 + math.log(2) * 0.25 * math.sqrt(19651)),
    ],
)
def test_puct_is_the_published_formula(node, visits, c_puct, expected) -> None:
    assert puct(node, visits, c_puct) == pytest.approx(expected, rel=1e-6)


@given(st.floats(0, 1), st.floats(0.01, 1), st.integers(0, 50), st.integers(0, 50), st.floats(0, 5))
def test_puct_is_at_least_the_mean_and_falls_with_visits_that_bring_the_mean(value, prior, own, others, c) -> None:
    node = Node(ROOT, value=value, prior=prior, visits=own, total=own * value)
    more = Node(ROOT, value=value, prior=prior, visits=own + 1, total=(own + 1) * value)
    assert puct(node, own + others, c) >= node.mean_with_losses
    assert puct(more, own + others, c) <= puct(node, own + others, c) + 1e-9


def children(texts: Sequence[str], logprobs: Sequence[float]) -> list[Beam]:
    steps = [Step(text, (1, 2), logprob, "step") for text, logprob in zip(texts, logprobs, strict=True)]
    return judge([ROOT.grown((step,)) for step in steps], [0.5] * len(steps))


def test_uniform_priors_are_shares_of_the_draws() -> None:
    tree, root = Tree(ROOT, 4, MctsOptions()), Node(ROOT)
    tree.grow(root, children("abaa", [-1.0, -9.0, -1.0, -1.0]), "last")
    assert [child.prior for child in root.children] == [0.75, 0.25]
    tree.grow(root, children("bbbc", [-9.0, -9.0, -9.0, -1.0]), "last")
    assert [child.prior for child in root.children] == [0.375, 0.5, 0.125]


def test_likelihood_priors_also_weigh_by_the_mean_probability_of_a_token() -> None:
    tree, root = Tree(ROOT, 2, MctsOptions(prior="likelihood")), Node(ROOT)
    beams = children("ab", [2 * math.log(0.6), 2 * math.log(0.2)])
    assert [likelihood(beam) for beam in beams] == pytest.approx([0.6, 0.2])
    tree.grow(root, beams, "last")
    assert [child.prior for child in root.children] == pytest.approx([0.75, 0.25])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"c_puct": -0.1}, "c_puct must be >= 0, not -0.1"),
        ({"c_puct": math.inf}, "c_puct must be >= 0, not inf"),
        ({"prior": "flat"}, "prior must be one of uniform, likelihood, not 'flat'"),
        ({"parallel": 0}, "parallel must be >= 1, not 0"),
    ],
)
def test_options_out_of_range_are_refused(options, message) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        MctsOptions(**options)


def test_it_lasts_as_many_solutions_as_its_simulations_come_after_each_other() -> None:
    options = MctsOptions(parallel=4)
    found = [rounds(SearchConfig(n=n, m=4), options) for n in (1, 4, 16, 24, 64)]
    assert found == [1.0, 1.0, 1.0, 2.0, 4.0]


# -- the search, by hand -----------------------------------------------------------------------------------------------


def test_the_first_simulation_goes_to_the_best_child_each_time() -> None:
    search = play(4, 4)
    assert search.frontier == [ROOT] * 4
    judged = search.turn([0.1, 0.9, 0.5, 0.7])
    assert search.frontier == [judged[1]] * 4
    judged = search.turn([0.2, 0.1, 0.3, 0.0])
    assert search.frontier == [judged[2]] * 4
    with pytest.raises(StopIteration):
        search.turn([0.9, 0.1, 0.2, 0.3], ["stop"] * 4)


def test_the_next_simulation_leaves_a_way_that_came_to_a_bad_end() -> None:
    search = play(4, 2, parallel=1)
    good, other = search.turn([0.9, 0.8])
    assert search.frontier == [good] * 2
    search.turn([0.1, 0.2], ["stop", "stop"])
    assert search.frontier == [other] * 2


def test_the_next_simulation_stays_on_a_way_that_came_to_a_good_end() -> None:
    search = play(8, 2, parallel=1, c_puct=0.0)
    good, _ = search.turn([0.9, 0.3])
    first, second = search.turn([0.9, 0.8])
    assert search.frontier == [first] * 2
    search.turn([0.7, 0.75], ["stop", "stop"])
    assert second.steps[0] == good.steps[0]
    assert search.frontier == [second] * 2


def test_a_large_weight_of_exploration_goes_elsewhere_all_the_same() -> None:
    search = play(8, 2, parallel=1, c_puct=100.0)
    good, other = search.turn([0.9, 0.3])
    assert search.frontier == [good] * 2
    search.turn([0.9, 0.8], ["stop", "stop"])
    assert search.frontier == [other] * 2


def test_simulations_side_by_side_spread_over_the_children() -> None:
    search = play(8, 2, parallel=3)
    assert search.frontier == [ROOT] * 2  # the others wait until there are children
    judged = search.turn([0.4, 0.9])
    assert search.frontier == [judged[1]] * 2 + [judged[0]] * 2


def test_what_can_be_drawn_from_is_kept_and_of_too_many_the_best() -> None:
    search = play(4, 4)
    judged = search.turn([0.1, 0.9, 0.5, 0.7])
    assert isinstance(search.request, Expand)
    assert search.request.keep == [ROOT, judged[1], judged[3], judged[2]]
    deeper = search.turn([0.6, 0.95, 0.2, 0.3])
    assert search.request.keep == [ROOT, deeper[1], judged[1], judged[3]]


def test_a_beam_that_was_cut_off_is_worth_nothing() -> None:
    search = play(4, 2, parallel=1)
    first, other = search.turn([0.9, 0.8])
    assert search.frontier == [first] * 2
    search.turn([1.0, 1.0], ["length", "length"])
    assert search.frontier == [other] * 2


def test_copies_of_a_step_are_one_child() -> None:
    search = play(4, 4)
    grown = search.expand(texts=["a\n\n", "b\n\n", "a\n\n", "a\n\n"])
    search.judge([0.5, 0.4, 0.5, 0.5])
    assert search.frontier == [judge(grown[:1], [0.5])[0]] * 4


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_it_ends_when_all_children_end_at_once_and_nothing_is_left_to_spend(finish: Finish) -> None:
    with pytest.raises(StopIteration):
        play(4, 4).turn([0.9, 0.1, 0.5, 0.7], [finish] * 4)


def test_fewer_replies_than_beams_end_it() -> None:
    search = play(8, 4)
    search.search.send(grow([ROOT] * 3))
    with pytest.raises(StopIteration):
        search.search.send(judge(grow([ROOT] * 3), [0.5] * 3))


@pytest.mark.parametrize("m", [1, 4])
def test_one_beam_alone_is_a_plain_draft(m: int) -> None:
    search = play(1, m)
    for _ in range(3):
        assert search.turn([0.0]) == search.frontier
    with pytest.raises(StopIteration):
        search.turn([0.0], ["stop"])


def test_a_solution_may_have_more_steps_than_python_s_stack_has_frames() -> None:
    search = play(1, 1)
    for _ in range(1200):
        search.turn([0.5])
    with pytest.raises(StopIteration):
        search.turn([0.5], ["stop"])


class Chance:
    """Answers a search with endings, texts and scores at random, and counts what it asked for."""

    def __init__(self, search: Search, seed: int) -> None:
        self.num_drawn = self.deepest = self.most_held = 0
        chance = random.Random(seed)
        request = next(search)
        try:
            while True:
                if isinstance(request, Judge):
                    scores = [chance.choice((0.0, 0.3, 0.6, 1.0)) for _ in request.beams]
                    request = search.send(judge(request.beams, scores))
                else:
                    request = search.send(self._grown(request, chance))
        except StopIteration:
            pass

    def _grown(self, request: Expand, chance: random.Random) -> list[Beam]:
        endings: list[Finish] = [
            "stop" if len(beam.steps) >= 5 else chance.choice(("step", "step", "stop", "length"))
            for beam in request.beams
        ]
        grown = grow(request.beams, endings, texts=[f"{chance.choice('abc')}\n\n" for _ in endings])
        self.num_drawn += len(grown)
        self.deepest = max(self.deepest, *(len(beam.steps) for beam in grown))
        held = {beam.node for beam in (*request.beams, *request.keep)}
        self.most_held = max(self.most_held, len(held) + len(grown))
        return grown


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 5), st.integers(1, 5))
def test_it_draws_at_most_n_steps_for_every_step_of_the_deepest_and_fits_the_engine(seed, n, m, parallel) -> None:
    seen = Chance(mcts(ROOT, SearchConfig(n=n, m=m), MctsOptions(parallel=parallel)), seed)
    assert 0 < seen.num_drawn <= n * seen.deepest
    assert seen.most_held <= 2 * n + 1


# -- over scripted models ----------------------------------------------------------------------------------------------

RIGHT = "lrl"


def write(beam: Beam, seed: int) -> str:
    """Three turns to the left or to the right, then how far they follow the right way."""
    rest = [f"{'lr'[seed >> index & 1]}\n\n" for index in range(len(beam.steps), 3)]
    turns = [*(step.text for step in beam.steps), *rest]
    return "".join(rest) + rf"so \boxed{{{''.join(turns).replace(chr(10), '')}}}"


def score(beam: Beam, index: int) -> float:
    """The first turn seems the better the wrong it is; only the whole right way has a high score."""
    if index == 3:
        return 1.0 if RIGHT in beam.text.replace("\n\n", "") else 0.2
    return 0.5 if index else {"l": 0.4, "r": 0.6}[beam.steps[0].text[0]]


@pytest.mark.parametrize("seed", range(5))
def test_it_finds_the_best_solution_behind_a_step_that_looks_worse(seed) -> None:
    run = Scripted(write, "mcts", n=32, m=4, score=score, seed=seed)
    assert run.chosen is not None
    assert (run.chosen.answer, run.chosen.score) == (RIGHT, 1.0)


@pytest.mark.parametrize("n", [1, 4, 16])
@pytest.mark.parametrize("parallel", [1, 4])
def test_it_stays_within_its_cost_and_the_engine_s_memory(n, parallel, monkeypatch) -> None:
    held: list[int] = []
    advance = ScriptedEngine.advance

    def counted_advance(self, deadline):
        done = advance(self, deadline)
        held.append(len(self.nodes))
        return done

    monkeypatch.setattr(ScriptedEngine, "advance", counted_advance)
    run = Scripted(write, "mcts", n=n, m=4, score=score, options=MctsOptions(parallel=parallel))
    assert max(held) <= 2 * n + 1
    assert len(run.verifier.judged_nodes) <= n * 4
    assert run.result.usage.prefilled_tokens == run.result.usage.prompt_tokens
    assert run.engine.nodes == set()


def test_the_seed_fixes_the_search() -> None:
    def texts(seed: int) -> list[str]:
        return Scripted(write, "mcts", n=16, m=4, score=score, seed=seed).texts

    assert texts(3) == texts(3)
    assert texts(3) != texts(4)


# -- on the built-in models --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pipeline():
    with edgesearch.load(check=False) as loaded:
        yield loaded


PROBLEM = held_out(seed=0, count=21)[20].problem


@pytest.mark.parametrize("n", [1, 4, 16])
@pytest.mark.parametrize("prior", ["uniform", "likelihood"])
def test_it_answers_on_the_built_in_models(pipeline, n, prior) -> None:
    solution = pipeline.solve(PROBLEM, budget_s=60, strategy="mcts", n=n, options={"prior": prior})
    assert solution.answer is not None
    assert solution.warnings == ()
    longest = max(candidate.beam.num_tokens for candidate in solution.candidates)
    assert solution.usage.decoded_tokens <= 1.25 * n * longest
    assert solution.usage.prefilled_tokens == solution.usage.prompt_tokens


def test_one_beam_writes_what_one_sample_writes(pipeline) -> None:
    alone = pipeline.solve(PROBLEM, budget_s=60, strategy="sample", n=1, seed=3).text
    assert pipeline.solve(PROBLEM, budget_s=60, strategy="mcts", n=1, seed=3).text == alone

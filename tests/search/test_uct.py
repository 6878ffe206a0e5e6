"""UCT with rollouts: the formula, the way simulations go, its cost, by hand and over models."""

from __future__ import annotations

import math

import pytest
from searches import ROOT, Scripted, grow, judge

import edgesearch
from edgesearch.engines.scripted import ScriptedEngine
from edgesearch.search.base import Expand, Judge, SearchConfig
from edgesearch.search.tree import Node
from edgesearch.search.uct import UctOptions, descend, rounds, ucb, uct
from edgesearch.tasks.arithmetic import held_out
from edgesearch.types import Beam, Finish


class Played:
    """A search and the one who answers it: each round is steps, then rollouts of those that go on."""

    def __init__(self, n: int, m: int, **options: float) -> None:
        self.search = uct(ROOT, SearchConfig(n=n, m=m), UctOptions(**options))
        self.request = next(self.search)
        self.num_rounds = 0

    def round(self, rewards: list[float], finishes: list[Finish] | None = None, texts=None) -> list[Beam]:
        """The children, after rollouts with these rewards; a child that ends has its reward as its score."""
        assert isinstance(self.request, Expand)
        assert not self.request.is_to_end
        self.num_rounds += 1
        texts = texts or [f"step {index} of round {self.num_rounds}\n\n" for index in range(len(rewards))]
        children = grow(self.request.beams, finishes, texts=texts)
        assert self.search.send(children) == Judge(children)
        children = judge(children, rewards)
        going = [beam for beam in children if beam.is_alive]
        request = self.search.send(children)
        assert isinstance(request, Expand)
        assert (request.is_to_end, request.is_rollout, request.beams) == (True, False, going)
        ends = grow(going, ["stop"] * len(going))
        assert self.search.send(ends) == Judge(ends)
        left = [reward for reward, beam in zip(rewards, children, strict=True) if beam.is_alive]
        self.request = self.search.send(judge(ends, left))
        return children

    @property
    def frontier(self) -> list[Beam]:
        assert isinstance(self.request, Expand)
        return list(self.request.beams)


# -- the formula -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node", "visits", "c", "expected"),
    [
        # Q + c sqrt(ln N / n), worked out by hand: ln 8 = 2.0794415
        (Node(ROOT, visits=2, total=1.0), 8, 1.4, 0.5 + 1.4 * math.sqrt(2.0794415 / 2)),
        (Node(ROOT, visits=2, total=1.0), 8, 0.0, 0.5),
        (Node(ROOT, visits=1, total=0.9, pending=1), 8, 1.0, 0.45 + math.sqrt(2.0794415 / 2)),
        (Node(ROOT, visits=1, total=0.9), 1, 1.4, 0.9),
    ],
)
def test_ucb_is_the_published_formula(node, visits, c, expected) -> None:
    assert ucb(node, visits, c) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"c": -1.0}, "c must be >= 0, not -1.0"),
        ({"c": math.nan}, "c must be >= 0, not nan"),
        ({"parallel": 0}, "parallel must be >= 1, not 0"),
    ],
)
def test_options_out_of_range_are_refused(options, message) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        UctOptions(**options)


def test_it_lasts_as_many_solutions_as_its_rollouts_come_after_each_other() -> None:
    assert [rounds(SearchConfig(n=n, m=1), UctOptions(parallel=4)) for n in (1, 4, 5, 16)] == [1.0, 1.0, 2.0, 4.0]


def test_a_simulation_waits_where_all_children_are_still_being_drawn() -> None:
    root = Node(ROOT)
    assert [descend(root, 2, 1.4) for _ in range(3)] == [root, root, None]
    assert (root.pending, root.num_draws) == (2, 2)


def test_a_known_solution_is_visited_at_no_cost_until_a_node_wants_another_draw() -> None:
    root = Node(ROOT, num_draws=2)
    [end] = judge(grow([ROOT], ["stop"]), [0.8])
    root.enter()
    root.adopt(end, 0.8).enter().back_up(0.8)
    assert descend(root, 2, 1.4) is root
    # two draws are enough for up to two visits
    assert (root.num_draws, root.pending, root.visits) == (3, 1, 3)
    assert (root.children[0].visits, root.children[0].mean) == (3, pytest.approx(0.8))


# -- the search, by hand -----------------------------------------------------------------------------------------------


def test_a_node_has_m_draws_before_simulations_go_on_below_it() -> None:
    search = Played(4, 2, parallel=1)
    [first] = search.round([0.2])
    assert search.frontier == [ROOT]
    [second] = search.round([0.9])
    assert search.frontier == [second]
    [third] = search.round([0.9])
    assert third.steps[:1] == second.steps
    assert first != second


@pytest.mark.parametrize(("c", "is_better_gone_to"), [(0.0, True), (0.1, True), (1.4, False)])
def test_the_child_with_the_better_rollouts_is_gone_to_unless_the_other_was_seldom_tried(c, is_better_gone_to) -> None:
    search = Played(9, 4, parallel=1, c=c)
    rewards = (0.4, 0.6, 0.1, 0.1)
    worse, better, *_ = (search.round([reward])[0] for reward in rewards)
    assert search.frontier == [better]
    search.round([0.6])
    assert search.frontier == [ROOT]  # five visits want a fifth draw
    search.round([0.1])
    assert search.frontier == [better if is_better_gone_to else worse]


def test_rollouts_side_by_side_fill_the_first_round_with_the_root_s_draws() -> None:
    search = Played(8, 3, parallel=4)
    assert search.frontier == [ROOT] * 3  # the fourth would have to wait
    search.round([0.1, 0.2, 0.3], texts=["a\n\n", "b\n\n", "c\n\n"])
    assert len({beam.node for beam in search.frontier}) == 3  # each simulation under way counts as a loss


def test_all_nodes_that_can_grow_are_kept_until_the_last_round() -> None:
    search = Played(2, 1, parallel=1)
    assert search.request == Expand([ROOT], keep=[ROOT])
    [first] = search.round([0.5])
    assert search.request == Expand([first], keep=[ROOT, first])


def test_a_step_that_was_drawn_before_gets_another_rollout() -> None:
    search = Played(4, 2, parallel=2, c=0.0)
    search.round([0.5, 0.7], texts=["a\n\n", "a\n\n"])
    assert {beam.text for beam in search.frontier} == {"a\n\n"}
    assert len({beam.node for beam in search.frontier}) == 1


def test_a_child_that_is_a_solution_needs_no_rollout() -> None:
    search = Played(3, 2, parallel=2)
    judged = search.round([0.9, 0.4], ["stop", "step"])
    assert search.frontier[0] in (ROOT, judged[1])


def test_n_rollouts_are_made_and_no_more() -> None:
    search = Played(3, 3, parallel=2)
    search.round([0.5, 0.5])
    with pytest.raises(StopIteration):
        search.round([0.5])


def test_it_ends_after_n_solutions_that_end_at_once() -> None:
    search = Played(4, 4)
    with pytest.raises(StopIteration):
        search.round([0.5] * 4, ["stop"] * 4)


def test_fewer_replies_than_beams_end_it() -> None:
    search = Played(4, 4)
    search.search.send(grow([ROOT] * 3))
    with pytest.raises(StopIteration):
        search.search.send(judge(grow([ROOT] * 3), [0.5] * 3))


def test_one_rollout_is_a_plain_sample() -> None:
    search = Played(1, 4)
    assert search.frontier == [ROOT]
    with pytest.raises(StopIteration):
        search.round([0.5])


# -- over scripted models ----------------------------------------------------------------------------------------------


def write(beam: Beam, seed: int) -> str:
    """Three turns to the left or to the right."""
    rest = [f"{'lr'[seed >> index & 1]}\n\n" for index in range(len(beam.steps), 3)]
    turns = [*(step.text for step in beam.steps), *rest]
    return "".join(rest) + rf"so \boxed{{{''.join(turns).replace(chr(10), '')}}}"


def score(beam: Beam, index: int) -> float:
    """Of an unfinished beam the same whatever it says; of a solution the higher the more turns are to the right."""
    return 0.3 + 0.2 * beam.text.count("r\n") if index == 3 else 0.5


def test_rollouts_gather_where_they_were_worth_most() -> None:
    run = Scripted(write, "uct", n=48, m=2, score=score, options=UctOptions(c=0.3))
    blind = Scripted(write, "uct", n=48, m=2, score=lambda beam, index: 0.5, options=UctOptions(c=0.3))
    assert run.chosen is not None
    assert run.chosen.answer == "rrr"

    def share(found: Scripted) -> float:
        return "".join(found.texts).count("r\n") / (3 * len(found.texts))

    assert share(run) > 0.6 > share(blind)


@pytest.mark.parametrize("n", [1, 4, 16])
@pytest.mark.parametrize("parallel", [1, 4, 100])
def test_it_stays_within_n_solutions_and_the_engine_s_memory(n, parallel, monkeypatch) -> None:
    held: list[int] = []
    advance = ScriptedEngine.advance

    def counted_advance(self, deadline):
        done = advance(self, deadline)
        held.append(len(self.nodes))
        return done

    monkeypatch.setattr(ScriptedEngine, "advance", counted_advance)
    run = Scripted(write, "uct", n=n, m=4, score=score, options=UctOptions(parallel=parallel))
    assert len(run.result.candidates) == n
    assert max(held) <= 2 * n + 1
    longest = max(candidate.beam.num_tokens for candidate in run.result.candidates)
    assert run.result.usage.decoded_tokens <= n * longest
    assert len(run.verifier.judged_nodes) == len(set(run.verifier.judged_nodes))
    assert run.result.usage.prefilled_tokens == run.result.usage.prompt_tokens
    assert run.engine.nodes == set()


def test_the_seed_fixes_the_search() -> None:
    def texts(seed: int) -> list[str]:
        return Scripted(write, "uct", n=16, m=4, score=score, seed=seed).texts

    assert texts(3) == texts(3)
    assert texts(3) != texts(4)


# -- on the built-in models --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pipeline():
    with edgesearch.load(check=False) as loaded:
        yield loaded


PROBLEM = held_out(seed=0, count=21)[20].problem


@pytest.mark.parametrize("n", [1, 4, 16])
def test_it_answers_on_the_built_in_models(pipeline, n) -> None:
    solution = pipeline.solve(PROBLEM, budget_s=60, strategy="uct", n=n)
    assert solution.answer is not None
    assert solution.warnings == ()
    assert len(solution.candidates) == n
    longest = max(candidate.beam.num_tokens for candidate in solution.candidates)
    assert solution.usage.decoded_tokens <= n * longest
    assert solution.usage.prefilled_tokens == solution.usage.prompt_tokens


def test_one_rollout_writes_what_one_sample_writes(pipeline) -> None:
    alone = pipeline.solve(PROBLEM, budget_s=60, strategy="sample", n=1, seed=3).text
    assert pipeline.solve(PROBLEM, budget_s=60, strategy="uct", n=1, seed=3).text == alone

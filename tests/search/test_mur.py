"""MUR: one chain, with further candidates where the solver is less sure than it was before."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

import edgesearch
from edgesearch.search.base import Expand, Judge, SearchConfig
from edgesearch.search.mur import MurOptions, mur, rounds
from edgesearch.tasks.arithmetic import held_out
from edgesearch.types import Aggregator, Beam, Finish, Prompt, Step

ROOT = Beam(Prompt("2 + 2?"))


def step(doubt: float, finish: Finish = "step", num_tokens: int = 4) -> Step:
    """A step whose tokens have minus this log-probability on average."""
    return Step("x\n\n", (1,) * num_tokens, -doubt * num_tokens, finish)


class Chain:
    """A search that is answered by hand."""

    def __init__(self, n: int, options: MurOptions | None = None, aggregator: Aggregator = "last") -> None:
        self.search = mur(ROOT, SearchConfig(n=n, aggregator=aggregator), options or MurOptions())
        self.request = next(self.search)

    def turn(self, steps: Sequence[Step], scores: Sequence[float]) -> list[Beam]:
        """Grows the beams that are asked for, and judges them."""
        assert isinstance(self.request, Expand)
        assert not self.request.is_to_end
        assert self.request.temperature is None
        grown = [beam.grown((each,)) for beam, each in zip(self.request.beams, steps, strict=True)]
        asked = self.search.send(grown)
        assert asked == Judge(grown)
        judged = [beam.judged((score,)) for beam, score in zip(grown, scores, strict=True)]
        self.request = self.search.send(judged)
        return judged


def momentum(*doubts: float, alpha: float = 0.9) -> float:
    """After these steps."""
    value = 0.0
    for doubt in doubts:
        value = alpha * value + (1 - alpha) * doubt
    return value


def test_a_chain_that_is_sure_grows_like_one_sample() -> None:
    chain = Chain(4)
    [first] = chain.turn([step(0.5)], [0.1])
    assert chain.request == Expand([first], keep=[first])
    [second] = chain.turn([step(0.1)], [0.1])
    assert chain.request == Expand([second], keep=[second])
    with pytest.raises(StopIteration):
        chain.turn([step(0.05, "stop")], [0.1])


def test_the_first_step_is_never_drawn_again() -> None:
    chain = Chain(4)
    [first] = chain.turn([step(9.0)], [0.0])
    assert chain.request == Expand([first], keep=[first])


def test_a_doubtful_step_is_drawn_n_times_and_the_best_of_them_goes_on() -> None:
    chain = Chain(4)
    [first] = chain.turn([step(0.5)], [0.5])
    [doubtful] = chain.turn([step(2.0)], [0.3])
    assert chain.request == Expand([first] * 3, keep=[doubtful])
    more = chain.turn([step(3.0), step(0.1), step(4.0)], [0.2, 0.6, 0.7])
    assert chain.request == Expand([more[2]], keep=[more[2]])


def test_the_first_draft_of_a_doubtful_step_may_be_the_best() -> None:
    chain = Chain(3)
    chain.turn([step(0.5)], [0.5])
    [doubtful] = chain.turn([step(2.0)], [0.3])
    chain.turn([step(0.1), step(0.1)], [0.3, 0.2])
    assert chain.request == Expand([doubtful], keep=[doubtful])


@pytest.mark.parametrize("gamma", [0.5, 0.9, 1.0])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.9])
def test_a_step_is_doubtful_where_its_uncertainty_passes_the_momentum_over_gamma(alpha: float, gamma: float) -> None:
    limit = math.log(math.exp(momentum(0.5, 0.2, alpha=alpha)) / gamma)
    for doubt, num_asked in ((limit - 1e-6, 1), (limit + 1e-6, 3)):
        chain = Chain(4, MurOptions(alpha=alpha, gamma=gamma))
        chain.turn([step(0.5)], [0.5])
        sure_of_second = momentum(0.5, alpha=alpha) - math.log(gamma) >= 0.2
        chain.turn([step(0.2)], [0.5])
        if not sure_of_second:
            chain.turn([step(9.0)] * 3, [0.1] * 3)
        chain.turn([step(doubt)], [0.5])
        assert isinstance(chain.request, Expand)
        assert len(chain.request.beams) == num_asked


def test_the_momentum_follows_the_step_that_was_chosen() -> None:
    chain = Chain(2, MurOptions(alpha=0.0, gamma=1.0))
    chain.turn([step(0.5)], [0.5])
    chain.turn([step(2.0)], [0.1])
    chain.turn([step(1.0)], [0.9])
    [beam] = chain.turn([step(0.9)], [0.5])
    assert chain.request == Expand([beam], keep=[beam])
    chain.turn([step(0.95)], [0.5])
    assert isinstance(chain.request, Expand)
    assert chain.request.beams[0].steps[-1].logprob == -0.9 * 4  # drawn again, since 0.95 is more than 0.9


def test_the_aggregator_decides_which_candidate_is_best() -> None:
    chain = Chain(2, aggregator="mean")
    chain.turn([step(0.5)], [0.5])
    [doubtful] = chain.turn([step(2.0)], [0.8])
    [other] = chain.turn([step(2.0)], [0.9])
    assert chain.request == Expand([other], keep=[other])
    assert doubtful.scores == (0.5, 0.8)


def test_a_chosen_candidate_that_ends_the_solution_ends_the_chain() -> None:
    chain = Chain(3)
    chain.turn([step(0.5)], [0.5])
    chain.turn([step(2.0)], [0.1])
    with pytest.raises(StopIteration):
        chain.turn([step(1.0, "stop"), step(1.0)], [0.9, 0.2])


def test_a_candidate_that_ends_the_solution_but_is_not_chosen_ends_nothing() -> None:
    chain = Chain(3)
    chain.turn([step(0.5)], [0.5])
    chain.turn([step(2.0, "stop")], [0.1])
    more = chain.turn([step(1.0, "stop"), step(1.0)], [0.2, 0.9])
    assert chain.request == Expand([more[1]], keep=[more[1]])


def test_the_uncertainty_is_a_mean_over_tokens() -> None:
    chain = Chain(2)
    chain.turn([step(0.5)], [0.5])
    [long] = chain.turn([step(0.1, num_tokens=100)], [0.5])
    assert chain.request == Expand([long], keep=[long])


@pytest.mark.parametrize("doubt", [0.1, 9.0])
def test_with_one_beam_nothing_is_ever_drawn_again_or_kept(doubt: float) -> None:
    chain = Chain(1)
    assert chain.request == Expand([ROOT], keep=[])
    for _ in range(3):
        [beam] = chain.turn([step(doubt)], [0.5])
        assert chain.request == Expand([beam], keep=[])


def test_a_chain_without_room_for_a_token_ends() -> None:
    chain = Chain(4)
    assert chain.search.send([]) == Judge([])
    with pytest.raises(StopIteration):
        chain.search.send([])
    chain = Chain(4)
    [beam] = chain.turn([step(0.5)], [0.5])
    cut = Beam(beam.prompt, (Step("x\n\n", (1,) * 4, -2.0, "length", id=beam.node),), (0.5,))
    assert chain.search.send([cut]) == Judge([cut])
    with pytest.raises(StopIteration):
        chain.search.send([cut])


def test_it_lasts_up_to_two_solutions_since_further_candidates_wait_for_the_first() -> None:
    assert rounds(SearchConfig(n=16), MurOptions()) == 2.0
    assert rounds(SearchConfig(n=1), MurOptions()) == 1.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": 1.0}, r"alpha must be in \[0, 1\), not 1\.0"),
        ({"alpha": -0.1}, r"alpha must be in \[0, 1\), not -0\.1"),
        ({"gamma": 0.0}, r"gamma must be in \(0, 1\], not 0\.0"),
        ({"gamma": 1.5}, r"gamma must be in \(0, 1\], not 1\.5"),
    ],
)
def test_a_setting_out_of_range_is_named(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MurOptions(**settings)


def test_on_the_built_in_models_it_draws_more_the_less_doubt_it_lets_pass() -> None:
    problems = [sample.problem for sample in held_out(3, 100, "mixed")[-8:]]
    drawn = {}
    with edgesearch.load("nano", max_n=16, check=False) as pipeline:
        for n, gamma in ((1, 0.9), (4, 0.9), (16, 0.9), (16, 1.0), (16, 0.01)):
            solved = [
                pipeline.solve(problem, budget_s=600, strategy="mur", n=n, options={"gamma": gamma})
                for problem in problems
            ]
            assert all(solution.candidates for solution in solved)
            drawn[n, gamma] = sum(solution.usage.decoded_tokens for solution in solved)
    assert drawn[1, 0.9] == drawn[16, 0.01]
    assert drawn[1, 0.9] < drawn[4, 0.9] < drawn[16, 0.9] < drawn[16, 1.0]

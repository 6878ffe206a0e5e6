"""phi-decoding: beams chosen by the likelihood and the agreement of what would come of them."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgesearch
import edgesearch.search.phi as phi_module
from edgesearch.search.base import Expand, SearchConfig
from edgesearch.search.phi import PhiOptions, alignments, joint, phi, prune, rounds, sample
from edgesearch.tasks.arithmetic import held_out
from edgesearch.types import Beam, Finish, Prompt, Step

ROOT = Beam(Prompt("2 + 2?"))


def step(logprob: float = -1.0, finish: Finish = "step", text: str = "x\n\n", num_tokens: int = 2) -> Step:
    """A step whose tokens have this log-probability on average."""
    return Step(text, (1,) * num_tokens, logprob * num_tokens, finish)


def says(answer: object, logprob: float = -1.0) -> Step:
    return step(logprob, "stop", f"The answer is \\boxed{{{answer}}}")


class Played:
    """A search that is answered by hand."""

    def __init__(self, n: int, m: int, options: PhiOptions | None = None, seed: int = 0) -> None:
        self.search = phi(ROOT, SearchConfig(n=n, m=m, seed=seed), options or PhiOptions())
        self.request = next(self.search)

    def expand(self, *steps: Step) -> list[Beam]:
        """Grows each beam that is asked for by one of these."""
        assert isinstance(self.request, Expand)
        assert self.request.temperature is None
        grown = [beam.grown((each,)) for beam, each in zip(self.request.beams, steps, strict=True)]
        self.request = self.search.send(grown)
        return grown

    def asked(self) -> Expand:
        assert isinstance(self.request, Expand)
        return self.request


def same(count: int, logprob: float = -1.0) -> list[Step]:
    return [step(logprob) for _ in range(count)]


# -- the search --------------------------------------------------------------------------------------------------------


def test_each_candidate_is_followed_to_the_end_once_before_any_is_chosen() -> None:
    search = Played(4, 2)
    assert search.asked() == Expand([ROOT] * 4)
    candidates = search.expand(*same(4))
    assert search.asked() == Expand(candidates, is_to_end=True, keep=candidates, is_rollout=True)
    search.expand(*(says(number) for number in range(4)))
    assert not search.asked().is_rollout
    assert not search.asked().is_to_end
    assert Counter(Counter(beam.node for beam in search.asked().beams).values()) == {2: 2}
    assert {beam.node for beam in search.asked().beams} <= {beam.node for beam in candidates}


def test_a_foresight_may_be_cut_to_some_steps() -> None:
    search = Played(2, 2, PhiOptions(depth=3))
    candidates = search.expand(*same(2))
    assert search.asked() == Expand(candidates, num_steps=3, keep=candidates, is_rollout=True)


def test_at_a_low_temperature_the_likeliest_foresight_and_those_that_most_agree_with_are_chosen() -> None:
    for seed in range(5):
        search = Played(4, 2, PhiOptions(temperature=0.001), seed=seed)
        candidates = search.expand(*same(4))
        search.expand(says(1, -3.0), says(2, -0.1), says(2, -3.0), says(3, -2.0))
        assert {beam.node for beam in search.asked().beams} == {candidates[1].node, candidates[2].node}


def test_the_advantage_is_over_the_foresight_of_the_step_before(monkeypatch: pytest.MonkeyPatch) -> None:
    advantages: list[float] = []

    def spy(values: Sequence[float], aligned: Sequence[float], temperature: float) -> list[float]:
        advantages[:] = values
        return joint(values, aligned, temperature)

    monkeypatch.setattr(phi_module, "joint", spy)
    search = Played(4, 2, PhiOptions(temperature=0.001))
    first = search.expand(*same(4))
    search.expand(says(1, -4.0), says(1, -1.0), says(2, -9.0), says(3, -9.0))
    assert advantages == [-4.0, -1.0, -9.0, -9.0]
    seen = {first[0].node: -4.0, first[1].node: -1.0}
    parents = [beam.node for beam in search.asked().beams]
    assert set(parents) == set(seen)
    search.expand(*same(4))
    search.expand(*(says(number, -2.0) for number in range(4)))
    assert advantages == [-2.0 - seen[parent] for parent in parents]


def test_finished_candidates_leave_with_their_share_of_the_width() -> None:
    search = Played(8, 4)
    search.expand(*same(5), says(1), says(1), says(1))
    assert len(search.asked().beams) == 5
    search.expand(*(says(number) for number in range(5)))
    assert len(search.asked().beams) == 5
    assert len({beam.node for beam in search.asked().beams}) == 1


def test_unlikely_candidates_are_not_followed() -> None:
    search = Played(4, 2)
    candidates = search.expand(step(-1.0), step(-1.1), step(-5.0), step(-0.9))
    assert list(search.asked().beams) == [candidates[0], candidates[1], candidates[3]]


@pytest.mark.parametrize(("n", "m"), [(1, 4), (4, 1), (1, 1)])
def test_where_there_is_nothing_to_choose_nothing_is_foreseen(n: int, m: int) -> None:
    search = Played(n, m)
    beams = search.expand(*same(n))
    assert search.asked() == Expand(beams, is_to_end=True)
    with pytest.raises(StopIteration):
        search.expand(*[says(1)] * n)


def test_it_ends_when_all_beams_end_at_once() -> None:
    with pytest.raises(StopIteration):
        Played(4, 2).expand(*[says(1)] * 4)
    with pytest.raises(StopIteration):
        Played(4, 2).search.send([])


def play(search: Played, *answers: int) -> None:
    """A whole round: a step for each beam, and a foresight for each."""
    search.expand(*same(len(search.asked().beams)))
    search.expand(*(says(answer) for answer in answers))


def test_foresight_ends_once_enough_of_it_agrees_and_the_chosen_beams_are_completed() -> None:
    search = Played(4, 2, PhiOptions(min_rounds=2, agreement=0.75))
    play(search, 1, 1, 1, 1)
    assert not search.asked().is_to_end  # not in the first round
    play(search, 1, 1, 2, 2)
    assert not search.asked().is_to_end  # half agree
    play(search, 1, 1, 1, 2)
    assert search.asked().is_to_end
    assert not search.asked().is_rollout
    assert len({beam.node for beam in search.asked().beams}) == len(search.asked().beams) == 2
    with pytest.raises(StopIteration):
        search.expand(says(1), says(1))


def test_foresight_ends_after_as_many_rounds_as_are_allowed() -> None:
    search = Played(2, 2, PhiOptions(min_rounds=1, max_rounds=2))
    play(search, 1, 2)
    play(search, 1, 2)
    assert search.asked().is_to_end
    assert len(search.asked().beams) == 1


def test_a_candidate_without_room_for_a_foresight_is_dropped() -> None:
    search = Played(2, 2)
    candidates = search.expand(*same(2))
    cut = Beam(ROOT.prompt, (Step("x\n\n", (1, 1), -2.0, "length", id=candidates[0].node),))
    end = candidates[1].grown((says(1),))
    search.request = search.search.send([cut, end])
    assert {beam.node for beam in search.asked().beams} == {candidates[1].node}
    search = Played(2, 2)
    search.expand(*same(2))
    with pytest.raises(StopIteration):
        search.search.send(list(search.asked().beams))


def chosen_with(seed: int) -> list[int]:
    """The places of the candidates that are kept with this seed."""
    search = Played(16, 4, seed=seed)
    candidates = search.expand(*same(16))
    search.expand(*(says(number % 3) for number in range(16)))
    kept = list(dict.fromkeys(beam.node for beam in search.asked().beams))
    return [[beam.node for beam in candidates].index(node) for node in kept]


def test_the_seed_fixes_the_choice() -> None:
    assert chosen_with(3) == chosen_with(3)
    assert len({tuple(chosen_with(seed)) for seed in range(5)}) > 1


# -- its parts ---------------------------------------------------------------------------------------------------------


def ended(*steps: Step) -> Beam:
    return ROOT.grown(steps)


def test_foresights_are_alike_where_their_answers_are_equal_or_their_last_steps() -> None:
    ends = [
        ended(says("1/2")),
        ended(step(), says("0.5")),
        ended(says("2")),
        ended(step(text="so  x = 3\n\n")),
        ended(step(), step(text="so x = 3 \n\n")),
        ended(step(finish="length", text="The answer is \\boxed{2}")),
    ]
    assert alignments(ends) == [2 / 6, 2 / 6, 1 / 6, 2 / 6, 2 / 6, 1 / 6]
    assert alignments([]) == []


def test_the_weights_are_the_sum_of_two_softmaxes() -> None:
    found = joint([0.0, 1.0], [0.25, 0.75], 0.5)
    first = [1 / (1 + math.exp(2)), math.exp(2) / (1 + math.exp(2))]
    second = [1 / (1 + math.exp(1)), math.exp(1) / (1 + math.exp(1))]
    assert found == pytest.approx([sum(pair) for pair in zip(first, second, strict=True)])
    assert joint([-1e9, 0.0], [1.0, 1.0], 1e-3) == pytest.approx([0.5, 1.5])
    assert joint([], [], 0.6) == []


@settings(deadline=None)
@given(st.lists(st.floats(-50, 0), min_size=1, max_size=12), st.floats(0, 3), st.data())
def test_pruning_keeps_what_lies_within_sigma_of_the_mean_and_never_too_few(
    likely: list[float], sigma: float, data: st.DataObject
) -> None:
    least = data.draw(st.integers(1, len(likely)))
    beams = [ended(step(value, num_tokens=1)) for value in likely]
    kept = prune(beams, sigma, least)
    assert len(kept) >= least
    assert kept == [beam for beam in beams if beam in kept]
    mean = math.fsum(likely) / len(likely)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in likely) / len(likely))
    inside = [beam for beam in beams if beam.logprob > mean - sigma * spread + 1e-6]
    assert {beam.node for beam in inside} <= {beam.node for beam in kept}
    limit = min(mean - sigma * spread, sorted(likely)[-least])
    assert all(beam.logprob >= limit - 1e-6 for beam in kept)


def test_candidates_that_are_equally_likely_all_stay() -> None:
    beams = [ended(step(-0.1, num_tokens=3)) for _ in range(7)]
    assert prune(beams, 1.0, 1) == beams
    assert prune(beams, 0.0, 1) == beams


def test_beams_are_drawn_without_replacement_by_their_weights() -> None:
    beams = [ended(step()) for _ in range(3)]
    counts: Counter[int] = Counter()
    rng = random.Random(1)
    for _ in range(3000):
        drawn = sample(beams, [0.5, 0.25, 0.25], 2, rng)
        assert len({beam.node for beam in drawn}) == 2
        counts[drawn[0].node] += 1
    assert counts[beams[0].node] / 3000 == pytest.approx(0.5, abs=0.03)
    assert counts[beams[1].node] / 3000 == pytest.approx(0.25, abs=0.03)
    assert sample(beams, [1.0, 1.0, 1.0], 9, rng) != []
    assert len(sample(beams, [1.0, 1.0, 1.0], 9, rng)) == 3
    assert sample([], [], 2, rng) == []


def test_it_lasts_as_long_as_its_foresights() -> None:
    assert rounds(SearchConfig(n=1, m=4), PhiOptions()) == 1.0
    assert rounds(SearchConfig(n=16, m=1), PhiOptions()) == 1.0
    assert rounds(SearchConfig(n=16, m=4), PhiOptions()) == 4.5
    assert rounds(SearchConfig(n=16, m=4), PhiOptions(depth=2)) == 3.0
    assert rounds(SearchConfig(n=16, m=4), PhiOptions(depth=20)) == 4.5


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"temperature": 0.0}, r"temperature must be above 0, not 0\.0"),
        ({"sigma": -1.0}, r"sigma must be >= 0, not -1\.0"),
        ({"agreement": 0.0}, r"agreement must be in \(0, 1\], not 0\.0"),
        ({"min_rounds": 0}, "min_rounds must be >= 1, not 0"),
        ({"max_rounds": 3}, "max_rounds must be >= min_rounds = 4, not 3"),
        ({"depth": -1}, "depth must be >= 0, not -1"),
    ],
)
def test_a_setting_out_of_range_is_named(own: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PhiOptions(**own)  # type: ignore[arg-type]


# -- the built-in models -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 4, 16])
def test_on_the_built_in_models_it_foresees_and_answers(n: int) -> None:
    hard = held_out(3, 100, "mixed")[-1].problem
    with edgesearch.load("nano", "none", max_n=16) as pipeline:
        alone = pipeline.solve(hard, budget_s=600, strategy="majority", n=n)
        found = pipeline.solve(hard, budget_s=600, strategy="phi", n=n)
        again = pipeline.solve(hard, budget_s=600, strategy="phi", n=n)
        other = pipeline.solve(hard, budget_s=600, strategy="phi", n=n, options={"depth": 1})
    assert found.answer is not None
    assert found.finish == "stop"
    assert found.usage.verified_tokens == 0
    assert [each.beam.text for each in found.candidates] == [each.beam.text for each in again.candidates]
    if n == 1:
        assert (found.text, found.usage.decoded_tokens) == (alone.text, alone.usage.decoded_tokens)
    else:
        assert found.usage.decoded_tokens > other.usage.decoded_tokens > 0
        assert 1 <= len(found.candidates) <= n

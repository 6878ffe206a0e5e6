"""Particle filtering: weights, resampling, and the search, by hand and over models."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from searches import ROOT, Played, Scripted, grow, judge

import edgesearch
from edgesearch.engines.scripted import ScriptedEngine
from edgesearch.search.base import Expand, SearchConfig
from edgesearch.search.particle import RESAMPLINGS, ParticleOptions, particle_filter, resampled, weights
from edgesearch.tasks.arithmetic import held_out
from edgesearch.types import Beam

scores_lists = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def scored(scores: list[float]) -> list[Beam]:
    return judge(grow([ROOT] * len(scores)), scores)


def play(n: int, seed: int = 0, **options: float | str) -> Played:
    return Played(particle_filter(ROOT, SearchConfig(n=n, m=1, seed=seed), ParticleOptions(**options)))


# -- weights and resampling --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "temperature", "expected"),
    [
        ([0.8, 0.5], 1.0, [0.8, 0.2]),  # odds of 4 and 1
        ([0.8, 0.5], 2.0, [2 / 3, 1 / 3]),  # their square roots
        ([0.9, 0.5, 0.1], 1.0, [81 / 91, 9 / 91, 1 / 91]),  # odds of 9, 1 and 1/9
        ([0.3, 0.3, 0.3, 0.3], 0.1, [0.25] * 4),
        ([0.4], 1.0, [1.0]),
    ],
)
def test_weights_are_odds_to_the_power_of_one_over_the_temperature(scores, temperature, expected) -> None:
    assert weights(scored(scores), "last", temperature) == pytest.approx(expected)


def test_scores_of_0_and_1_are_clipped_and_so_have_finite_weights() -> None:
    least = (1e-7 / (1 - 1e-7)) ** 2
    assert weights(scored([0.0, 1.0]), "last", 1.0) == pytest.approx([least / (1 + least), 1 / (1 + least)])


def test_weights_follow_the_aggregator() -> None:
    [beam] = judge(grow(scored([0.5])), [0.8])
    assert weights([beam, *scored([0.5])], "last", 1.0) == pytest.approx([0.8, 0.2])
    assert weights([beam, *scored([0.5])], "min", 1.0) == pytest.approx([0.5, 0.5])


@given(scores_lists, st.floats(0.01, 100))
def test_weights_add_up_to_1_and_rise_with_the_score(scores, temperature) -> None:
    found = weights(scored(scores), "last", temperature)
    assert math.fsum(found) == pytest.approx(1.0)
    by_score = sorted(zip(scores, found, strict=True))
    assert all(low[1] <= high[1] * (1 + 1e-9) for low, high in itertools.pairwise(by_score))


@pytest.mark.parametrize("how", RESAMPLINGS)
def test_a_particle_is_drawn_in_proportion_to_its_weight_in_the_mean(how) -> None:
    particles, chances, number, repeats = scored([0.5] * 4), [0.5, 0.3, 0.2, 0.0], 5, 4000
    counts = Counter(
        particle.node
        for seed in range(repeats)
        for particle in resampled(particles, chances, number, random.Random(seed), how)
    )
    for particle, chance in zip(particles, chances, strict=True):
        error = math.sqrt(repeats * number * chance * (1 - chance))  # of the multinomial; the systematic has less
        assert abs(counts[particle.node] - repeats * number * chance) <= 5 * error


@given(scores_lists, st.integers(1, 20), st.integers(0, 10**6))
def test_systematic_draws_differ_from_their_mean_by_less_than_one(scores, number, seed) -> None:
    particles = scored(scores)
    chances = weights(particles, "last", 1.0)
    drawn = Counter(
        particle.node for particle in resampled(particles, chances, number, random.Random(seed), "systematic")
    )
    assert drawn.total() == number
    for particle, chance in zip(particles, chances, strict=True):
        assert abs(drawn[particle.node] - number * chance) < 1 + 1e-6


@given(scores_lists, st.integers(0, 20), st.integers(0, 10**6), st.sampled_from(RESAMPLINGS))
def test_as_many_are_drawn_as_asked_for_and_all_of_them_from_the_particles(scores, number, seed, how) -> None:
    particles = scored(scores)
    drawn = resampled(particles, weights(particles, "last", 1.0), number, random.Random(seed), how)
    assert len(drawn) == number
    assert {beam.node for beam in drawn} <= {beam.node for beam in particles}


def test_the_temperature_is_annealed_in_equal_parts_and_then_stays() -> None:
    options = ParticleOptions(temperature=2.0, final_temperature=1.0, annealing_steps=4)
    assert [options.temperature_at(index) for index in range(6)] == [2.0, 1.75, 1.5, 1.25, 1.0, 1.0]
    assert ParticleOptions(temperature=0.5, final_temperature=2.0).temperature_at(9) == 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature must be above 0, not 0.0"),
        ({"temperature": math.inf}, "temperature must be above 0, not inf"),
        ({"final_temperature": -1.0}, "final_temperature must be above 0, not -1.0"),
        ({"annealing_steps": -1}, "annealing_steps must be >= 0, not -1"),
        ({"resampling": "residual"}, "resampling must be one of multinomial, systematic, not 'residual'"),
    ],
)
def test_options_out_of_range_are_refused(options, message) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        ParticleOptions(**options)


# -- the search, by hand -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 16])
def test_it_starts_with_n_copies_of_the_problem(n: int) -> None:
    assert play(n).request == Expand([ROOT] * n)


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_particles_are_drawn_by_their_weights_with_the_seed(seed: int) -> None:
    search = play(4, seed, temperature=0.5)
    judged = search.turn([0.3, 0.9, 0.5, 0.7])
    expected = random.Random(seed).choices(judged, weights=weights(judged, "last", 0.5), k=4)
    assert search.frontier == expected


def test_the_temperature_of_each_resampling_is_its_own() -> None:
    search = play(2, temperature=1.0, final_temperature=1000.0, annealing_steps=1)
    generator = random.Random(0)
    for temperature in (1.0, 1000.0, 1000.0):
        judged = search.turn([0.9, 0.4])
        assert search.frontier == generator.choices(judged, weights=weights(judged, "last", temperature), k=2)


def test_a_low_weight_loses_its_place_to_copies_of_a_high_one() -> None:
    search = play(4)
    judged = search.turn([0.0, 1.0, 0.0, 0.0])
    assert search.frontier == [judged[1]] * 4


def test_a_finished_particle_keeps_its_weight_and_may_take_every_place() -> None:
    search = play(4)
    with pytest.raises(StopIteration):
        search.turn([0.0, 1.0, 0.0, 0.0], ["step", "stop", "step", "step"])


def test_a_finished_particle_may_lose_its_place_to_one_that_goes_on() -> None:
    search = play(4)
    judged = search.turn([0.0, 1.0, 0.0, 0.0], ["stop", "step", "stop", "step"])
    assert search.frontier == [judged[1]] * 4


def test_a_finished_particle_that_was_drawn_is_not_grown_and_stays_in_the_next_draw() -> None:
    for seed in range(20):
        search = play(8, seed)
        judged = search.turn([0.5] * 8, ["stop"] * 4 + ["step"] * 4)
        drawn = random.Random(seed).choices(judged, weights=[1.0] * 8, k=8)
        if {beam.is_alive for beam in drawn} == {True, False}:
            break
    assert search.frontier == [beam for beam in drawn if beam.is_alive]
    scores = [0.0] * len(search.frontier)
    with pytest.raises(StopIteration):  # the finished ones, at 0.5, now weigh all there is
        search.turn(scores)


def test_a_particle_that_was_cut_off_has_no_weight() -> None:
    search = play(3)
    judged = search.turn([1.0, 0.0, 1.0], ["length", "step", "deadline"])
    assert search.frontier == [judged[1]] * 3


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_it_ends_when_all_particles_end_at_once(finish) -> None:
    with pytest.raises(StopIteration):
        play(4).turn([0.9, 0.1, 0.5, 0.7], [finish] * 4)


def test_one_particle_is_a_plain_draft() -> None:
    search = play(1)
    for _ in range(3):
        assert search.turn([0.0]) == search.frontier
    with pytest.raises(StopIteration):
        search.turn([0.0], ["stop"])


# -- over scripted models ----------------------------------------------------------------------------------------------


def write(beam: Beam, seed: int) -> str:
    """Steps that are good or bad, each by its own bit of the seed, 2 to 5 of them, then how many were good."""
    rest = [f"{'good' if seed >> index & 1 else 'bad'} {seed % 89}\n\n" for index in range(2 + seed % 4)]
    return "".join(rest[len(beam.steps) :]) + rf"so \boxed{{{len(beam.steps)}}}"


def score(beam: Beam, index: int) -> float:
    return 0.95 if "good" in beam.steps[index].text else 0.05 if "bad" in beam.steps[index].text else 0.5


def share_of_good(run: Scripted) -> float:
    texts = "".join(run.texts)
    return texts.count("good") / (texts.count("good") + texts.count("bad"))


@pytest.mark.parametrize("how", RESAMPLINGS)
def test_it_gathers_where_the_scores_are_high(how) -> None:
    found = Scripted(write, "particle", n=32, score=score, options=ParticleOptions(resampling=how))
    blind = Scripted(write, "particle", n=32, score=score, options=ParticleOptions(temperature=1000.0))
    assert share_of_good(found) > 0.75 > 0.65 > share_of_good(blind)


def test_the_seed_fixes_the_resampling() -> None:
    assert Scripted(write, "particle", n=8, seed=3).texts == Scripted(write, "particle", n=8, seed=3).texts
    assert Scripted(write, "particle", n=8, seed=3).texts != Scripted(write, "particle", n=8, seed=4).texts


@pytest.mark.parametrize("n", [1, 4, 16])
def test_it_costs_at_most_n_steps_for_every_step_of_the_longest(n, monkeypatch) -> None:
    drafts: list[int] = []
    start = ScriptedEngine.start
    monkeypatch.setattr(ScriptedEngine, "start", lambda self, draft: (drafts.append(draft.id), start(self, draft)))
    run = Scripted(write, "particle", n=n, score=score)
    assert len(drafts) <= n * max(len(candidate.beam.steps) for candidate in run.result.candidates)
    assert len(run.verifier.judged_nodes) == len(set(run.verifier.judged_nodes))


# -- on the built-in models --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pipeline():
    with edgesearch.load(check=False) as loaded:
        yield loaded


PROBLEM = held_out(seed=0, count=21)[20].problem


@pytest.mark.parametrize("n", [1, 4, 16])
@pytest.mark.parametrize("how", RESAMPLINGS)
def test_it_answers_on_the_built_in_models(pipeline, n, how) -> None:
    solution = pipeline.solve(PROBLEM, budget_s=60, strategy="particle", n=n, options={"resampling": how})
    assert solution.answer is not None
    assert solution.warnings == ()
    assert solution.strategy.options["resampling"] == how
    longest = max(candidate.beam.num_tokens for candidate in solution.candidates)
    assert solution.usage.decoded_tokens <= 1.25 * n * longest


def test_one_particle_writes_what_one_sample_writes(pipeline) -> None:
    alone = pipeline.solve(PROBLEM, budget_s=60, strategy="sample", n=1, seed=3).text
    assert pipeline.solve(PROBLEM, budget_s=60, strategy="particle", n=1, seed=3).text == alone

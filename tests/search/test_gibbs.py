"""Particle Gibbs: iterations along a reference, by hand and over models."""

from __future__ import annotations

import pytest
from searches import ROOT, Played, Scripted, grow, judge

import edgesearch
from edgesearch import search
from edgesearch.engines.scripted import ScriptedEngine
from edgesearch.errors import UsageError
from edgesearch.search.base import Expand, SearchConfig
from edgesearch.search.gibbs import GibbsOptions, check, num_iterations, particle_gibbs, passed, shortened, to_keep
from edgesearch.search.particle import ParticleOptions, particle_filter
from edgesearch.tasks.arithmetic import held_out
from edgesearch.types import Beam


def play(n: int, seed: int = 0, **options: float | str) -> Played:
    return Played(particle_gibbs(ROOT, SearchConfig(n=n, m=1, seed=seed), GibbsOptions(**options)))


def keep(search: Played) -> list[Beam]:
    assert isinstance(search.request, Expand)
    return list(search.request.keep)


def solution(scores: list[float]) -> Beam:
    """A finished beam with these step scores."""
    beam = ROOT
    for index, score in enumerate(scores):
        [beam] = judge(grow([beam], ["stop" if index == len(scores) - 1 else "step"]), [score])
    return beam


# -- sharing out -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "asked", "expected"), [(1, 2, 1), (2, 2, 1), (3, 4, 1), (4, 2, 2), (4, 4, 2), (16, 4, 4), (16, 1, 1)]
)
def test_each_iteration_has_at_least_two_particles(n: int, asked: int, expected: int) -> None:
    assert num_iterations(SearchConfig(n=n), GibbsOptions(iterations=asked)) == expected


def test_an_n_that_cannot_be_shared_out_is_refused_with_the_rule() -> None:
    with pytest.raises(ValueError, match=r"^n must be a multiple of iterations, not n=16 with iterations=3$"):
        check(SearchConfig(n=16), GibbsOptions(iterations=3))
    check(SearchConfig(n=15), GibbsOptions(iterations=3))
    check(SearchConfig(n=1), GibbsOptions(iterations=3))
    assert search.strategy("particle_gibbs").check is check


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"iterations": 0}, "iterations must be >= 1, not 0"),
        ({"temperature": 0.0}, "temperature must be above 0, not 0.0"),
        ({"resampling": "none"}, "resampling must be one of multinomial, systematic, not 'none'"),
    ],
)
def test_options_out_of_range_are_refused(options, message) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        GibbsOptions(**options)


# -- states on the way to a solution -----------------------------------------------------------------------------------


def nodes(beam: Beam) -> list[int]:
    return [step.id for step in beam.steps]


def test_a_reference_stands_where_it_was_after_as_many_steps_if_that_is_held() -> None:
    beam = solution([0.1, 0.2, 0.3])
    [first] = passed(beam, 1, nodes(beam))
    assert (first.steps, first.scores, first.is_alive) == (beam.steps[:1], (0.1,), True)
    assert passed(beam, 2, nodes(beam)[:1]) == []
    assert passed(beam, 3, set()) == [beam]
    assert passed(beam, 9, set()) == [beam]
    assert passed(None, 1, nodes(beam)) == []


def test_what_this_iteration_can_draw_is_kept_first_and_then_what_most_particles_passed() -> None:
    reference = solution([0.5, 0.5, 0.5])
    [trunk] = judge(grow([ROOT]), [0.5])
    twigs = judge(grow([trunk] * 2), [0.5, 0.5])
    held = {trunk.node, *(beam.node for beam in twigs), *nodes(reference)[:2]}
    before, ahead = shortened(reference, 1), shortened(reference, 2)
    found = to_keep(twigs, reference, 1, held, 9, is_last=False)
    assert found == [ahead, trunk, before, *twigs]
    assert to_keep(twigs, reference, 1, held, 2, is_last=False) == [ahead, trunk]
    assert to_keep(twigs, reference, 1, held - {trunk.node}, 2, is_last=False) == [ahead, before]
    assert to_keep(twigs, reference, 1, held, 9, is_last=True) == [ahead]
    assert to_keep(twigs, None, 1, held, 9, is_last=True) == []


# -- the search, by hand -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 4])
def test_one_iteration_is_particle_filtering(n: int) -> None:
    gibbs = play(n, seed=5, iterations=1)
    plain = Played(particle_filter(ROOT, SearchConfig(n=n, m=1, seed=5), ParticleOptions()))
    grown = grow([ROOT] * n)
    for each in (gibbs, plain):
        each.request = each.search.send(grown)
        each.judge([0.9, 0.4, 0.6, 0.5][:n])
    assert gibbs.frontier == plain.frontier
    assert keep(gibbs) == []


def test_a_free_particle_can_go_on_from_where_the_reference_was() -> None:
    search = play(4)
    assert (search.frontier, keep(search)) == ([ROOT] * 2, [ROOT])
    first = search.turn([1.0, 0.0])
    assert (search.frontier, keep(search)) == ([first[0]] * 2, [ROOT, first[0]])
    search.turn([1.0, 0.0], ["stop", "stop"])  # the first is the reference now
    assert (search.frontier, keep(search)) == ([ROOT], [first[0]])
    search.turn([0.0])
    assert (search.frontier, keep(search)) == ([first[0]], [])
    with pytest.raises(StopIteration):
        search.turn([0.5], ["stop"])


def test_a_free_particle_that_is_better_than_the_reference_goes_on_itself() -> None:
    search = play(4)
    search.turn([0.0, 0.0])
    search.turn([1.0, 0.0], ["stop", "stop"])
    [free] = search.turn([1.0])
    assert search.frontier == [free]


def test_a_reference_that_is_finished_competes_as_what_it_is() -> None:
    search = play(4)
    search.turn([1.0, 0.0], ["stop", "step"])  # both particles become the finished one
    assert search.frontier == [ROOT]
    with pytest.raises(StopIteration):
        search.turn([0.0])  # the free particle becomes a copy of the reference, which is finished


def test_the_reference_is_drawn_again_from_the_free_particles_and_itself() -> None:
    search = play(6, iterations=3)
    first = search.turn([1.0, 1.0])
    kept = first[[beam.node for beam in first].index(search.frontier[0].node)]
    search.turn([1.0] * 2, ["stop", "stop"])
    assert search.frontier == [ROOT]
    search.turn([0.0], ["stop"])  # worth nothing: the reference stays
    assert search.frontier == [ROOT]
    assert kept.node in {beam.node for beam in keep(search)}
    search.turn([0.0])
    assert search.frontier[0].node in {beam.node for beam in first}


def test_a_first_iteration_without_a_solution_leaves_the_next_without_a_reference() -> None:
    search = play(4)
    search.turn([0.5, 0.5], ["length", "length"])
    assert search.frontier == [ROOT] * 2
    with pytest.raises(StopIteration):
        search.turn([0.5, 0.5], ["stop", "length"])


def test_one_particle_is_a_plain_draft() -> None:
    search = play(1, iterations=4)
    for _ in range(3):
        assert search.turn([0.0]) == search.frontier
    with pytest.raises(StopIteration):
        search.turn([0.0], ["stop"])


# -- over scripted models ----------------------------------------------------------------------------------------------


def write(beam: Beam, seed: int) -> str:
    """Two words only, so that many beams are copies of each other; 2 to 5 steps."""
    rest = [f"{'good' if seed >> index & 1 else 'bad'}\n\n" for index in range(2 + seed % 4)]
    return "".join(rest[len(beam.steps) :]) + rf"so \boxed{{{len(beam.steps)}}}"


def score(beam: Beam, index: int) -> float:
    return 0.9 if "good" in beam.steps[index].text else 0.1 if "bad" in beam.steps[index].text else 0.5


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("n", "iterations"), [(1, 2), (4, 2), (8, 4), (16, 2), (16, 8), (12, 3)])
def test_it_stays_within_its_cost_and_the_engine_s_memory(n, iterations, seed, monkeypatch) -> None:
    drafts: list[int] = []
    held: list[int] = []
    start, advance = ScriptedEngine.start, ScriptedEngine.advance

    def counted_advance(self, deadline):
        done = advance(self, deadline)
        held.append(len(self.nodes))
        return done

    monkeypatch.setattr(ScriptedEngine, "start", lambda self, draft: (drafts.append(draft.id), start(self, draft)))
    monkeypatch.setattr(ScriptedEngine, "advance", counted_advance)
    options = GibbsOptions(iterations=iterations)
    run = Scripted(write, "particle_gibbs", n=n, score=score, options=options, seed=seed)
    assert all(candidate.beam.finish == "stop" for candidate in run.result.candidates)
    assert max(held) <= 2 * n + 1
    rounds = num_iterations(SearchConfig(n=n), options)
    assert len(drafts) <= (n - rounds + 1) * 6  # no solution has more steps
    assert run.result.usage.prefilled_tokens == run.result.usage.prompt_tokens


def marked(beam: Beam, seed: int) -> str:
    return "".join(f"{seed}\n\n" for _ in range(len(beam.steps), 3)) + "so"


def test_the_seed_fixes_the_search() -> None:
    def texts(seed: int) -> list[str]:
        return Scripted(marked, "particle_gibbs", n=8, score=score, seed=seed).texts

    assert texts(3) == texts(3)
    assert texts(3) != texts(4)


# -- on the built-in models --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pipeline():
    with edgesearch.load(check=False) as loaded:
        yield loaded


PROBLEM = held_out(seed=0, count=21)[20].problem


@pytest.mark.parametrize(("n", "iterations"), [(1, 2), (4, 2), (16, 2), (16, 4)])
def test_it_answers_on_the_built_in_models(pipeline, n, iterations) -> None:
    options = {"iterations": iterations}
    solution = pipeline.solve(PROBLEM, budget_s=60, strategy="particle_gibbs", n=n, options=options)
    assert solution.answer is not None
    assert solution.warnings == ()
    longest = max(candidate.beam.num_tokens for candidate in solution.candidates)
    assert solution.usage.decoded_tokens <= 1.25 * n * longest
    assert solution.usage.prefilled_tokens == solution.usage.prompt_tokens


def test_one_particle_writes_what_one_sample_writes(pipeline) -> None:
    alone = pipeline.solve(PROBLEM, budget_s=60, strategy="sample", n=1, seed=3).text
    assert pipeline.solve(PROBLEM, budget_s=60, strategy="particle_gibbs", n=1, seed=3).text == alone


def test_an_n_that_cannot_be_shared_out_is_a_usage_error(pipeline) -> None:
    with pytest.raises(UsageError, match="n must be a multiple of iterations, not n=16 with iterations=3"):
        pipeline.solve(PROBLEM, budget_s=60, strategy="particle_gibbs", n=16, options={"iterations": 3})

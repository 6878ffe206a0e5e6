"""Revision: chains of attempts, each of which sees those before it, driven by hand, by the driver and for real."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch import loading, search
from edgesearch.budget import Budget, ManualClock
from edgesearch.driver import Driver
from edgesearch.engines.scripted import ScriptedEngine
from edgesearch.errors import ContextOverflow
from edgesearch.jobs import Job, JobResult
from edgesearch.pipeline import Pipeline
from edgesearch.search.base import Expand, Judge, Search, SearchConfig
from edgesearch.search.revision import RevisionOptions, check, revision, revision_vote, rounds
from edgesearch.types import Beam, Finish, Prompt, Sampling, Step
from edgesearch.verifiers.scripted import ScriptedVerifier

ROOT = Beam(Prompt("2 + 2?", "Be brief."))


def solution(text: str, finish: Finish = "stop") -> Beam:
    return ROOT.grown((Step(text, (1,), -1.0, finish),))


def expand(request: object) -> Expand:
    assert isinstance(request, Expand)
    assert request.is_to_end
    assert request.temperature is None
    return request


def answered(search: Search, request: object, texts: Sequence[str]) -> object:
    """The request after one that was answered with these solutions."""
    assert len(expand(request).beams) == len(texts)
    return search.send([solution(text) for text in texts])


def shown(request: object) -> list[tuple[str, ...]]:
    return [beam.prompt.attempts for beam in expand(request).beams]


# -- the definition ----------------------------------------------------------------------------------------------------


def test_each_attempt_sees_those_before_it_in_its_own_chain() -> None:
    search = revision(ROOT, SearchConfig(n=6), RevisionOptions(length=3))
    first = next(search)
    assert expand(first).beams == [ROOT, ROOT]
    second = answered(search, first, ["a1", "b1"])
    assert shown(second) == [("a1",), ("b1",)]
    third = answered(search, second, ["a2", "b2"])
    assert shown(third) == [("a1", "a2"), ("b1", "b2")]
    judge = answered(search, third, ["a3", "b3"])
    assert isinstance(judge, Judge)
    assert [beam.text for beam in judge.beams] == ["a1", "b1", "a2", "b2", "a3", "b3"]
    with pytest.raises(StopIteration):
        search.send(list(judge.beams))


def test_a_revised_prompt_is_the_problem_with_attempts_and_grew_from_the_one_before() -> None:
    search = revision(ROOT, SearchConfig(n=3), RevisionOptions(length=3))
    second = expand(answered(search, next(search), ["a1"]))
    prompt = second.beams[0].prompt
    assert (prompt.user, prompt.system, prompt.step_delimiter) == ("2 + 2?", "Be brief.", "\n\n")
    assert prompt.base == ROOT.prompt.id != prompt.id
    third = expand(answered(search, second, ["a2"]))
    assert third.beams[0].prompt.base == prompt.id


def test_what_the_next_prompts_grow_from_is_kept_and_so_is_the_problem_for_the_verifier() -> None:
    search = revision(ROOT, SearchConfig(n=4), RevisionOptions(length=2))
    first = expand(next(search))
    assert ROOT in first.keep
    second = expand(answered(search, first, ["a1", "b1"]))
    assert {beam.prompt.base for beam in second.beams} <= {beam.node for beam in first.keep}
    assert ROOT in second.keep


def test_only_the_latest_attempts_are_shown() -> None:
    search = revision_vote(ROOT, SearchConfig(n=5), RevisionOptions(length=5, context=2))
    request: object = next(search)
    for text in ("1", "2", "3", "4"):
        request = answered(search, request, [text])
    assert shown(request) == [("3", "4")]


def test_by_default_four_attempts_are_shown() -> None:
    search = revision_vote(ROOT, SearchConfig(n=6), RevisionOptions(length=6))
    request: object = next(search)
    for text in ("1", "2", "3", "4", "5"):
        request = answered(search, request, [text])
    assert shown(request) == [("2", "3", "4", "5")]


def test_an_attempt_is_shown_without_white_space_around_it_and_an_empty_one_not_at_all() -> None:
    search = revision_vote(ROOT, SearchConfig(n=3), RevisionOptions(length=3))
    second = answered(search, next(search), ["\n\n"])
    assert shown(second) == [()]
    assert shown(answered(search, second, [" 5\n\n"])) == [("5",)]


def test_an_attempt_that_was_cut_off_is_shown_as_far_as_it_came() -> None:
    search = revision_vote(ROOT, SearchConfig(n=2), RevisionOptions(length=2))
    next(search)
    assert shown(search.send([solution("2 + 2 is", "length")])) == [("2 + 2 is",)]


def test_revision_by_vote_asks_for_no_scores() -> None:
    search = revision_vote(ROOT, SearchConfig(n=2), RevisionOptions(length=2))
    second = answered(search, next(search), ["5"])
    with pytest.raises(StopIteration):
        answered(search, second, ["4"])


@pytest.mark.parametrize("n", [1, 2, 7])
def test_chains_of_one_attempt_are_best_of_n(n: int) -> None:
    search = revision(ROOT, SearchConfig(n=n), RevisionOptions(length=1))
    request = expand(next(search))
    assert request.beams == [ROOT] * n
    drawn = [solution(str(index)) for index in range(n)]
    assert search.send(drawn) == Judge(drawn)


@settings(deadline=None)
@given(chains=st.integers(1, 8), length=st.integers(1, 8), context=st.integers(1, 8))
def test_n_attempts_are_drawn_in_rounds_of_n_by_length(chains: int, length: int, context: int) -> None:
    search = revision_vote(
        ROOT, SearchConfig(n=chains * length), RevisionOptions(length=min(length, chains * length), context=context)
    )
    drawn: list[Beam] = []
    sizes = []
    request: object = next(search)
    try:
        while True:
            beams = expand(request).beams
            assert all(len(beam.prompt.attempts) == min(len(sizes), context) for beam in beams)
            sizes.append(len(beams))
            reply = [solution(f"{len(sizes)}.{index}") for index in range(len(beams))]
            drawn += reply
            request = search.send(reply)
    except StopIteration:
        pass
    assert sizes == [chains] * length
    assert len({beam.text for beam in drawn}) == chains * length


# -- where a prompt does not fit ---------------------------------------------------------------------------------------


def test_a_chain_that_got_no_reply_ends_and_the_others_go_on_with_their_own_attempts() -> None:
    search = revision_vote(ROOT, SearchConfig(n=9), RevisionOptions(length=3))
    second = answered(search, next(search), ["a1", "b1 is much longer than the others", "c1"])
    assert len(expand(second).beams) == 3
    third = search.send([solution("a2"), solution("c2")])
    assert shown(third) == [("a1", "a2"), ("c1", "c2")]


def test_a_search_whose_last_chain_got_no_reply_ends() -> None:
    search = revision(ROOT, SearchConfig(n=3), RevisionOptions(length=3))
    answered(search, next(search), ["5"])
    assert expand(search.send([])).beams == []
    judge = search.send([])
    assert isinstance(judge, Judge)
    assert [beam.text for beam in judge.beams] == ["5"]


# -- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("field", "value"), [("length", 0), ("length", -1), ("context", 0)])
def test_a_setting_out_of_its_range_is_refused(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"^{field} must be >= 1, not {value}$"):
        RevisionOptions(**{field: value})


@pytest.mark.parametrize(("n", "length"), [(6, 4), (16, 3), (5, 2)])
def test_n_attempts_that_make_no_whole_chains_are_refused_by_the_rule(n: int, length: int) -> None:
    for run in (
        lambda: check(SearchConfig(n=n), RevisionOptions(length=length)),
        lambda: next(revision(ROOT, SearchConfig(n=n), RevisionOptions(length=length))),
    ):
        with pytest.raises(ValueError, match=f"n must be a multiple of length .+ not n={n} with length={length}"):
            run()


@pytest.mark.parametrize(("n", "length", "expected"), [(1, 4, 1), (3, 4, 3), (16, 4, 4), (16, 16, 16), (16, 1, 1)])
def test_a_chain_is_no_longer_than_n_and_its_attempts_come_one_after_the_other(
    n: int, length: int, expected: int
) -> None:
    options = RevisionOptions(length=length)
    check(SearchConfig(n=n), options)
    assert rounds(SearchConfig(n=n), options) == expected


# -- through the driver ------------------------------------------------------------------------------------------------


class Picky(ScriptedEngine):
    """Refuses prompts with more than so many attempts, as one whose context is full."""

    max_attempts = 99

    def open(self, prompt: Prompt) -> tuple[int, ...]:
        if len(prompt.attempts) > self.max_attempts:
            raise ContextOverflow("the problem needs 99 tokens of 10; shorten it")
        return super().open(prompt)


def revise(beam: Beam, seed: int) -> str:
    """One more than the attempt before."""
    attempts = beam.prompt.attempts
    number = int(attempts[-1].rpartition("{")[2].rstrip("}")) + 1 if attempts else 1
    return f"By s{seed % 97}\n\nThe answer is \\boxed{{{number}}}"


def driven(name: str, n: int, options: RevisionOptions, max_attempts: int = 99) -> tuple[JobResult, Picky]:
    clock = ManualClock()
    engine = Picky(revise, clock=clock, pass_s=0.01)
    engine.max_attempts = max_attempts
    verifier = ScriptedVerifier(lambda beam, index: 0.5 + 0.1 * ("{3}" in beam.text), clock=clock)
    driver = Driver(engine, verifier)
    driver.submit(
        Job(
            prompt=Prompt("how many"),
            strategy=search.strategy(name),
            config=SearchConfig(n=n),
            options=options,
            sampling=Sampling(),
            deadline=Budget(100.0).start(clock),
            max_tokens=64,
        )
    )
    for _ in range(10_000):
        ended = driver.turn()
        if ended:
            assert not verifier.nodes
            return ended[0][1], engine
    raise AssertionError("the driver never came to an end")


@pytest.mark.parametrize("name", ["revision", "revision_vote"])
def test_all_attempts_of_all_chains_are_candidates_for_the_problem_itself(name: str) -> None:
    result, engine = driven(name, 8, RevisionOptions(length=4))
    assert sorted(candidate.answer or "" for candidate in result.candidates) == ["1", "1", "2", "2", "3", "3", "4", "4"]
    assert {candidate.beam.prompt for candidate in result.candidates} == {result.job.prompt}
    assert not result.is_cut
    assert not engine.nodes
    assert all((candidate.score is not None) == (name == "revision") for candidate in result.candidates)


def test_every_attempt_is_scored_once_and_the_best_of_all_wins() -> None:
    result, _ = driven("revision", 4, RevisionOptions(length=4))
    best = max(result.candidates, key=lambda candidate: candidate.score or 0.0)
    assert best.answer == "3"
    assert result.usage.verified_tokens == result.usage.decoded_tokens


def test_chains_that_outgrow_the_context_leave_fewer_attempts_and_a_warning() -> None:
    result, _ = driven("revision_vote", 8, RevisionOptions(length=4), max_attempts=2)
    assert sorted(candidate.answer or "" for candidate in result.candidates) == ["1", "1", "2", "2", "3", "3"]
    assert any("was not revised" in warning for warning in result.warnings)


# -- on the built-in models --------------------------------------------------------------------------------------------

PROBLEM = "Ana keeps 59 cards. Dan owns 3 times as many as Ana. How many cards does Dan hold in the end?"


@pytest.fixture(scope="module")
def models() -> Iterator[Pipeline]:
    with loading.load("nano", max_n=8, num_threads=1, check=False) as loaded:
        yield loaded


@pytest.mark.parametrize("name", ["revision", "revision_vote"])
@pytest.mark.parametrize("seed", [0, 7])
def test_one_attempt_is_one_sample(models: Pipeline, name: str, seed: int) -> None:
    sampled = models.solve(PROBLEM, budget_s=60, strategy="majority", n=1, seed=seed)
    revised = models.solve(PROBLEM, budget_s=60, strategy=name, n=1, seed=seed)
    assert revised.text == sampled.text
    assert revised.usage.decoded_tokens == sampled.usage.decoded_tokens


def test_chains_of_one_attempt_draw_what_best_of_n_draws(models: Pipeline) -> None:
    plain = models.solve(PROBLEM, budget_s=60, strategy="best_of_n", n=4, seed=3)
    chains = models.solve(PROBLEM, budget_s=60, strategy="revision", n=4, options={"length": 1}, seed=3)
    texts = [sorted(candidate.beam.text for candidate in found.candidates) for found in (plain, chains)]
    assert texts[0] == texts[1]
    assert chains.answer == plain.answer


@pytest.mark.parametrize("length", [2, 4, 8])
def test_the_mix_of_sequential_and_parallel_draws_and_scores_n_attempts(models: Pipeline, length: int) -> None:
    solved = models.solve(PROBLEM, budget_s=60, strategy="revision", n=8, options={"length": length, "context": 2})
    assert len(solved.candidates) == 8
    assert all(candidate.score is not None for candidate in solved.candidates)
    assert solved.strategy.options == {"length": length, "context": 2}
    assert not solved.warnings


def test_a_longer_prompt_takes_over_what_was_read_of_the_one_before(models: Pipeline) -> None:
    usage = [
        models.solve(PROBLEM, budget_s=60, strategy="revision_vote", n=2, options={"length": length}, seed=1).usage
        for length in (1, 2)
    ]
    assert usage[0].prefilled_tokens == usage[0].prompt_tokens
    assert usage[1].reused_tokens > usage[1].prompt_tokens - 5  # all of the problem but where its last token merges

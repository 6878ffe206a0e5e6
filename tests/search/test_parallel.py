"""Parallel sampling, driven by hand: n solutions at once, scored or not."""

from __future__ import annotations

import pytest
from searches import ROOT, Scripted

import edgesearch
from edgesearch import search
from edgesearch.search.base import Expand, Judge, NoOptions, SearchConfig
from edgesearch.search.parallel import best_of_n, sample
from edgesearch.tasks.arithmetic import held_out
from edgesearch.types import Beam, Step


def solutions(count: int) -> list[Beam]:
    return [ROOT.grown((Step("4", (1,), -1.0, "stop"),)) for _ in range(count)]


@pytest.mark.parametrize("n", [1, 2, 16])
def test_sampling_asks_for_n_whole_solutions_and_no_scores(n: int) -> None:
    search = sample(ROOT, SearchConfig(n=n), NoOptions())
    assert next(search) == Expand([ROOT] * n, is_to_end=True)
    with pytest.raises(StopIteration):
        search.send(solutions(n))


@pytest.mark.parametrize("n", [1, 2, 16])
def test_best_of_n_asks_for_n_whole_solutions_and_a_score_for_each(n: int) -> None:
    search = best_of_n(ROOT, SearchConfig(n=n), NoOptions())
    assert next(search) == Expand([ROOT] * n, is_to_end=True)
    drawn = solutions(n)
    assert search.send(drawn) == Judge(drawn)
    with pytest.raises(StopIteration):
        search.send(drawn)


def test_only_a_majority_may_be_decided_before_all_samples_are_drawn() -> None:
    assert search.strategy("majority").can_stop_early
    assert not search.strategy("sample").can_stop_early


def write(beam: Beam, seed: int) -> str:
    return f"s{seed % 1000} says\n\n" + rf"\boxed{{{seed % 3}}}"


def test_samples_are_all_kept_whatever_they_answer_and_none_is_verified() -> None:
    run = Scripted(write, "sample", n=16)
    assert len(run.result.candidates) == 16
    assert {candidate.score for candidate in run.result.candidates} == {None}
    assert run.verifier.calls == []
    assert run.texts == Scripted(write, "majority", n=16).texts
    assert sorted(run.texts) == sorted(Scripted(write, "best_of_n", n=16).texts)


@pytest.mark.parametrize("n", [1, 4, 16])
def test_all_samples_are_kept_on_the_built_in_models(n: int) -> None:
    problem = held_out(seed=0, count=21)[20].problem
    with edgesearch.load(check=False) as pipeline:
        solution = pipeline.solve(problem, budget_s=60, strategy="sample", n=n)
    assert len(solution.candidates) == n
    assert solution.usage.verified_tokens == 0
    assert solution.answer in {candidate.answer for candidate in solution.candidates}
    assert solution.warnings == ()

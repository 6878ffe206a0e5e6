"""Solves the problems of a cell through the shipped pipeline.

The budget is generous, so that nothing is cut and every width is really that wide. Draws are fixed by the problem and
the ordinal of the draft, so majority and best-of-n of one width see the same samples. Candidates come in the order in
which they ended, short ones first; before narrower blocks are cut they are shuffled, by a seed of the problem's own,
which makes each block a sample like any other.

With the exact check a search ends at the first proof, so what is left of its candidates is no sample: narrower widths
and coverage come from runs without it. What the check would have made of their choices is computed as the pipeline does
it: by giving each candidate its proof.
"""

import dataclasses
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cells import CHOICES, RIGHT, SELECTIONS, UNANSWERED, WRONG, Cell, Draw, Solve, choice_key

import edgesearch
from edgesearch.choice import choose
from edgesearch.tasks.arithmetic import ArithmeticSample, check, grade, is_checkable, label_steps
from edgesearch.types import Candidate, Solution, Usage
from edgesearch.verifiers.checks import prove

BUDGET_S = 120.0
CHILDREN = 4  # m of beam search
DEFAULT_ROOM = 64  # beams that `edgesearch.load` makes room for where a model is small

_loaded: dict[tuple[object, ...], Any] = {}  # in a worker: its pipelines


def load(cell: Cell, room: int) -> Any:
    """The pipeline that runs a cell, with room for so many beams."""
    return edgesearch.load(cell.solver, cell.verifier, max_n=room, check=cell.is_checked)


def solve_chunk(cell: Cell, samples: Mapping[int, ArithmeticSample]) -> list[Solve]:
    """Solves some of the problems, given by index, one after another.

    Raises:
        RuntimeError: what ran is not what was asked for.
    """
    room = 1 if cell.n == 1 else max(DEFAULT_ROOM, cell.n)
    key = (cell.solver, cell.verifier, cell.is_checked, room)
    if key not in _loaded:
        _loaded[key] = load(cell, room)
    return [solve(_loaded[key], cell, index, sample) for index, sample in samples.items()]


def solve(pipeline: Any, cell: Cell, index: int, sample: ArithmeticSample) -> Solve:
    """Solves one problem, in all the cell's rounds."""
    start = time.perf_counter()
    solutions = [_solution(pipeline, cell, index, sample, number) for number in range(cell.num_rounds)]
    wall_s = time.perf_counter() - start
    for solution in solutions:
        _require_as_asked(cell, sample, solution)
    candidates = [candidate for solution in solutions for candidate in solution.candidates]
    grader = _Grader(sample)
    usages = [solution.usage for solution in solutions]
    return Solve(
        index=index,
        choices=_choices(cell, sample, solutions, candidates, grader, index),
        num_candidates=len(candidates),
        num_right=sum(grader.mark(candidate.answer) == RIGHT for candidate in candidates),
        prompt_tokens=_total(usages, "prompt_tokens"),
        prefilled_tokens=_total(usages, "prefilled_tokens"),
        decoded_tokens=_total(usages, "decoded_tokens"),
        verified_tokens=_total(usages, "verified_tokens"),
        kv_cells=max(usage.kv_cells for usage in usages),
        solver_flops=sum(usage.solver_flops for usage in usages),
        verifier_flops=sum(usage.verifier_flops for usage in usages),
        wall_s=wall_s,
        draws=_draws(sample, candidates, grader) if cell.has_draws else None,
    )


def _total(usages: Sequence[Usage], name: str) -> int:
    return sum(getattr(usage, name) for usage in usages)


def _solution(pipeline: Any, cell: Cell, index: int, sample: ArithmeticSample, number: int) -> Solution:
    seed = (number * 1_000_003 + cell.seed) * 1_000_003 + index
    solution: Solution = pipeline.solve(
        sample.problem, budget_s=BUDGET_S, strategy=cell.strategy, n=cell.n, m=CHILDREN, seed=seed
    )
    return solution


def _require_as_asked(cell: Cell, sample: ArithmeticSample, solution: Solution) -> None:
    ran = solution.strategy
    if (ran.name, ran.n) != (cell.strategy, cell.n):
        raise RuntimeError(f"{ran.name} with n={ran.n} ran, not {cell.strategy} with n={cell.n}")
    if solution.finish == "deadline":
        raise RuntimeError(
            f"{cell.name}: {solution.wall_s:.0f} s were not enough; the table would not be of n={cell.n}"
        )
    may_end_early = cell.is_checked and is_checkable(sample.problem)  # a proven answer needs no more drafts
    is_short = cell.strategy in ("majority", "best_of_n") and len(solution.candidates) != cell.n
    if is_short and not may_end_early:
        raise RuntimeError(f"{cell.name}: {len(solution.candidates)} candidates, not {cell.n}")


class _Grader:
    """Grades the answers to one problem, each once."""

    def __init__(self, sample: ArithmeticSample) -> None:
        self._sample = sample
        self._marks: dict[str | None, str] = {None: UNANSWERED}

    def mark(self, answer: str | None) -> str:
        if answer not in self._marks:
            self._marks[answer] = RIGHT if grade(self._sample, answer) else WRONG
        return self._marks[answer]


def _choices(
    cell: Cell,
    sample: ArithmeticSample,
    solutions: Sequence[Solution],
    candidates: Sequence[Candidate],
    grader: _Grader,
    index: int,
) -> dict[str, str]:
    found: dict[str, str] = {}
    if cell.strategy == "best_of_n":
        shuffled = list(candidates)
        random.Random(f"{cell.split} {cell.seed} {index}").shuffle(shuffled)
        if cell.is_checked:  # it may have ended early
            found |= _marks(shuffled, {cell.n}, SELECTIONS, grader)
        else:
            widths = {*cell.widths, cell.num_draws}
            found |= _marks(shuffled, widths, CHOICES, grader)
            proven = [_proven(sample, candidate) for candidate in shuffled]
            found |= _marks(proven, widths, SELECTIONS, grader, is_checked=True)
    if cell.num_rounds == 1:  # the pipeline's own choice
        found[choice_key(cell.strategy, cell.n)] = grader.mark(solutions[0].answer)
    return found


def _marks(
    candidates: Sequence[Candidate],
    widths: Iterable[int],
    names: Iterable[str],
    grader: _Grader,
    *,
    is_checked: bool = False,
) -> dict[str, str]:
    """For every width and choice, a mark for each block."""
    return {
        choice_key(name, n, is_checked=is_checked): "".join(
            grader.mark(_chosen(block, name)) for block in _blocks(candidates, n)
        )
        for n in widths
        for name in names
    }


def _blocks(candidates: Sequence[Candidate], n: int) -> list[Sequence[Candidate]]:
    """As many blocks of n as there are; all candidates where there are fewer."""
    return [candidates[i : i + n] for i in range(0, max(1, len(candidates) - n + 1), n)]


def _proven(sample: ArithmeticSample, candidate: Candidate) -> Candidate:
    """The candidate as a pipeline with the exact check would have it."""
    if candidate.answer is None or candidate.beam.finish != "stop":
        return candidate
    proof = prove(check, sample.problem, candidate.answer)
    return dataclasses.replace(candidate, beam=dataclasses.replace(candidate.beam, proof=proof))


def _chosen(candidates: Sequence[Candidate], name: str) -> str | None:
    if name in SELECTIONS:
        chosen = choose(candidates, SELECTIONS[name]).candidate
    else:
        answered = [candidate for candidate in candidates if candidate.answer is not None]
        chosen = max(answered, key=lambda candidate: candidate.beam.logprob, default=None)
    return chosen.answer if chosen is not None else None


def _draws(sample: ArithmeticSample, candidates: Sequence[Candidate], grader: _Grader) -> list[Draw]:
    """The distinct solutions, the first of each with how many there are."""
    same: dict[tuple[str, str], list[Candidate]] = {}
    for candidate in candidates:
        same.setdefault((candidate.beam.text, candidate.beam.finish), []).append(candidate)
    return [_draw(sample, each[0], len(each), grader) for each in same.values()]


def _draw(sample: ArithmeticSample, candidate: Candidate, count: int, grader: _Grader) -> Draw:
    beam = candidate.beam
    return Draw(
        count=count,
        is_right=grader.mark(candidate.answer) == RIGHT,
        score=candidate.score,
        logprob=round(beam.logprob, 5),
        num_tokens=beam.num_tokens,
        step_scores=[round(score, 6) for score in beam.scores],
        step_labels=label_steps(sample, [step.text.strip() for step in beam.steps]),
    )

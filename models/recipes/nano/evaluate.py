"""How well a verifier helps its solver, on rollouts of held-out problems.

    python models/recipes/nano/evaluate.py RUN/verifier.pt --tokenizer RUN/tokenizer.json --rollouts RUN/dev.jsonl

Within-problem AUC is the chance that a right solution scores above a wrong one *of the same problem*. It is
what search needs. AUC pooled over problems is not reported: a verifier that only knows which problems are
easy reached 0.92 there and made best-of-64 worse than one sample.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from data import batches
from model import Verifier, load_verifier
from rollouts import ProblemRollouts, read_rollouts
from tokenizer import NanoTokenizer

from edgesearch.search import select
from edgesearch.types import AGGREGATORS, Aggregator

NUM_BINS = 15


@dataclass(frozen=True, slots=True)
class Candidate:
    """A solution as a chooser sees it, and whether its answer is right."""

    score: float
    answer: str | None
    is_correct: bool


@torch.inference_mode()
def score_rollouts(
    verifier: Verifier, tokenizer: NanoTokenizer, problems: Sequence[ProblemRollouts], batch_tokens: int = 8192
) -> list[list[list[float]]]:
    """For each problem, each rollout's step scores, the answer line's last."""
    rows = [(p, r) for p, problem in enumerate(problems) for r in range(len(problem.samples))]
    sequences = [problems[p].prompt + problems[p].samples[r].ids for p, r in rows]
    scores: list[list[list[float]]] = [[[]] * len(problem.samples) for problem in problems]
    num_left = len(rows)
    for batch in batches([len(sequence) for sequence in sequences], batch_tokens, seed=0):
        for index, steps in zip(batch, _score_batch(verifier, tokenizer, [sequences[i] for i in batch]), strict=True):
            p, r = rows[index]
            scores[p][r] = steps
        num_left -= len(batch)
        if num_left == 0:  # the first round of batches holds every row once
            return scores
    raise AssertionError("batches never end")


def _score_batch(verifier: Verifier, tokenizer: NanoTokenizer, sequences: Sequence[list[int]]) -> list[list[float]]:
    device = verifier.head.weight.device
    width = max(map(len, sequences))
    ids = torch.tensor([sequence + [tokenizer.pad] * (width - len(sequence)) for sequence in sequences], device=device)
    with torch.autocast(device.type, torch.bfloat16):
        scores = torch.sigmoid(verifier(ids).float())
    is_step_end = (ids == tokenizer.delimiter) | (ids == tokenizer.end)  # prompts hold neither token
    is_step_end[:, -1] |= ~is_step_end.any(1)  # a solution that ran out of length before its first step's end
    return [row[ends].tolist() for row, ends in zip(scores, is_step_end, strict=True)]


def aggregate(scores: Sequence[Sequence[Sequence[float]]], how: Aggregator) -> list[list[float]]:
    return [[select.aggregate(steps, how) for steps in problem] for problem in scores]


def within_problem_auc(problems: Sequence[ProblemRollouts], scores: Sequence[Sequence[float]]) -> tuple[float, int]:
    """The mean over problems that have right and wrong samples, and the number of these."""
    areas = []
    for problem, problem_scores in zip(problems, scores, strict=True):
        right: list[tuple[float, int]] = []  # scores with counts
        wrong: list[tuple[float, int]] = []
        for rollout, score in zip(problem.samples, problem_scores, strict=True):
            (right if rollout.is_correct else wrong).append((score, rollout.count))
        if right and wrong:
            wins = sum(a * b * ((x > y) + 0.5 * (x == y)) for x, a in right for y, b in wrong)
            areas.append(wins / (sum(a for _, a in right) * sum(b for _, b in wrong)))
    return sum(areas) / max(1, len(areas)), len(areas)


def calibration_error(pairs: Sequence[tuple[float, bool, int]]) -> float:
    """Expected calibration error of (score, is it so, count), over equal bins (Guo et al. 2017, arXiv 1706.04599)."""
    bins: dict[int, list[tuple[float, bool, int]]] = defaultdict(list)
    for pair in pairs:
        bins[min(int(pair[0] * NUM_BINS), NUM_BINS - 1)].append(pair)
    total = sum(count for _, _, count in pairs)
    return sum(abs(sum((score - so) * count for score, so, count in members)) for members in bins.values()) / total


def step_pairs(
    problems: Sequence[ProblemRollouts], scores: Sequence[Sequence[Sequence[float]]]
) -> list[tuple[float, bool, int]]:
    """Every step's score with its label."""
    return [
        (score, bool(label), rollout.count)
        for problem, problem_scores in zip(problems, scores, strict=True)
        for rollout, steps in zip(problem.samples, problem_scores, strict=True)
        for score, label in zip(steps, rollout.labels, strict=False)
    ]


def solution_pairs(
    problems: Sequence[ProblemRollouts], scores: Sequence[Sequence[float]]
) -> list[tuple[float, bool, int]]:
    """Every solution's score with whether its answer is right."""
    return [
        (score, rollout.is_correct, rollout.count)
        for problem, problem_scores in zip(problems, scores, strict=True)
        for rollout, score in zip(problem.samples, problem_scores, strict=True)
    ]


def choose_best(candidates: Sequence[Candidate]) -> bool:
    return max(candidates, key=lambda candidate: candidate.score).is_correct


def vote(candidates: Sequence[Candidate], is_weighted: bool) -> bool:
    totals: dict[str, float] = defaultdict(float)
    for candidate in candidates:
        if candidate.answer is not None:
            totals[candidate.answer] += candidate.score if is_weighted else 1.0
    chosen = max(totals, key=totals.__getitem__, default=None)
    return any(candidate.is_correct for candidate in candidates if candidate.answer == chosen)


def accuracies(
    problems: Sequence[ProblemRollouts], scores: Sequence[Sequence[float]], n: int, rounds: int = 20
) -> dict[str, float]:
    """Accuracy at `n` samples, drawn without replacement `rounds` times a problem."""
    choosers: dict[str, Callable[[Sequence[Candidate]], bool]] = {
        "best_of_n": choose_best,
        "weighted": lambda candidates: vote(candidates, is_weighted=True),
        "majority": lambda candidates: vote(candidates, is_weighted=False),
        "coverage": lambda candidates: any(candidate.is_correct for candidate in candidates),
    }
    num_right = dict.fromkeys(choosers, 0)
    rng = random.Random(0)
    for problem, problem_scores in zip(problems, scores, strict=True):
        drawn = [
            Candidate(score, rollout.answer, rollout.is_correct)
            for rollout, score in zip(problem.samples, problem_scores, strict=True)
            for _ in range(rollout.count)
        ]
        for _ in range(rounds):
            chosen = rng.sample(drawn, n)
            for name, chooser in choosers.items():
                num_right[name] += chooser(chosen)
    return {name: round(count / rounds / len(problems), 4) for name, count in num_right.items()}


def by_family(problems: Sequence[ProblemRollouts], scores: Sequence[Sequence[float]], n: int) -> dict[str, object]:
    """Within-problem AUC and accuracies at `n`, family by family."""
    found: dict[str, object] = {}
    for family in sorted({problem.family for problem in problems}):
        rows = [index for index, problem in enumerate(problems) if problem.family == family]
        members, member_scores = [problems[i] for i in rows], [scores[i] for i in rows]
        auc = round(within_problem_auc(members, member_scores)[0], 4)
        found[family] = {"auc": auc, **accuracies(members, member_scores, n)}
    return found


def evaluate(
    verifier: Verifier, tokenizer: NanoTokenizer, problems: Sequence[ProblemRollouts], sizes: Sequence[int]
) -> dict[str, object]:
    step_scores = score_rollouts(verifier, tokenizer, problems)
    aucs, accuracy = {}, {}
    for aggregator in AGGREGATORS:
        scores = aggregate(step_scores, aggregator)
        aucs[aggregator] = round(within_problem_auc(problems, scores)[0], 4)
        accuracy[aggregator] = {str(n): accuracies(problems, scores, n) for n in sizes}
    last = aggregate(step_scores, "last")
    return {
        "num_problems": len(problems),
        "num_problems_with_both": within_problem_auc(problems, last)[1],
        "within_problem_auc": aucs,
        "step_calibration_error": round(calibration_error(step_pairs(problems, step_scores)), 4),
        "solution_calibration_error": round(calibration_error(solution_pairs(problems, last)), 4),
        "accuracy": accuracy,
        "by_family": by_family(problems, last, sizes[-1]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Judge a verifier on rollouts; prints one JSON object.")
    parser.add_argument("verifier", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--rollouts", type=Path, required=True)
    args = parser.parse_args()
    problems = read_rollouts(args.rollouts)
    num_samples = min(sum(rollout.count for rollout in problem.samples) for problem in problems)
    sizes = [2**k for k in range(20) if 2**k <= num_samples]
    _, verifier = load_verifier(args.verifier)
    print(json.dumps(evaluate(verifier, NanoTokenizer(args.tokenizer), problems, sizes)))


if __name__ == "__main__":
    main()

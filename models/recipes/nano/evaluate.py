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
from pathlib import Path

import torch
import torch.nn.functional as F
from data import batches
from model import Verifier, load_verifier
from rollouts import ProblemRollouts, read_rollouts
from tokenizer import NanoTokenizer

Candidate = tuple[float, str | None]  # score, answer
Chooser = Callable[[Sequence[Candidate]], str | None]


@torch.inference_mode()
def score_rollouts(
    verifier: Verifier, tokenizer: NanoTokenizer, problems: Sequence[ProblemRollouts], batch_tokens: int = 4096
) -> list[list[float]]:
    """For each problem, each rollout's score: the product of its steps' scores."""
    rows = [(p, r) for p, problem in enumerate(problems) for r in range(len(problem.samples))]
    sequences = [problems[p].prompt + problems[p].samples[r].ids for p, r in rows]
    scores = [[0.0] * len(problem.samples) for problem in problems]
    num_left = len(rows)
    for batch in batches([len(sequence) for sequence in sequences], batch_tokens, seed=0):
        for index, score in zip(batch, _score_batch(verifier, tokenizer, [sequences[i] for i in batch]), strict=True):
            p, r = rows[index]
            scores[p][r] = score
        num_left -= len(batch)
        if num_left == 0:  # the first round of batches holds every row once
            return scores
    raise AssertionError("batches never end")


def _score_batch(verifier: Verifier, tokenizer: NanoTokenizer, sequences: Sequence[list[int]]) -> list[float]:
    device = verifier.head.weight.device
    width = max(map(len, sequences))
    ids = torch.tensor([sequence + [tokenizer.pad] * (width - len(sequence)) for sequence in sequences], device=device)
    with torch.autocast(device.type, torch.bfloat16):
        logits = verifier(ids).float()
    is_step_end = (ids == tokenizer.delimiter) | (ids == tokenizer.end)  # prompts hold neither token
    products: list[float] = (F.logsigmoid(logits) * is_step_end).sum(1).exp().tolist()
    return products


def within_problem_auc(problems: Sequence[ProblemRollouts], scores: Sequence[Sequence[float]]) -> tuple[float, int]:
    """The mean over problems that have right and wrong samples, and the number of these."""
    areas = []
    for problem, problem_scores in zip(problems, scores, strict=True):
        right: list[tuple[float, int]] = []  # scores with counts
        wrong: list[tuple[float, int]] = []
        for rollout, score in zip(problem.samples, problem_scores, strict=True):
            (right if rollout.answer == problem.target else wrong).append((score, rollout.count))
        if right and wrong:
            wins = sum(a * b * ((x > y) + 0.5 * (x == y)) for x, a in right for y, b in wrong)
            areas.append(wins / (sum(a for _, a in right) * sum(b for _, b in wrong)))
    return sum(areas) / max(1, len(areas)), len(areas)


def best(candidates: Sequence[Candidate]) -> str | None:
    return max(candidates, key=lambda candidate: candidate[0])[1]


def vote(candidates: Sequence[Candidate], is_weighted: bool) -> str | None:
    totals: dict[str, float] = defaultdict(float)
    for score, answer in candidates:
        if answer is not None:
            totals[answer] += score if is_weighted else 1.0
    return max(totals, key=totals.__getitem__, default=None)


def accuracies(
    problems: Sequence[ProblemRollouts], scores: Sequence[Sequence[float]], n: int, rounds: int = 20
) -> dict[str, float]:
    """Accuracy at `n` samples, drawn without replacement `rounds` times a problem."""
    choosers: dict[str, Chooser] = {
        "best_of_n": best,
        "weighted": lambda candidates: vote(candidates, is_weighted=True),
        "majority": lambda candidates: vote(candidates, is_weighted=False),
    }
    num_right = dict.fromkeys((*choosers, "coverage"), 0)
    rng = random.Random(0)
    for problem, problem_scores in zip(problems, scores, strict=True):
        drawn = [
            (score, rollout.answer)
            for rollout, score in zip(problem.samples, problem_scores, strict=True)
            for _ in range(rollout.count)
        ]
        for _ in range(rounds):
            chosen = rng.sample(drawn, n)
            for name, chooser in choosers.items():
                num_right[name] += chooser(chosen) == problem.target
            num_right["coverage"] += any(answer == problem.target for _, answer in chosen)
    return {name: round(count / rounds / len(problems), 4) for name, count in num_right.items()}


def evaluate(
    verifier: Verifier, tokenizer: NanoTokenizer, problems: Sequence[ProblemRollouts], sizes: Sequence[int]
) -> dict[str, object]:
    scores = score_rollouts(verifier, tokenizer, problems)
    area, num_mixed = within_problem_auc(problems, scores)
    at_n = {str(n): accuracies(problems, scores, n) for n in sizes}
    return {
        "num_problems": len(problems),
        "within_problem_auc": round(area, 4),
        "num_problems_with_both": num_mixed,
        "at_n": at_n,
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

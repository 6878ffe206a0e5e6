"""Makes a trained verifier's scores mean what they say: one scale and one bias, folded into its head.

    python models/recipes/nano/calibrate.py RUN/verifier.pt --tokenizer RUN/tokenizer.json --rollouts RUN/dev.jsonl \\
        --out RUN/calibrated.pt

A verifier is trained on a balance of right and wrong solutions that a search never meets, so its scores are too high
or too low. Platt scaling (Platt 1999) on rollouts drawn as in use sets that right. It is fitted to two claims with
equal weight, that a step is right and that a solution's answer is, since one head makes both. The order of scores is
kept, so nothing that ranks by one score changes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from evaluate import aggregate, calibration_error, score_rollouts, solution_pairs, step_pairs
from model import Verifier, load_verifier, save_model
from rollouts import ProblemRollouts, read_rollouts
from tokenizer import NanoTokenizer

CLAMP = 1e-6

Pairs = list[tuple[float, bool, int]]
"""Scores, whether it is so, and counts."""


def claims(verifier: Verifier, tokenizer: NanoTokenizer, problems: list[ProblemRollouts]) -> tuple[Pairs, Pairs]:
    """Of every step, and of every solution's last score."""
    scores = score_rollouts(verifier, tokenizer, problems)
    return step_pairs(problems, scores), solution_pairs(problems, aggregate(scores, "last"))


def fit(steps: Pairs, solutions: Pairs) -> tuple[float, float]:
    """Scale and bias on the log-odds with the least cross-entropy, by Newton's method in effect (L-BFGS)."""
    pairs = steps + solutions
    scores = torch.tensor([score for score, _, _ in pairs], dtype=torch.float64).clamp(CLAMP, 1 - CLAMP)
    labels = torch.tensor([float(so) for _, so, _ in pairs], dtype=torch.float64)
    weights = torch.tensor([count for _, _, count in pairs], dtype=torch.float64)
    weights[len(steps) :] *= weights[: len(steps)].sum() / weights[len(steps) :].sum()
    log_odds = torch.logit(scores)
    parameters = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([parameters], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        logits = parameters[0] * log_odds + parameters[1]
        value = F.binary_cross_entropy_with_logits(logits, labels, weights) / weights.mean()
        value.backward()
        return value

    optimizer.step(loss)
    return float(parameters[0]), float(parameters[1])


def fold(verifier: Verifier, scale: float, bias: float) -> None:
    """Gives the head the scale and the bias."""
    with torch.no_grad():
        verifier.head.weight.mul_(scale)
        verifier.head.bias.mul_(scale).add_(bias)


def main() -> None:
    parser = argparse.ArgumentParser(description="Calibrate a verifier on rollouts it was not trained on.")
    parser.add_argument("verifier", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--rollouts", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    preset, verifier = load_verifier(args.verifier)
    tokenizer, problems = NanoTokenizer(args.tokenizer), read_rollouts(args.rollouts)
    before = claims(verifier, tokenizer, problems)
    scale, bias = fit(*before)
    fold(verifier, scale, bias)
    after = claims(verifier, tokenizer, problems)
    save_model(args.out, preset, verifier)
    figures = {"scale": scale, "bias": bias}
    for name, pairs in (("before", before), ("after", after)):
        figures[f"steps_{name}"], figures[f"solutions_{name}"] = map(calibration_error, pairs)
    print(json.dumps({name: round(figure, 4) for name, figure in figures.items()}))


if __name__ == "__main__":
    main()

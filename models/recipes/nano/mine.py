"""Hard negatives: keeps of many rollouts those that fool a verifier, to train it further on.

    python models/recipes/nano/mine.py RUN/verifier.pt --tokenizer RUN/tokenizer.json --rollouts RUN/many.jsonl \\
        --out RUN/hard.jsonl

Search shows a verifier the solutions it likes best, and so its mistakes. Of each problem's rollouts the wrong ones
with the highest scores are kept and the right ones with the lowest; a problem whose best-scored rollout is right gives
nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from evaluate import aggregate, score_rollouts
from model import load_verifier
from rollouts import ProblemRollouts, read_rollouts, save_rollouts
from tokenizer import NanoTokenizer

NUM_WRONG, NUM_RIGHT = 6, 3


def mine(problem: ProblemRollouts, scores: Sequence[float]) -> ProblemRollouts | None:
    """The problem with its hardest rollouts only; None if the verifier is not fooled."""
    ordered = sorted(zip(scores, problem.samples, strict=True), key=lambda pair: -pair[0])
    if ordered[0][1].is_correct:
        return None
    wrong = [rollout for _, rollout in ordered if not rollout.is_correct][:NUM_WRONG]
    right = [rollout for _, rollout in reversed(ordered) if rollout.is_correct][:NUM_RIGHT]
    return replace(problem, samples=wrong + right)


def main() -> None:
    parser = argparse.ArgumentParser(description="Keep the rollouts that fool a verifier.")
    parser.add_argument("verifier", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--rollouts", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    _, verifier = load_verifier(args.verifier)
    problems = read_rollouts(args.rollouts)
    scores = aggregate(score_rollouts(verifier, NanoTokenizer(args.tokenizer), problems), "last")
    mined = [hard for problem, of in zip(problems, scores, strict=True) if (hard := mine(problem, of))]
    save_rollouts(args.out, mined)
    print(f"{len(mined):,} of {len(problems):,} problems, in {args.out}")


if __name__ == "__main__":
    main()

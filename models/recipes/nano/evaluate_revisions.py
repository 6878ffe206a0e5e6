"""Whether the solver that revises gets better from attempt to attempt, against as many samples side by side.

    python models/recipes/nano/evaluate_revisions.py RUN/nano-revise.pt --tokenizer RUN/tokenizer.json

Each attempt in sequence sees up to `MAX_ATTEMPTS` attempts before it; side by side none sees another. Both are drawn
from the same weights, so that what these learned of problems is no part of the difference. One JSON line holds the
share of right answers at each attempt, of a majority over the first k attempts, and of problems with a right one among
them.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from data import encode_prompts
from model import Decoder, load_decoder
from revisions import MAX_ATTEMPTS, asked_again
from rollouts import sample, stated_answer
from tokenizer import NanoTokenizer

from edgesearch.tasks import arithmetic
from edgesearch.tasks.arithmetic import ArithmeticSample

MAX_ROWS = 512


def draw(decoder: Decoder, tokenizer: NanoTokenizer, prompts: Sequence[list[int]]) -> list[list[int]]:
    """One sample of each prompt, in their order."""
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    drawn: dict[int, list[int]] = {}
    for start in range(0, len(order), MAX_ROWS):
        group = order[start : start + MAX_ROWS]
        for index, [ids] in zip(group, sample(decoder, tokenizer, [prompts[i] for i in group], 1, 1.0), strict=True):
            drawn[index] = ids
    return [drawn[index] for index in range(len(prompts))]


def chain(
    reviser: Decoder, tokenizer: NanoTokenizer, prompts: Sequence[list[int]], length: int
) -> list[list[list[int]]]:
    """For each attempt, every problem's solution."""
    attempts: list[list[list[int]]] = []
    while len(attempts) < length:
        seen = list(zip(*attempts[-MAX_ATTEMPTS:], strict=True)) or [()] * len(prompts)
        contexts = [asked_again(tokenizer, prompt, each) for prompt, each in zip(prompts, seen, strict=True)]
        attempts.append(draw(reviser, tokenizer, contexts))
    return attempts


def answers(tokenizer: NanoTokenizer, attempt: Sequence[list[int]]) -> list[str | None]:
    return [stated_answer(tokenizer.decode(ids)) for ids in attempt]


def shares(samples: Sequence[ArithmeticSample], by_attempt: Sequence[Sequence[str | None]]) -> dict[str, list[float]]:
    """Right answers at each attempt; then, over the attempts so far, of the majority and of any of them."""
    alone, majority, any_right = [], [], []
    for k in range(1, len(by_attempt) + 1):
        so_far = list(zip(*by_attempt[:k], strict=True))
        votes = [Counter(a for a in given if a is not None) for given in so_far]
        chosen = [count.most_common(1)[0][0] if count else None for count in votes]
        for found, given in ((alone, by_attempt[k - 1]), (majority, chosen)):
            right = sum(arithmetic.grade(s, answer) for s, answer in zip(samples, given, strict=True))
            found.append(round(right / len(samples), 4))
        covered = sum(any(arithmetic.grade(s, a) for a in set(given)) for s, given in zip(samples, so_far, strict=True))
        any_right.append(round(covered / len(samples), 4))
    return {"at_attempt": alone, "majority": majority, "coverage": any_right}


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare revisions in sequence with samples side by side.")
    parser.add_argument("reviser", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--attempts", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", default="mixed")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    tokenizer = NanoTokenizer(args.tokenizer)
    reviser = load_decoder(args.reviser)[1]
    samples = arithmetic.held_out(args.seed, args.problems, args.split)
    prompts = encode_prompts(tokenizer, samples)
    in_sequence = chain(reviser, tokenizer, prompts, args.attempts)
    side_by_side = [draw(reviser, tokenizer, prompts) for _ in range(args.attempts)]
    found = {
        name: shares(samples, [answers(tokenizer, attempt) for attempt in attempts])
        for name, attempts in (("in_sequence", in_sequence), ("side_by_side", side_by_side))
    }
    print(json.dumps({"problems": len(samples), **found}))


if __name__ == "__main__":
    main()

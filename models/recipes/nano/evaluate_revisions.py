"""Whether the solver that revises gets better from attempt to attempt, against as many samples side by side.

    python models/recipes/nano/evaluate_revisions.py RUN/nano.pt RUN/nano-revise.pt --tokenizer RUN/tokenizer.json

The first attempt is the plain solver's; each next one sees up to `MAX_ATTEMPTS` attempts before it. One JSON line
holds the share of right answers at each attempt, and of a majority over the first k attempts, in sequence and side by
side.
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
from revisions import MAX_ATTEMPTS, ask_again
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
    solver: Decoder, reviser: Decoder, tokenizer: NanoTokenizer, prompts: Sequence[list[int]], length: int
) -> list[list[list[int]]]:
    """For each attempt, every problem's solution."""
    asking = ask_again(tokenizer)
    attempts = [draw(solver, tokenizer, prompts)]
    while len(attempts) < length:
        contexts = [list(prompt) for prompt in prompts]
        for attempt in attempts[-MAX_ATTEMPTS:]:
            for context, ids in zip(contexts, attempt, strict=True):
                context.extend([token for token in ids if token != tokenizer.end] + asking)
        attempts.append(draw(reviser, tokenizer, contexts))
    return attempts


def answers(tokenizer: NanoTokenizer, attempt: Sequence[list[int]]) -> list[str | None]:
    return [stated_answer(tokenizer.decode(ids)) for ids in attempt]


def shares(samples: Sequence[ArithmeticSample], by_attempt: Sequence[Sequence[str | None]]) -> dict[str, list[float]]:
    """Right answers at each attempt, and of the majority over the attempts so far."""
    alone, majority = [], []
    for k in range(1, len(by_attempt) + 1):
        votes = [Counter(a for a in given if a is not None) for given in zip(*by_attempt[:k], strict=True)]
        chosen = [count.most_common(1)[0][0] if count else None for count in votes]
        for found, given in ((alone, by_attempt[k - 1]), (majority, chosen)):
            right = sum(arithmetic.grade(s, answer) for s, answer in zip(samples, given, strict=True))
            found.append(round(right / len(samples), 4))
    return {"at_attempt": alone, "majority": majority}


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare revisions in sequence with samples side by side.")
    parser.add_argument("solver", type=Path)
    parser.add_argument("reviser", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--attempts", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    tokenizer = NanoTokenizer(args.tokenizer)
    solver, reviser = load_decoder(args.solver)[1], load_decoder(args.reviser)[1]
    samples = arithmetic.held_out(args.seed, args.problems)
    prompts = encode_prompts(tokenizer, samples)
    in_sequence = chain(solver, reviser, tokenizer, prompts, args.attempts)
    side_by_side = [draw(solver, tokenizer, prompts) for _ in range(args.attempts)]
    found = {
        name: shares(samples, [answers(tokenizer, attempt) for attempt in attempts])
        for name, attempts in (("in_sequence", in_sequence), ("side_by_side", side_by_side))
    }
    print(json.dumps({"problems": len(samples), **found}))


if __name__ == "__main__":
    main()

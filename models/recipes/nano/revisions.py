r"""Training sequences for a solver that revises: earlier attempts in its context, a right solution after them.

    python models/recipes/nano/revisions.py RUN/train.jsonl --tokenizer RUN/tokenizer.json --out RUN/revisions.jsonl

    problem?\n\n attempt \n\n once more \n\n attempt \n\n once more \n\n right solution

As in Snell et al. 2024 (arXiv 2408.03314, section 6.1) the attempts are the solver's own samples. Unlike there they are
drawn as they come, right ones too; after a right one the same is to be written again. Contexts of wrong attempts alone,
the last the nearest to the right solution, made a solver that changes whatever it sees: right answers went from 49% at
the first attempt to 43% at the second.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from rollouts import ProblemRollouts, read_rollouts
from tokenizer import NanoTokenizer

ONCE_MORE = "once more"
MAX_ATTEMPTS = 3
MAX_TOKENS = 400


def ask_again(tokenizer: NanoTokenizer) -> list[int]:
    """What stands between an attempt and the next."""
    [once_more] = tokenizer.encode([ONCE_MORE])
    return [tokenizer.delimiter, *once_more, tokenizer.delimiter]


def sequences(
    tokenizer: NanoTokenizer, problems: Sequence[ProblemRollouts], seed: int
) -> Iterator[tuple[list[int], int]]:
    """Ids and how many of them are the prompt, one for each problem that is not always solved."""
    rng = random.Random(seed)
    asking = ask_again(tokenizer)
    for problem in problems:
        ended = [rollout for rollout in problem.samples if rollout.ids[-1] == tokenizer.end]
        right = [rollout for rollout in ended if rollout.is_right]
        if len(right) == len(ended):
            continue
        counts = [rollout.count for rollout in ended]
        attempts = rng.choices(ended, counts, k=rng.randint(1, MAX_ATTEMPTS))
        target = next((rollout.ids for rollout in [attempts[-1], *right] if rollout.is_right), problem.reference)
        prompt = list(problem.prompt)
        for attempt in attempts:
            prompt += attempt.ids[:-1] + asking
        if len(prompt) + len(target) <= MAX_TOKENS:
            yield prompt + list(target), len(prompt)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make training sequences of revisions from rollouts.")
    parser.add_argument("rollouts", type=Path, nargs="+")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=4, help="sequences of each problem, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    tokenizer = NanoTokenizer(args.tokenizer)
    problems = [problem for path in args.rollouts for problem in read_rollouts(path)]
    count = 0
    with args.out.open("w", encoding="utf-8") as file:
        for number in range(args.rounds):
            for ids, num_prompt in sequences(tokenizer, problems, args.seed + number):
                file.write(json.dumps({"ids": ids, "num_prompt": num_prompt}) + "\n")
                count += 1
    print(f"{count:,} sequences in {args.out}")


if __name__ == "__main__":
    main()

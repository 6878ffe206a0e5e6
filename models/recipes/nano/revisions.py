r"""Training sequences for a solver that revises: earlier attempts in its context, a right solution after them.

    python models/recipes/nano/revisions.py RUN/train.jsonl --tokenizer RUN/tokenizer.json --out RUN/revisions.jsonl

    problem?\n\n attempt \n\n problem?\n\n attempt \n\n problem?\n\n right solution

The problem stands again before each attempt, as near to it as to a plain solution. With the problem at the head alone,
after about as many tokens (8 and 9 million), 2 to 4 points fewer were right at each attempt, hardly more than chance.

As in Snell et al. 2024 (arXiv 2408.03314, section 6.1) the attempts are the solver's own samples. Unlike there they are
drawn as they come, right ones too; after a right one the same is to be written again, after a wrong one the right
solution that goes on from the longest part of it. Attempts that are right are learned as well, which makes twice as
many of the tokens useful.
"""

from __future__ import annotations

import argparse
import itertools
import json
import operator
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from data import TokenSequence
from rollouts import ProblemRollouts, Rollout, read_rollouts
from tokenizer import NanoTokenizer

MAX_ATTEMPTS = 3
MAX_TOKENS = 490
_NUM_ATTEMPTS_WEIGHTS = (3, 5, 6, 6)  # from none to three
_SHARE_OF_EASY = 0.4  # of problems that were solved by every sample


def asked_again(tokenizer: NanoTokenizer, prompt: Sequence[int], attempts: Sequence[Sequence[int]]) -> list[int]:
    """The context of an attempt after these, which may end with end-of-text or not."""
    context: list[int] = []
    for attempt in attempts:
        context += [*prompt, *(token for token in attempt if token != tokenizer.end), tokenizer.delimiter]
    return [*context, *prompt]


def sequences(tokenizer: NanoTokenizer, problems: Sequence[ProblemRollouts], seed: int) -> Iterator[TokenSequence]:
    """One for each problem, fewer for those that are always solved."""
    rng = random.Random(seed)
    for problem in problems:
        ended = [rollout for rollout in problem.samples if rollout.ids[-1] == tokenizer.end]
        right = [rollout.ids for rollout in ended if rollout.is_right]
        if not ended or (len(right) == len(ended) and rng.random() > _SHARE_OF_EASY):
            continue
        (num_attempts,) = rng.choices(range(MAX_ATTEMPTS + 1), _NUM_ATTEMPTS_WEIGHTS)
        attempts = rng.choices(ended, [rollout.count for rollout in ended], k=num_attempts)
        shown = [attempt.ids for attempt in attempts]
        contexts = [asked_again(tokenizer, problem.prompt, shown[:count]) for count in range(len(shown) + 1)]
        solution = revised(problem, attempts, right)
        targets = [
            (len(context), len(context) + len(attempt.ids) - 1)  # without end-of-text, which no attempt shown has
            for context, attempt in zip(contexts, attempts, strict=False)
            if attempt.is_right
        ]
        targets.append((len(contexts[-1]), len(contexts[-1]) + len(solution)))
        if targets[-1][1] <= MAX_TOKENS:
            yield TokenSequence([*contexts[-1], *solution], targets)


def revised(problem: ProblemRollouts, attempts: Sequence[Rollout], right: Sequence[list[int]]) -> list[int]:
    """What is to be written after these attempts, of samples that are right and the reference."""
    if not attempts:
        return problem.reference
    last = attempts[-1]
    return last.ids if last.is_right else max([*right, problem.reference], key=lambda ids: num_shared(ids, last.ids))


def num_shared(ids: Sequence[int], others: Sequence[int]) -> int:
    """Tokens that both begin with."""
    return sum(itertools.takewhile(bool, map(operator.eq, ids, others)))


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
            for sequence in sequences(tokenizer, problems, args.seed + number):
                file.write(json.dumps({"ids": sequence.ids, "targets": sequence.targets}) + "\n")
                count += 1
    print(f"{count:,} sequences in {args.out}")


if __name__ == "__main__":
    main()

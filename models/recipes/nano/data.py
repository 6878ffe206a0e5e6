"""Training problems as token sequences, and sequences as batches.

    python models/recipes/nano/data.py --tokenizer RUN/tokenizer.json

That prints a few figures; nothing is stored. The set is drawn again wherever it is needed: a seed and a count
name it, and 120,000 problems take 15 seconds. Problems that benchmarks hold out are never drawn. (The given
weights came before that rule: the two problems of theirs that the benchmarks would have drawn are skipped there
instead, see `edgesearch.tasks.arithmetic`.)
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tokenizer import NanoTokenizer

from edgesearch.tasks import arithmetic
from edgesearch.tasks.arithmetic import ArithmeticSample

HELD_OUT_SEEDS = range(5)
HELD_OUT_PROBLEMS = 2000
CHUNK = 4096  # sequences among which a batch finds others of its length


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """A prompt and its solution, ended by the end-of-text token."""

    ids: list[int]
    num_prompt: int


@cache
def held_out_problems() -> frozenset[str]:
    """What no model may be trained on: the problems of the benchmarks' seeds."""
    sets = (arithmetic.held_out(seed, HELD_OUT_PROBLEMS) for seed in HELD_OUT_SEEDS)
    return frozenset(sample.problem for samples in sets for sample in samples)


def draw_problems(count: int, seed: int, is_half_graph: bool = False) -> list[ArithmeticSample]:
    """`count` problems, none held out; families in equal shares, or half of them `graph` as in the benchmarks."""
    rng = random.Random(seed)
    problems: list[ArithmeticSample] = []
    while len(problems) < count:
        family = rng.choice(("graph", "graph", "graph", "story", "shop", "work")) if is_half_graph else None
        sample = arithmetic.generate(rng, family=family)
        if sample.problem not in held_out_problems():
            problems.append(sample)
    return problems


def encode_prompts(tokenizer: NanoTokenizer, samples: Sequence[ArithmeticSample]) -> list[list[int]]:
    return tokenizer.encode([sample.problem + arithmetic.STEP_DELIMITER for sample in samples])


def encode_solutions(tokenizer: NanoTokenizer, samples: Sequence[ArithmeticSample]) -> list[list[int]]:
    encoded = tokenizer.encode([arithmetic.solution_text(sample) for sample in samples])
    return [[*ids, tokenizer.end] for ids in encoded]


def training_set(tokenizer: NanoTokenizer, count: int, seed: int) -> list[TokenSequence]:
    samples = draw_problems(count, seed)
    pairs = zip(encode_prompts(tokenizer, samples), encode_solutions(tokenizer, samples), strict=True)
    return [TokenSequence(prompt + solution, len(prompt)) for prompt, solution in pairs]


def batches(lengths: Sequence[int], max_tokens: int, seed: int) -> Iterator[list[int]]:
    """Endless batches of indices, each of similar lengths and at most `max_tokens` with its padding.

    The order depends on nothing but the arguments, so a resumed run skips what it has seen.
    """
    rng = random.Random(seed)
    while True:
        order = list(range(len(lengths)))
        rng.shuffle(order)
        for start in range(0, len(order), CHUNK):
            chunk = sorted(order[start : start + CHUNK], key=lengths.__getitem__)
            grouped = list(_groups(chunk, lengths, max_tokens))
            rng.shuffle(grouped)
            yield from grouped


def _groups(by_length: Sequence[int], lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    group: list[int] = []
    for index in by_length:
        if group and (len(group) + 1) * lengths[index] > max_tokens:
            yield group
            group = []
        group.append(index)
    yield group


def main() -> None:
    parser = argparse.ArgumentParser(description="Print figures of the training set.")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--problems", type=int, default=120_000)
    parser.add_argument("--seed", type=int, default=42)
    args = parser.parse_args()
    sequences = training_set(NanoTokenizer(args.tokenizer), args.problems, args.seed)
    num_tokens = sum(len(sequence.ids) for sequence in sequences)
    num_prompt_tokens = sum(sequence.num_prompt for sequence in sequences)
    print(f"{len(sequences):,} problems, {num_tokens:,} tokens")
    print(f"mean prompt {num_prompt_tokens / len(sequences):.1f} tokens")
    print(f"mean solution {(num_tokens - num_prompt_tokens) / len(sequences):.1f} tokens")
    print(f"longest {max(len(sequence.ids) for sequence in sequences)} tokens")


if __name__ == "__main__":
    main()

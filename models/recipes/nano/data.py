"""Training problems as token sequences, and sequences as batches.

    python models/recipes/nano/data.py --tokenizer RUN/tokenizer.json

That prints a few figures; nothing is stored. The set is drawn again wherever it is needed: a seed and a count
name it, and 300,000 problems take 20 seconds. Problems that benchmarks hold out are never drawn (`is_held_out`),
nor are reserved wordings and structures.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizer import NanoTokenizer

from edgesearch.tasks import arithmetic
from edgesearch.tasks.arithmetic import ArithmeticSample

CHUNK = 4096  # sequences among which a batch finds others of its length


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """A prompt and its solution, ended by the end-of-text token; of `revisions.py` with attempts before it."""

    ids: list[int]
    targets: list[tuple[int, int]]
    """Where what is learned begins and ends: the solution, and each attempt that is right."""


def draw_problems(
    count: int, seed: int | str, families: Collection[str] = arithmetic.FAMILIES
) -> list[ArithmeticSample]:
    """`count` problems, none of which a benchmark can hold; these families and all levels in equal shares."""
    drawn = (sample for sample in arithmetic.training_problems(seed) if sample.family in families)
    return list(itertools.islice(drawn, count))


def encode_prompts(tokenizer: NanoTokenizer, samples: Sequence[ArithmeticSample]) -> list[list[int]]:
    return tokenizer.encode([sample.problem + arithmetic.STEP_DELIMITER for sample in samples])


def encode_solutions(tokenizer: NanoTokenizer, samples: Sequence[ArithmeticSample]) -> list[list[int]]:
    encoded = tokenizer.encode([arithmetic.solution_text(sample) for sample in samples])
    return [[*ids, tokenizer.end] for ids in encoded]


def training_set(tokenizer: NanoTokenizer, count: int, seed: int) -> list[TokenSequence]:
    samples = draw_problems(count, seed)
    pairs = zip(encode_prompts(tokenizer, samples), encode_solutions(tokenizer, samples), strict=True)
    return [
        TokenSequence(prompt + solution, [(len(prompt), len(prompt) + len(solution))]) for prompt, solution in pairs
    ]


def read_sequences(path: Path) -> list[TokenSequence]:
    """What `revisions.py` wrote."""
    with path.open(encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    return [TokenSequence(line["ids"], [(begin, end) for begin, end in line["targets"]]) for line in lines]


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
    parser.add_argument("--problems", type=int, default=300_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    sequences = training_set(NanoTokenizer(args.tokenizer), args.problems, args.seed)
    num_tokens = sum(len(sequence.ids) for sequence in sequences)
    num_solution_tokens = sum(end - begin for sequence in sequences for begin, end in sequence.targets)
    print(f"{len(sequences):,} problems, {num_tokens:,} tokens")
    print(f"mean prompt {(num_tokens - num_solution_tokens) / len(sequences):.1f} tokens")
    print(f"mean solution {num_solution_tokens / len(sequences):.1f} tokens")
    print(f"longest {max(len(sequence.ids) for sequence in sequences)} tokens")


if __name__ == "__main__":
    main()

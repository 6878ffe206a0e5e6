"""Whether an exported solver is the trained one: same tokens, same greedy solutions.

    python models/recipes/nano/fidelity.py RUN/nano.pt nano-f16.gguf --tokenizer RUN/tokenizer.json

A greedy solution of PyTorch in float32 is compared with that of llama.cpp, called through the library's own bindings.
Where they part, the gap between the two best logits is given: a near-tie says nothing against the export.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from data import encode_prompts
from model import Decoder, load_decoder
from rollouts import MAX_NEW_TOKENS, stated_answer
from tokenizer import NanoTokenizer

from edgesearch.engines.llama_native import NativeContext, NativeModel
from edgesearch.tasks import arithmetic

CONTEXT = 256


@torch.inference_mode()
def greedy(decoder: Decoder, tokenizer: NanoTokenizer, prompt: Sequence[int]) -> tuple[list[int], list[float]]:
    """The solution in float32, and at each token how far the best logit is above the second."""
    ids = list(prompt)
    gaps: list[float] = []
    while len(ids) < len(prompt) + MAX_NEW_TOKENS and (len(ids) == len(prompt) or ids[-1] != tokenizer.end):
        logits = decoder.logits(decoder.hidden(torch.tensor([ids]))[0, -1])[: tokenizer.pad]
        best, second = logits.topk(2).values.tolist()
        gaps.append(best - second)
        ids.append(int(logits.argmax()))
    return ids[len(prompt) :], gaps


def greedy_in_llama(context: NativeContext, prompt: Sequence[int], end: int) -> list[int]:
    context.clear()
    pending, position, found = list(prompt), 0, list[int]()
    while len(found) < MAX_NEW_TOKENS and (not found or found[-1] != end):
        count = len(pending)
        flags = [False] * (count - 1) + [True]
        if context.decode(pending, range(position, position + count), [0] * count, flags) != "ok":
            raise SystemExit("llama.cpp did not decode a prompt")
        position += count
        pending = [int(context.logits(1)[0].argmax())]
        found += pending
    return found


def count_common(first: Sequence[int], second: Sequence[int]) -> int:
    """How many ids the two begin with in common."""
    return next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )


def texts(count: int) -> list[str]:
    """Prompts and solutions of problems of all splits, half and half."""
    sets = ((split, seed) for seed in itertools.count() for split in arithmetic.SPLITS)
    found: list[str] = []
    for split, seed in sets:
        for sample in arithmetic.held_out(seed, min(1000, count), split):
            found += [sample.problem + arithmetic.STEP_DELIMITER, arithmetic.solution_text(sample)]
        if len(found) >= count:
            return found[:count]
    raise AssertionError("seeds never end")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare an exported solver with the trained one; one JSON line.")
    parser.add_argument("weights", type=Path)
    parser.add_argument("gguf", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--problems", type=int, default=200)
    args = parser.parse_args()
    tokenizer = NanoTokenizer(args.tokenizer)
    _, decoder = load_decoder(args.weights)
    samples = arithmetic.held_out(0, args.problems)
    same, right, gaps = 0, 0, []
    model = NativeModel(args.gguf, has_extra_buffers=False)
    context = NativeContext(
        model, num_cells=512, max_sequences=1, num_threads=1, batch_size=CONTEXT, ubatch_size=CONTEXT
    )
    for sample, prompt in zip(samples, encode_prompts(tokenizer, samples), strict=True):
        ours, margins = greedy(decoder, tokenizer, prompt)
        theirs = greedy_in_llama(context, prompt, tokenizer.end)
        right += arithmetic.grade(sample, stated_answer(tokenizer.decode(theirs)))
        same += ours == theirs
        if ours != theirs:
            gaps.append(round(margins[min(count_common(ours, theirs), len(margins) - 1)], 4))
    context.close()
    compared = texts(args.texts)
    same_tokens = sum(
        model.tokenize(text) == ids for text, ids in zip(compared, tokenizer.encode(compared), strict=True)
    )
    model.close()
    figures = {
        "file": args.gguf.name,
        "texts": len(compared),
        "same_tokens": same_tokens,
        "problems": len(samples),
        "same_greedy": same,
        "right": right,
        "gaps_where_they_part": sorted(gaps),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

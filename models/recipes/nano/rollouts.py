"""Solutions drawn from a solver, each step labelled by program: what a verifier learns from and is judged by.

    python models/recipes/nano/rollouts.py RUN/nano.pt --tokenizer RUN/tokenizer.json --out RUN/train.jsonl
    python models/recipes/nano/rollouts.py RUN/nano.pt --tokenizer RUN/tokenizer.json --out RUN/dev.jsonl \\
        --held-out 99 --split mixed --problems 300 --samples 64

A line of the file is a problem:

    {"problem": "Ana has 12 shells. ...", "target": "29", "family": "story", "level": 2, "prompt": [...],
     "reference": [...], "samples": [{"ids": [...], "labels": [1, 1, 0], "answer": "31", "is_correct": false,
     "count": 3}, ...]}

`ids` end with end-of-text unless the length ran out; `labels` has one entry a step; equal samples are merged
and counted. Draw with the solver that will be searched: a verifier trained on another's mistakes misses its.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from data import draw_problems, encode_prompts, encode_solutions
from model import Decoder, KeysValues, load_decoder
from tokenizer import NanoTokenizer
from torch import Tensor

from edgesearch.tasks import arithmetic
from edgesearch.tasks.arithmetic import ArithmeticSample

MAX_NEW_TOKENS = 140
_ANSWER = re.compile(r"\\boxed\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Rollout:
    """A solution of one problem."""

    ids: list[int]
    labels: list[int]
    """For each step, the answer line included: 1 when it and all before it are right."""
    answer: str | None
    is_correct: bool
    """Whether the answer is right, however it was reached."""
    count: int
    """How many samples were this one."""

    @property
    def is_right(self) -> bool:
        return bool(self.labels) and bool(self.labels[-1])


@dataclass(frozen=True, slots=True)
class ProblemRollouts:
    """A problem with its prompt, its reference solution and what a solver made of it."""

    problem: str
    target: str
    family: str
    level: int
    prompt: list[int]
    reference: list[int]
    samples: list[Rollout]


class SamplingCache:
    """Keys and values of all layers, with room for every token to come; finished rows can be dropped."""

    def __init__(self, decoder: Decoder, rows: int, room: int, dtype: torch.dtype) -> None:
        config, device = decoder.config, decoder.embedding.weight.device
        shape = (rows, config.num_kv_heads, room, config.head_dim)
        self.layers = [
            (torch.zeros(shape, dtype=dtype, device=device), torch.zeros(shape, dtype=dtype, device=device))
            for _ in range(config.num_layers)
        ]
        self.length = 0

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> KeysValues:
        end = self.length + keys.shape[2]
        all_keys, all_values = self.layers[layer]
        all_keys[:, :, self.length : end] = keys
        all_values[:, :, self.length : end] = values
        if layer == len(self.layers) - 1:
            self.length = end
        return all_keys[:, :, :end], all_values[:, :, :end]

    def take(self, rows: Tensor) -> None:
        self.layers = [(keys[rows], values[rows]) for keys, values in self.layers]


@torch.inference_mode()
def sample(
    decoder: Decoder, tokenizer: NanoTokenizer, prompts: Sequence[Sequence[int]], num_samples: int, temperature: float
) -> list[list[list[int]]]:
    """Draws `num_samples` continuations of each prompt; temperature 0 is greedy."""
    device = decoder.embedding.weight.device
    width = max(map(len, prompts))
    ids = torch.tensor([[tokenizer.pad] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    padding = torch.tensor([width - len(prompt) for prompt in prompts], device=device)  # (prompts,), on the left
    room = width + MAX_NEW_TOKENS
    slots = torch.arange(room, device=device)
    cache = SamplingCache(decoder, len(prompts), room, torch.bfloat16)
    with torch.autocast(device.type, torch.bfloat16):
        is_visible = (slots[None, :width] <= slots[:width, None]) & (
            slots[None, None, :width] >= padding[:, None, None]
        )
        mask = torch.where(is_visible, 0.0, -1e9)[:, None, None]
        positions = (slots[None, :width] - padding[:, None]).clamp(min=0)
        hidden = decoder.hidden(ids, positions, mask, cache)[:, -1:]
    rows = torch.arange(len(prompts), device=device).repeat_interleave(num_samples)
    cache.take(rows)
    hidden, padding = hidden[rows], padding[rows]
    mask = torch.where(slots[None] < padding[:, None], -1e9, 0.0)[:, None, None, None]  # (rows, 1, 1, 1, room)
    alive = torch.arange(len(rows), device=device)  # the rows still being drawn, by their first index
    drawn = torch.full((len(rows), MAX_NEW_TOKENS), tokenizer.pad, device=device)
    for step in range(MAX_NEW_TOKENS):
        with torch.autocast(device.type, torch.bfloat16):
            logits = decoder.logits(hidden[:, 0]).float()
        tokens = choose(logits[:, : tokenizer.pad], temperature)  # neither the pad nor what follows it
        drawn[alive, step] = tokens
        is_going_on = tokens != tokenizer.end
        if not is_going_on.any() or step == MAX_NEW_TOKENS - 1:
            break
        if not is_going_on.all():
            keep = is_going_on.nonzero()[:, 0]
            alive, tokens, padding, mask = alive[keep], tokens[keep], padding[keep], mask[keep]
            cache.take(keep)
        with torch.autocast(device.type, torch.bfloat16):
            positions = (width + step - padding)[:, None]
            hidden = decoder.hidden(tokens[:, None], positions, mask[..., : width + step + 1], cache)
    unpadded = [[token for token in row if token != tokenizer.pad] for row in drawn.tolist()]
    return [unpadded[i : i + num_samples] for i in range(0, len(unpadded), num_samples)]


def choose(logits: Tensor, temperature: float) -> Tensor:
    """One token a row, (rows,), from logits (rows, vocab)."""
    if temperature == 0:
        return logits.argmax(-1)
    noise = torch.empty_like(logits).exponential_()
    return (torch.softmax(logits / temperature, -1) / noise).argmax(-1)


def stated_answer(text: str) -> str | None:
    """What the last box of a solution holds."""
    answers: list[str] = _ANSWER.findall(text)
    return answers[-1] if answers else None


def step_ends(tokenizer: NanoTokenizer, rollout: Rollout) -> list[int]:
    """How many tokens the solution has after each of its steps, the last included."""
    ends = [index + 1 for index, token in enumerate(rollout.ids) if token in (tokenizer.delimiter, tokenizer.end)]
    return ends if ends and ends[-1] == len(rollout.ids) else [*ends, len(rollout.ids)]


def label(tokenizer: NanoTokenizer, sample: ArithmeticSample, ids: list[int], count: int) -> Rollout:
    text = tokenizer.decode(ids)
    steps = [step for step in text.split(arithmetic.STEP_DELIMITER) if step]
    labels = [int(is_right) for is_right in arithmetic.label_steps(sample, steps)]
    answer = stated_answer(text)
    return Rollout(ids, labels, answer, arithmetic.grade(sample, answer), count)


def roll_out(
    decoder: Decoder,
    tokenizer: NanoTokenizer,
    samples: Sequence[ArithmeticSample],
    num_samples: int,
    temperature: float = 1.0,
    max_rows: int = 768,
) -> Iterator[ProblemRollouts]:
    group = max(1, max_rows // num_samples)
    # Problems of one length together: less padding. They come out in that order.
    ordered = sorted(samples, key=lambda sample: len(sample.problem))
    prompts, references = encode_prompts(tokenizer, ordered), encode_solutions(tokenizer, ordered)
    for start in range(0, len(ordered), group):
        drawn = sample(decoder, tokenizer, prompts[start : start + group], num_samples, temperature)
        for offset, solutions in enumerate(drawn):
            problem = ordered[start + offset]
            counts = Counter(map(tuple, solutions))
            labelled = [label(tokenizer, problem, list(ids), count) for ids, count in counts.items()]
            prompt, reference = prompts[start + offset], references[start + offset]
            yield ProblemRollouts(
                problem.problem, problem.target, problem.family, problem.level, prompt, reference, labelled
            )


def write_rollouts(path: Path, rollouts: Iterator[ProblemRollouts]) -> None:
    num_right = num_drawn = 0
    with path.open("w", encoding="utf-8") as file:
        for index, problem in enumerate(rollouts):
            file.write(_to_line(problem))
            num_right += sum(rollout.count for rollout in problem.samples if rollout.is_correct)
            num_drawn += sum(rollout.count for rollout in problem.samples)
            if index % 500 == 499:
                print(
                    f"{index + 1} problems, {num_right / num_drawn:.3f} of samples right", file=sys.stderr, flush=True
                )
    print(f"{num_drawn:,} samples, {num_right / num_drawn:.3f} right, in {path}")


def save_rollouts(path: Path, problems: Sequence[ProblemRollouts]) -> None:
    """Writes what `read_rollouts` reads."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(map(_to_line, problems))


def _to_line(problem: ProblemRollouts) -> str:
    return json.dumps(asdict(problem)) + "\n"


def read_rollouts(path: Path) -> list[ProblemRollouts]:
    def parse(line: str) -> ProblemRollouts:
        fields = json.loads(line)
        return ProblemRollouts(**{**fields, "samples": [Rollout(**rollout) for rollout in fields["samples"]]})

    with path.open(encoding="utf-8") as file:
        return [parse(line) for line in file]


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw and label solutions.")
    parser.add_argument("solver", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--problems", type=int, default=8000)
    parser.add_argument("--samples", type=int, default=16, help="a problem")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument(
        "--families", choices=arithmetic.FAMILIES, nargs="+", default=arithmetic.FAMILIES, help="of new problems"
    )
    parser.add_argument("--held-out", type=int, metavar="SEED", help="of held-out problems, instead of new ones")
    parser.add_argument("--split", choices=arithmetic.SPLITS, default="mixed", help="of the held-out problems")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    tokenizer = NanoTokenizer(args.tokenizer)
    _, decoder = load_decoder(args.solver, args.device)
    if args.held_out is None:
        problems = draw_problems(args.problems, f"rollouts {args.seed}", args.families)
    else:
        problems = arithmetic.held_out(args.held_out, args.problems, args.split)
    write_rollouts(args.out, roll_out(decoder, tokenizer, problems, args.samples, args.temperature))


if __name__ == "__main__":
    main()

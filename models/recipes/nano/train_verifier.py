"""Trains a verifier on a solver's labelled rollouts.

    python models/recipes/nano/train_verifier.py RUN/nano-medium.pt --tokenizer RUN/tokenizer.json \\
        --rollouts RUN/train.jsonl --dev RUN/dev.jsonl --tokens 4000000 --out RUN/verifier.pt

Labels. A token's target is 1 while the solution is right, and 0 from the token on which the first wrong step
leaves the reference, to the end. The ends of the right steps and of the first wrong one count fully; all other
tokens count a little, which tells the verifier *where* a step fails and to stay with it.

Balance. A problem gives its distinct wrong rollouts and, with as much weight together, its right ones (the
reference if none was drawn). So how hard a problem looks says nothing about the label, and the loss cannot be
lowered by guessing it.

Choice. The weights kept are those with the best within-problem AUC on the dev rollouts, of problems never
trained on.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from data import batches
from evaluate import score_rollouts, within_problem_auc
from model import Verifier, count_parameters, save_model, start_verifier
from rollouts import ProblemRollouts, Rollout, read_rollouts
from tokenizer import NanoTokenizer
from torch import Tensor
from train import log, rate_at

TOKEN_WEIGHT = 0.15  # of a token that ends no step, or follows the first wrong one
MAX_WRONG = 8  # rollouts of one problem
MAX_RIGHT_WEIGHT = 4.0
WARMUP_STEPS = 50


@dataclass(frozen=True, slots=True)
class Example:
    """A solution with a target and a weight for each of its tokens; prompt tokens weigh nothing."""

    ids: list[int]
    targets: list[float]
    weights: list[float]


def make_examples(tokenizer: NanoTokenizer, problems: Sequence[ProblemRollouts], seed: int) -> list[Example]:
    rng = random.Random(seed)
    examples: list[Example] = []
    for problem in problems:
        wrong = [rollout for rollout in problem.samples if not rollout.is_right]
        wrong = rng.sample(wrong, min(MAX_WRONG, len(wrong)))
        right = [rollout for rollout in problem.samples if rollout.is_right]
        right = right or [Rollout(problem.reference, [1] * (problem.level + 1), problem.target, 1)]
        right_weight = min(MAX_RIGHT_WEIGHT, max(1.0, len(wrong) / len(right)))
        for rollout, weight in [(rollout, right_weight) for rollout in right] + [(rollout, 1.0) for rollout in wrong]:
            example = make_example(tokenizer, problem, rollout, weight)
            if example is not None:
                examples.append(example)
    return examples


def make_example(tokenizer: NanoTokenizer, problem: ProblemRollouts, rollout: Rollout, weight: float) -> Example | None:
    """None where the steps cannot be told apart by tokens: cut off, or a delimiter inside another token."""
    is_end = [token in (tokenizer.delimiter, tokenizer.end) for token in rollout.ids]
    if sum(is_end) != len(rollout.labels):
        return None
    num_right_tokens = count_right_tokens(rollout, is_end, problem.reference)
    targets = [float(index < num_right_tokens) for index in range(len(rollout.ids))]
    ends = [index for index, end in enumerate(is_end) if end]
    decisive = set(ends[: sum(rollout.labels) + 1])
    weights = [weight * (1.0 if index in decisive else TOKEN_WEIGHT) for index in range(len(rollout.ids))]
    padding = [0.0] * len(problem.prompt)
    return Example(problem.prompt + rollout.ids, padding + targets, padding + weights)


def count_right_tokens(rollout: Rollout, is_end: Sequence[bool], reference: Sequence[int]) -> int:
    """The tokens of the right steps, and those of the first wrong step before it leaves the reference."""
    if rollout.is_right:
        return len(rollout.ids)
    num_right_steps = sum(rollout.labels)
    ends = [index + 1 for index, end in enumerate(is_end) if end]
    count = ends[num_right_steps - 1] if num_right_steps else 0
    while count < min(len(rollout.ids), len(reference)) and rollout.ids[count] == reference[count]:
        count += 1
    return min(count, ends[num_right_steps] - 1)  # the wrong step's end is wrong whatever it looks like


def collate(examples: Sequence[Example], pad: int, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, targets and weights, each (batch, tokens)."""
    width = max(len(example.ids) for example in examples)
    ids = torch.full((len(examples), width), pad)
    targets, weights = torch.zeros(len(examples), width), torch.zeros(len(examples), width)
    for row, example in enumerate(examples):
        length = len(example.ids)
        ids[row, :length] = torch.tensor(example.ids)
        targets[row, :length] = torch.tensor(example.targets)
        weights[row, :length] = torch.tensor(example.weights)
    return ids.to(device), targets.to(device), weights.to(device)


def update(
    verifier: Verifier, optimizer: torch.optim.Optimizer, ids: Tensor, targets: Tensor, weights: Tensor
) -> float:
    with torch.autocast(ids.device.type, torch.bfloat16):
        logits = verifier(ids)
    losses = F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")
    loss = (losses * weights).sum() / weights.sum()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def make_optimizer(verifier: Verifier, trunk_rate: float, head_rate: float) -> torch.optim.AdamW:
    """Each group remembers its full rate as `peak`. A trunk rate of 0 leaves the trunk frozen."""
    verifier.trunk.requires_grad_(trunk_rate > 0)
    of_trunk = {id(parameter) for parameter in verifier.trunk.parameters()}
    head = [parameter for parameter in verifier.parameters() if id(parameter) not in of_trunk]
    groups = [{"params": head, "peak": head_rate}]
    if trunk_rate > 0:
        groups.append({"params": list(verifier.trunk.parameters()), "peak": trunk_rate})
    return torch.optim.AdamW(groups, head_rate, betas=(0.9, 0.98), weight_decay=0.01)


def train(verifier: Verifier, preset: str, tokenizer: NanoTokenizer, args: argparse.Namespace) -> float:
    """Trains, writes the best weights to `args.out`, and returns their within-problem AUC."""
    problems = [problem for path in args.rollouts for problem in read_rollouts(path)]
    examples = make_examples(tokenizer, problems, args.seed)
    dev = read_rollouts(args.dev)
    optimizer = make_optimizer(verifier, args.trunk_rate, args.rate)
    started, smoothed, num_tokens, best = time.monotonic(), float("nan"), 0, -1.0
    order = batches([len(example.ids) for example in examples], args.batch_tokens, args.seed)
    for step, batch in enumerate(order):
        progress = num_tokens / args.tokens
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * rate_at(step, progress, WARMUP_STEPS)
        tensors = collate([examples[index] for index in batch], tokenizer.pad, args.device)
        loss = update(verifier, optimizer, *tensors)
        smoothed = loss if step == 0 else 0.97 * smoothed + 0.03 * loss
        num_tokens += tensors[0].numel()
        is_last = num_tokens >= args.tokens
        if is_last or step % args.evaluate_every == args.evaluate_every - 1:
            area, num_mixed = within_problem_auc(dev, score_rollouts(verifier, tokenizer, dev))
            if area > best:
                best = area
                save_model(args.out, preset, verifier)
            log(
                step=step + 1,
                tokens=num_tokens,
                loss=round(smoothed, 4),
                auc=round(area, 4),
                of=num_mixed,
                wall_s=round(time.monotonic() - started),
            )
        if is_last:
            return best
    raise AssertionError("batches never end")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a verifier.")
    parser.add_argument("start", type=Path, help="a solver, to be the trunk, or a verifier to train further")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--rollouts", type=Path, nargs="+", required=True)
    parser.add_argument("--dev", type=Path, required=True, help="rollouts of problems kept apart")
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--trunk-rate", type=float, default=0.0, help="0 keeps the trunk frozen")
    parser.add_argument("--batch-tokens", type=int, default=6144)
    parser.add_argument("--evaluate-every", type=int, default=400, metavar="STEPS")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    torch.manual_seed(args.seed)
    preset, verifier = start_verifier(args.start, args.device)
    print(f"{count_parameters(verifier):,} parameters", file=sys.stderr)
    best = train(verifier, preset, NanoTokenizer(args.tokenizer), args)
    print(f"{args.out}: within-problem AUC {best:.4f} on {args.dev}")


if __name__ == "__main__":
    main()

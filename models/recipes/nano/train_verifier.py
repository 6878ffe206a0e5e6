"""Trains a verifier on a solver's labelled rollouts, as a solver is: Muon for matrices, AdamW for the rest.

    python models/recipes/nano/train_verifier.py RUN/nano-medium.pt --tokenizer RUN/tokenizer.json \\
        --rollouts RUN/train.jsonl --dev RUN/dev.jsonl --tokens 11000000 --out RUN/verifier.pt

Labels. A token's target is 1 while the solution is right, and 0 from the token on which the first wrong step
leaves the reference, to the end; but that of the last token is whether the answer is right. The ends of the right
steps, of the first wrong one and of the solution count fully; all other tokens count a little, which tells the
verifier *where* a step fails and to stay with it. Beside it the trunk goes on learning to predict the tokens of right
steps, with a small weight (the joint objective of Cobbe et al. 2021, arXiv 2110.14168, section 4.2).

Balance. A problem gives its distinct wrong rollouts and, with as much weight together, its right ones (the
reference if none was drawn). So how hard a problem looks says nothing about the label, and the loss cannot be
lowered by guessing it.

Choice. The weights kept are those with the best within-problem AUC on the dev rollouts, of problems never
trained on.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from data import batches
from evaluate import aggregate, score_rollouts, within_problem_auc
from model import Verifier, count_parameters, save_model, start_verifier
from rollouts import ProblemRollouts, Rollout, read_rollouts
from tokenizer import NanoTokenizer
from torch import Tensor
from train import ADAM_BETAS, Muon, log, rate_at, split_parameters, write_checkpoint

TOKEN_WEIGHT = 0.15  # of a token that ends no step, or follows the first wrong one
MAX_WRONG = 8  # rollouts of one problem
MAX_RIGHT_WEIGHT = 4.0
MUON_RATE, ADAM_RATE = 0.015, 2e-3
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
        right = right or [reference_rollout(tokenizer, problem)]
        right_weight = min(MAX_RIGHT_WEIGHT, max(1.0, len(wrong) / len(right)))
        for rollout, weight in [(rollout, right_weight) for rollout in right] + [(rollout, 1.0) for rollout in wrong]:
            example = make_example(tokenizer, problem, rollout, weight)
            if example is not None:
                examples.append(example)
    return examples


def reference_rollout(tokenizer: NanoTokenizer, problem: ProblemRollouts) -> Rollout:
    num_steps = sum(token in (tokenizer.delimiter, tokenizer.end) for token in problem.reference)
    return Rollout(problem.reference, [1] * num_steps, problem.target, True, 1)


def make_example(tokenizer: NanoTokenizer, problem: ProblemRollouts, rollout: Rollout, weight: float) -> Example | None:
    """None where the steps cannot be told apart by tokens: cut off, or a delimiter inside another token."""
    is_end = [token in (tokenizer.delimiter, tokenizer.end) for token in rollout.ids]
    if sum(is_end) != len(rollout.labels):
        return None
    num_right_tokens = count_right_tokens(rollout, is_end, problem.reference)
    targets = [float(index < num_right_tokens) for index in range(len(rollout.ids))]
    ends = [index for index, end in enumerate(is_end) if end]
    decisive = {*ends[: sum(rollout.labels) + 1], ends[-1]}
    if rollout.ids[-1] == tokenizer.end:  # the whole solution's score says whether its answer is right, however it came
        targets[-1] = float(rollout.is_correct)
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


def make_optimizers(verifier: Verifier, share: float, trunk_share: float) -> tuple[Muon, torch.optim.AdamW]:
    """Each group remembers its full rate as `peak`. A trunk share of 0 leaves the trunk frozen."""
    verifier.trunk.requires_grad_(trunk_share > 0)
    shape = verifier.trunk.config
    trunk = [(name, parameter) for name, parameter in verifier.named_parameters() if name.startswith("trunk.")]
    head = [(name, parameter) for name, parameter in verifier.named_parameters() if not name.startswith("trunk.")]
    matrices, others = split_parameters(head, shape)
    trunk_matrices, trunk_others = split_parameters(trunk, shape) if trunk_share > 0 else ([], [])
    muon = Muon(matrices + trunk_matrices)
    for index, group in enumerate(muon.param_groups):
        group["peak"] = MUON_RATE * (share if index < len(matrices) else trunk_share)
    groups = [{"params": others, "peak": ADAM_RATE * share}]
    if trunk_others:
        groups.append({"params": trunk_others, "peak": ADAM_RATE * trunk_share})
    return muon, torch.optim.AdamW(groups, ADAM_RATE, betas=ADAM_BETAS, weight_decay=0.01)


class VerifierTrainer:
    """The state of a run, which its checkpoint holds whole."""

    def __init__(self, verifier: Verifier, preset: str, args: argparse.Namespace) -> None:
        self.verifier = verifier
        self.preset = preset
        self.args = args
        self.optimizers = make_optimizers(verifier, args.rates, args.trunk_rates)
        self.step = 0
        self.num_tokens = 0
        self.loss = float("nan")
        """Smoothed over some 30 steps."""
        self.best = -1.0
        """The best within-problem AUC yet, whose weights are in `args.out`."""

    @property
    def checkpoint(self) -> Path:
        path: Path = self.args.out
        return path.with_suffix(".checkpoint")

    def train(self, examples: Sequence[Example], dev: Sequence[ProblemRollouts], tokenizer: NanoTokenizer) -> None:
        """Trains to the end, with the best weights in `args.out`."""
        started = time.monotonic()
        order = batches([len(example.ids) for example in examples], self.args.batch_tokens, self.args.seed)
        for batch in itertools.islice(order, self.step, None):
            self.update(*collate([examples[index] for index in batch], tokenizer.pad, self.args.device))
            is_last = self.num_tokens >= self.args.tokens
            if is_last or self.step % self.args.evaluate_every == 0:
                self.keep_if_better(dev, tokenizer, time.monotonic() - started)
            if is_last:
                break

    def update(self, ids: Tensor, targets: Tensor, weights: Tensor) -> None:
        rate = rate_at(self.step, self.num_tokens / self.args.tokens, WARMUP_STEPS)
        with torch.autocast(ids.device.type, torch.bfloat16):
            logits, log_probability = self.verifier.judge_and_predict(ids)
        losses = F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")
        loss = (losses * weights).sum() / weights.sum()
        predicted = (targets > 0) & (weights > 0)
        language_loss = -(log_probability * predicted).sum() / predicted.sum()
        (loss + self.args.language * language_loss).backward()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * rate
            optimizer.step()
            optimizer.zero_grad()
        self.loss = loss.item() if self.step == 0 else 0.97 * self.loss + 0.03 * loss.item()
        self.step += 1
        self.num_tokens += ids.numel()

    def keep_if_better(self, dev: Sequence[ProblemRollouts], tokenizer: NanoTokenizer, wall_s: float) -> None:
        area, num_mixed = within_problem_auc(dev, aggregate(score_rollouts(self.verifier, tokenizer, dev), "last"))
        if area > self.best:
            self.best = area
            save_model(self.args.out, self.preset, self.verifier)
        self.save()
        log(
            step=self.step,
            tokens=self.num_tokens,
            loss=round(self.loss, 4),
            auc=round(area, 4),
            of=num_mixed,
            wall_s=round(wall_s),
        )

    def save(self) -> None:
        state = {
            "weights": self.verifier.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "progress": (self.step, self.num_tokens, self.loss, self.best),
        }
        write_checkpoint(self.checkpoint, state)

    def resume(self) -> None:
        if self.checkpoint.exists():
            state = torch.load(self.checkpoint, map_location=self.args.device, weights_only=True)
            self.verifier.load_state_dict(state["weights"])
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
            self.step, self.num_tokens, self.loss, self.best = state["progress"]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a verifier.")
    parser.add_argument("start", type=Path, help="a solver, to be the trunk, or a verifier to train further")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--rollouts", type=Path, nargs="+", required=True)
    parser.add_argument("--dev", type=Path, nargs="+", required=True, help="rollouts of problems kept apart")
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--rates", type=float, default=1.0, metavar="SHARE", help="of the full learning rates")
    parser.add_argument("--trunk-rates", type=float, default=0.2, metavar="SHARE", help="0 keeps the trunk frozen")
    parser.add_argument(
        "--language", type=float, default=0.0, metavar="WEIGHT", help="of the trunk's next-token loss on right tokens"
    )
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
    tokenizer = NanoTokenizer(args.tokenizer)
    trainer = VerifierTrainer(verifier, preset, args)
    trainer.resume()
    problems = [problem for path in args.rollouts for problem in read_rollouts(path)]
    dev = [problem for path in args.dev for problem in read_rollouts(path)]
    trainer.train(make_examples(tokenizer, problems, args.seed), dev, tokenizer)
    trainer.checkpoint.unlink(missing_ok=True)
    print(f"{args.out}: within-problem AUC {trainer.best:.4f} on {args.dev}")


if __name__ == "__main__":
    main()

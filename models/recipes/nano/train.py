"""Trains a solver on generated problems: next-token loss on the solution, Muon for matrices, AdamW for the rest.

    python models/recipes/nano/train.py nano --tokenizer RUN/tokenizer.json --out RUN --tokens 5600000

The learning rate follows tokens, never the clock: in the first runs a stalled machine cut the decay short. A
run saves itself every few hundred steps and, started again with the same arguments, goes on from there; on
one machine and one number of threads the same seed gives the same weights, resumed or not.

Muon: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from data import TokenSequence, batches, read_sequences, training_set
from model import PRESETS, Decoder, ModelConfig, count_parameters, load_decoder, save_model
from tokenizer import NanoTokenizer
from torch import Tensor

MUON_RATE, ADAM_RATE = 0.02, 3e-3
ADAM_BETAS = (0.9, 0.98)
WARMUP_STEPS = 100
DECAY_FROM = 0.4  # the share of tokens after which the rate falls
LAST_RATE = 0.02


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """What decides the weights, besides the machine."""

    preset: str
    num_tokens: int
    """To train on, padding included."""
    num_problems: int = 300_000
    data_seed: int = 0
    batch_tokens: int = 4096
    muon_rate: float = MUON_RATE
    adam_rate: float = ADAM_RATE
    seed: int = 0
    start: str = ""
    """A trained solver to go on from, by its file's name."""
    decays: bool = True
    """Whether the rates fall in the end; not in a stage that another goes on from."""


class Muon(torch.optim.Optimizer):
    """Momentum whose step is made orthogonal; a matrix that holds several, stacked by rows, is split before."""

    def __init__(
        self, matrices: Iterable[tuple[Tensor, Sequence[int]]], momentum: float = 0.95, decay: float = 0.01
    ) -> None:
        groups = [{"params": [matrix], "rows": list(rows)} for matrix, rows in matrices]
        super().__init__(groups, {"lr": 0.02, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            matrix = group["params"][0]
            buffer = self.state[matrix].setdefault("buffer", torch.zeros_like(matrix))
            buffer.lerp_(matrix.grad, 1 - group["momentum"])
            update = matrix.grad.lerp(buffer, group["momentum"])
            parts = [
                orthogonalize(part) * max(1, len(part) / part.shape[1]) ** 0.5 for part in update.split(group["rows"])
            ]
            matrix.mul_(1 - group["lr"] * group["decay"]).add_(torch.cat(parts), alpha=-group["lr"])


def orthogonalize(matrix: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrix, roughly, by five Newton-Schulz iterations."""
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.bfloat16()
    x = x.mT if is_tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return (x.mT if is_tall else x).float()


def make_optimizers(decoder: Decoder, config: TrainConfig) -> tuple[Muon, torch.optim.AdamW]:
    matrices, others = split_parameters(decoder.named_parameters(), decoder.config)
    return Muon(matrices), torch.optim.AdamW(others, config.adam_rate, betas=ADAM_BETAS, weight_decay=0.0)


def split_parameters(
    named: Iterable[tuple[str, Tensor]], shape: ModelConfig
) -> tuple[list[tuple[Tensor, list[int]]], list[Tensor]]:
    """Matrices, each with the rows of those stacked in it, for Muon; and what is for AdamW."""
    heads = [n * shape.head_dim for n in (shape.num_heads, shape.num_kv_heads, shape.num_kv_heads)]
    matrices, others = [], []
    for name, parameter in named:
        if parameter.dim() != 2 or "embedding" in name or len(parameter) == 1:
            others.append(parameter)
        elif ".qkv." in name:
            matrices.append((parameter, heads))
        elif ".gate_up." in name:
            matrices.append((parameter, [len(parameter) // 2] * 2))
        else:
            matrices.append((parameter, [len(parameter)]))
    return matrices, others


def rate_at(step: int, progress: float, warmup_steps: int = WARMUP_STEPS) -> float:
    """The share of the full learning rate: a warm-up, a plateau, then a straight line down."""
    decayed = max(LAST_RATE, (1 - progress) / (1 - DECAY_FROM))
    return min(1.0, (step + 1) / warmup_steps) * min(1.0, decayed)


def collate(sequences: Sequence[TokenSequence], pad: int, device: str) -> tuple[Tensor, Tensor]:
    """Ids (batch, tokens) and where the next token is one that is learned (batch, tokens - 1)."""
    width = -(-max(len(sequence.ids) for sequence in sequences) // 16) * 16  # few widths, few kernels
    ids = torch.full((len(sequences), width), pad)
    is_target = torch.zeros(len(sequences), width - 1, dtype=torch.bool)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence.ids)] = torch.tensor(sequence.ids)
        for begin, end in sequence.targets:
            is_target[row, begin - 1 : end - 1] = True
    return ids.to(device), is_target.to(device)


class Trainer:
    """The state of a run, which its checkpoint holds whole."""

    def __init__(self, config: TrainConfig, device: str) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.device = device
        self.decoder = Decoder(PRESETS[config.preset]).to(device)
        self.optimizers = make_optimizers(self.decoder, config)
        self.step = 0
        self.num_tokens = 0
        self.loss = float("nan")
        """Smoothed over some 30 steps."""
        self.read: Callable[[Tensor], Tensor] = self.decoder.hidden

    def train(self, sequences: Sequence[TokenSequence], pad: int, checkpoint: Path, save_every: int) -> None:
        started = time.monotonic()
        lengths = [len(sequence.ids) for sequence in sequences]
        order = batches(lengths, self.config.batch_tokens, self.config.seed)
        for batch in itertools.islice(order, self.step, None):
            if self.num_tokens >= self.config.num_tokens:
                break
            self.update(*collate([sequences[index] for index in batch], pad, self.device))
            if self.step % 50 == 0:
                log(step=self.step, tokens=self.num_tokens, loss=round(self.loss, 4), wall_s=time.monotonic() - started)
            if self.step % save_every == 0:
                self.save(checkpoint)

    def update(self, ids: Tensor, is_target: Tensor) -> None:
        muon, adam = self.optimizers
        rate = rate_at(self.step, self.num_tokens / self.config.num_tokens if self.config.decays else 0.0)
        for group in muon.param_groups:
            group["lr"] = self.config.muon_rate * rate
        for group in adam.param_groups:
            group["lr"] = self.config.adam_rate * rate
        with torch.autocast(self.device, torch.bfloat16):
            logits = self.decoder.logits(self.read(ids[:, :-1])[is_target])
        loss = F.cross_entropy(logits.float(), ids[:, 1:][is_target])
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.loss = loss.item() if self.step == 0 else 0.97 * self.loss + 0.03 * loss.item()
        self.step += 1
        self.num_tokens += ids.numel()

    def save(self, path: Path) -> None:
        state = {
            "config": asdict(self.config),
            "weights": self.decoder.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "progress": (self.step, self.num_tokens, self.loss),
        }
        write_checkpoint(path, state)

    def resume(self, path: Path) -> None:
        state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
        if state["config"] != asdict(self.config):
            raise SystemExit(f"{path} is of another run ({state['config']}); delete it to start again")
        self.decoder.load_state_dict(state["weights"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.num_tokens, self.loss = state["progress"]


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    unfinished = path.with_suffix(".new")
    torch.save(state, unfinished)
    unfinished.replace(path)  # a run that is killed before this keeps its last checkpoint


def log(**figures: object) -> None:
    print(json.dumps(figures), file=sys.stderr, flush=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a solver; writes RUN/PRESET.pt.")
    parser.add_argument("preset", choices=sorted(PRESETS))
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="RUN")
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--problems", type=int, default=300_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data-seed", type=int, default=0, help="of the problems")
    parser.add_argument("--start", type=Path, help="a trained solver to go on from")
    parser.add_argument("--rates", type=float, default=1.0, metavar="SHARE", help="of the full learning rates")
    parser.add_argument("--no-decay", action="store_true", help="another stage goes on from this one")
    parser.add_argument("--sequences", type=Path, help="of revisions.py, instead of generated problems")
    parser.add_argument("--name", help="of the file written; default: the preset")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--save-every", type=int, default=200, metavar="STEPS")
    parser.add_argument("--compile", action="store_true", help="twice as fast, after a minute of compiling")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    config = TrainConfig(
        args.preset,
        args.tokens,
        num_problems=args.problems,
        data_seed=args.data_seed,
        muon_rate=MUON_RATE * args.rates,
        adam_rate=ADAM_RATE * args.rates,
        seed=args.seed,
        start=args.start.name if args.start else "",
        decays=not args.no_decay,
    )
    tokenizer = NanoTokenizer(args.tokenizer)
    args.out.mkdir(parents=True, exist_ok=True)
    name = args.name or args.preset
    checkpoint = args.out / f"{name}.checkpoint"
    trainer = Trainer(config, args.device)
    if checkpoint.exists():
        trainer.resume(checkpoint)
    elif args.start:
        trainer.decoder.load_state_dict(load_decoder(args.start, args.device)[1].state_dict())
    if args.compile:
        trainer.read = torch.compile(trainer.decoder.hidden, dynamic=True)
    print(f"{name}: {count_parameters(trainer.decoder):,} parameters, from step {trainer.step}", file=sys.stderr)
    if args.sequences:
        sequences = read_sequences(args.sequences)
    else:
        sequences = training_set(tokenizer, config.num_problems, config.data_seed)
    trainer.train(sequences, tokenizer.pad, checkpoint, args.save_every)
    save_model(args.out / f"{name}.pt", args.preset, trainer.decoder)
    checkpoint.unlink(missing_ok=True)
    print(f"{args.out / name}.pt: {trainer.num_tokens:,} tokens, loss {trainer.loss:.4f}")


if __name__ == "__main__":
    main()

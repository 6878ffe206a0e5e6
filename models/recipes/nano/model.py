"""The networks: a small llama-style decoder, and a verifier that reads the decoder's mind.

`Decoder` is the solver and follows llama.cpp's `llama` architecture to the letter (RMSNorm, interleaved
rotary positions, grouped-query attention, SwiGLU, tied embeddings), so that its weights load into a GGUF file
unchanged.

`Verifier` scores steps. A trained decoder, its trunk, reads the solution; whether a token was a good choice is
known to the trunk one token earlier, in its last layer. So the verifier's own blocks read, at each token, the
trunk's hidden state of the token *before*, the token itself, and three numbers about the choice: its
log-probability, its distance to the most likely token, and the entropy. A scalar head on the trunk's state at
the same token learned how hard the problem is, not whether the step is right.

What is not here: dropout, biases, mixed-precision code. Training wraps calls in autocast; shapes are in the
comments.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KeysValues = tuple[Tensor, Tensor]  # each (batch, kv_heads, tokens, head_dim)


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The shape of a decoder."""

    width: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    feed_width: int
    vocab_size: int = 768
    context: int = 512
    rope_base: float = 10_000.0
    norm_eps: float = 1e-5

    @property
    def head_dim(self) -> int:
        return self.width // self.num_heads


PRESETS = {
    "nano": ModelConfig(width=64, num_layers=3, num_heads=2, num_kv_heads=1, feed_width=128),
    "nano-medium": ModelConfig(width=128, num_layers=4, num_heads=4, num_kv_heads=2, feed_width=256),
    "nano-large": ModelConfig(width=192, num_layers=5, num_heads=6, num_kv_heads=3, feed_width=480),
    "tiny": ModelConfig(width=32, num_layers=1, num_heads=1, num_kv_heads=1, feed_width=32),  # for tests
}


class Cache(Protocol):
    """Where attention keeps keys and values between calls."""

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> KeysValues:
        """Takes the new tokens' keys and values and returns those of the whole past with them."""
        ...


class NoCache:
    """For training: a call sees whole sequences."""

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> KeysValues:
        return keys, values


class AppendingCache:
    """For export: the past comes in as tensors, one pair a layer, and what is new is kept apart."""

    def __init__(self, past: Sequence[KeysValues]) -> None:
        self.past = past
        self.new: dict[int, KeysValues] = {}

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> KeysValues:
        self.new[layer] = (keys, values)
        past_keys, past_values = self.past[layer]
        return torch.cat((past_keys, keys), 2), torch.cat((past_values, values), 2)


class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        return x / (x.pow(2).mean(-1, keepdim=True) + self.eps).sqrt() * self.weight  # a form that ONNX Runtime fuses


class Rope(nn.Module):
    """Rotary positions (Su et al. 2021). Interleaved pairs (2i, 2i+1) are llama.cpp's "norm" layout.

    The layout in halves (i, i + head_dim/2) takes fewer operations; `deinterleave` turns trained weights into it.
    """

    def __init__(self, head_dim: int, base: float) -> None:
        super().__init__()
        self.is_interleaved = True
        inverse = base ** -(torch.arange(0, head_dim, 2).float() / head_dim)
        self.register_buffer("inverse", inverse, persistent=False)

    def angles(self, positions: Tensor) -> KeysValues:
        """Cosines and sines, each (batch, 1, tokens, head_dim/2), of positions (batch, tokens)."""
        angles = positions.float()[:, None, :, None] * self.inverse
        return angles.cos(), angles.sin()

    def forward(self, x: Tensor, angles: KeysValues) -> Tensor:
        cos, sin = angles
        if self.is_interleaved:
            a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
            return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)
        a, b = x.chunk(2, -1)
        return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)


class Block(nn.Module):
    """Attention and feed-forward, each on a normalised copy of the stream and added to it."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.config = config
        self.layer = layer
        width, heads = config.width, config.num_heads + 2 * config.num_kv_heads
        self.attention_norm = RMSNorm(width, config.norm_eps)
        self.feed_norm = RMSNorm(width, config.norm_eps)
        self.qkv = nn.Linear(width, heads * config.head_dim, bias=False)
        self.out = nn.Linear(config.num_heads * config.head_dim, width, bias=False)
        self.gate_up = nn.Linear(width, 2 * config.feed_width, bias=False)
        self.down = nn.Linear(config.feed_width, width, bias=False)
        self.rope = Rope(config.head_dim, config.rope_base)

    def forward(self, x: Tensor, angles: KeysValues, mask: Tensor, cache: Cache) -> Tensor:
        x = x + self.attend(self.attention_norm(x), angles, mask, cache)
        gate, up = self.gate_up(self.feed_norm(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)

    def attend(self, x: Tensor, angles: KeysValues, mask: Tensor, cache: Cache) -> Tensor:
        """Softmax attention written out: on CPUs in bfloat16 it is faster than torch's fused one at these sizes."""
        config, (batch, tokens, _) = self.config, x.shape
        heads, kv_heads, head_dim = config.num_heads, config.num_kv_heads, config.head_dim
        qkv = self.qkv(x).view(batch, tokens, heads + 2 * kv_heads, head_dim).transpose(1, 2)
        rotated, values = qkv.split((heads + kv_heads, kv_heads), 1)
        queries, keys = self.rope(rotated, angles).to(values.dtype).split((heads, kv_heads), 1)
        keys, values = cache.extend(self.layer, keys, values)
        # Query heads that share a key head are laid along the tokens, so no key is copied.
        group = heads // kv_heads
        queries = (queries * head_dim**-0.5).reshape(batch, kv_heads, group * tokens, head_dim)
        logits = (queries @ keys.transpose(-1, -2)).view(batch, kv_heads, group, tokens, -1)
        weights = torch.softmax(logits.float() + mask, -1).to(values.dtype)
        mixed = weights.view(batch, kv_heads, group * tokens, -1) @ values
        return self.out(mixed.view(batch, heads, tokens, head_dim).transpose(1, 2).reshape(batch, tokens, -1))

    def deinterleave(self) -> None:
        """Reorders the query and key weights so that the rotary layout is in halves; outputs stay the same."""
        rows = self._rows_in_halves()
        self.qkv.weight.data[: len(rows)] = self.qkv.weight.data[rows]
        self.rope.is_interleaved = False

    def interleave(self) -> None:
        """Undoes `deinterleave`."""
        rows = self._rows_in_halves()
        self.qkv.weight.data[rows] = self.qkv.weight.data[: len(rows)].clone()
        self.rope.is_interleaved = True

    def _rows_in_halves(self) -> Tensor:
        """Rows of the interleaved query and key weights, in the order that the layout in halves has."""
        config = self.config
        num_rotated = config.num_heads + config.num_kv_heads
        return torch.arange(num_rotated * config.head_dim).view(num_rotated, -1, 2).transpose(1, 2).flatten()


class Decoder(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.num_layers))
        self.norm = RMSNorm(config.width, config.norm_eps)
        nn.init.normal_(self.embedding.weight, std=0.02)
        init_blocks(self.blocks, 1 / math.sqrt(2 * config.num_layers))

    def hidden(
        self, ids: Tensor, positions: Tensor | None = None, mask: Tensor | None = None, cache: Cache | None = None
    ) -> Tensor:
        """The last layer's normalised states, (batch, tokens, width)."""
        return self.read(self.embedding(ids), positions, mask, cache)

    def read(
        self, x: Tensor, positions: Tensor | None = None, mask: Tensor | None = None, cache: Cache | None = None
    ) -> Tensor:
        return self.norm(run_blocks(self.blocks, x, positions, mask, cache))

    def logits(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.embedding.weight.to(hidden.dtype))


class Verifier(nn.Module):
    """P(this step and all before it are right), at every token; read it at a step's last one."""

    def __init__(self, config: ModelConfig, num_head_blocks: int = 1) -> None:
        super().__init__()
        block = replace(config, feed_width=2 * config.width // 3)  # small: the trunk has done the reading
        self.trunk = Decoder(config).requires_grad_(False)
        self.mix = nn.Linear(2 * config.width + 3, config.width)
        layers = range(config.num_layers, config.num_layers + num_head_blocks)
        self.blocks = nn.ModuleList(Block(block, layer) for layer in layers)
        self.norm = RMSNorm(config.width, config.norm_eps)
        self.head = nn.Linear(config.width, 1)
        init_blocks(self.blocks, 0.3)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (batch, tokens) of whole sequences (batch, tokens), right-padded."""
        return self.judge_and_predict(ids)[0]

    def judge_and_predict(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, and the trunk's log-probability of each token, (batch, tokens)."""
        batch, tokens = ids.shape
        positions = torch.arange(tokens, device=ids.device).expand(batch, -1)
        hidden = self.trunk.hidden(ids)
        embedded = self.trunk.embedding(ids)
        features, log_probability = self.features(embedded, ids, positions, hidden, torch.zeros_like(hidden[:, 0]))
        return self.judge(features, positions), log_probability

    def features(
        self, embedded: Tensor, ids: Tensor, positions: Tensor, hidden: Tensor, past_hidden: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What the verifier's blocks read at each token, (batch, tokens, 2 * width + 3), and its log-probability.

        Args:
            embedded: the trunk's embedding of `ids`, (batch, tokens, width).
            ids: (batch, tokens).
            positions: (batch, tokens), 0 at the first token of a sequence, which nothing predicts.
            hidden: the trunk's states, (batch, tokens, width).
            past_hidden: the trunk's state at the token before the first, (batch, width).
        """
        previous = torch.cat((past_hidden[:, None], hidden[:, :-1]), 1)
        logits = self.trunk.logits(previous).float()  # (batch, tokens, vocab)
        below_peak = logits - logits.amax(-1, keepdim=True)
        weights = below_peak.exp()
        total = weights.sum(-1, keepdim=True)
        gap = below_peak.gather(2, ids[..., None])
        log_probability = gap - total.log()
        entropy = total.log() - (weights * below_peak).sum(-1, keepdim=True) / total
        choice = torch.cat((log_probability.clamp(min=-12) / 3, gap.clamp(min=-12) / 3, entropy), -1)
        choice = choice * (positions[..., None] > 0)
        embedded = embedded.float()
        embedded = embedded / (embedded.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()
        return torch.cat((previous.float(), embedded, choice), -1), log_probability[..., 0]

    def judge(
        self, features: Tensor, positions: Tensor, mask: Tensor | None = None, cache: Cache | None = None
    ) -> Tensor:
        """Logits (batch, tokens) of `features`."""
        x = self.norm(run_blocks(self.blocks, self.mix(features), positions, mask, cache))
        return self.head(x).squeeze(-1)


def run_blocks(
    blocks: nn.ModuleList, x: Tensor, positions: Tensor | None, mask: Tensor | None, cache: Cache | None
) -> Tensor:
    """Runs blocks over (batch, tokens, width); by default causally, from position 0."""
    tokens = x.shape[1]
    if positions is None:
        positions = torch.arange(tokens, device=x.device)[None]
    if mask is None:
        mask = torch.full((tokens, tokens), -math.inf, device=x.device).triu(1)
    angles = blocks[0].rope.angles(positions)
    for block in blocks:
        x = block(x, angles, mask, cache or NoCache())
    return x


def init_blocks(blocks: nn.ModuleList, residual_gain: float) -> None:
    """Scales each matrix by its fan-in, and those that write to the stream down, so that depth adds no variance."""
    for name, parameter in blocks.named_parameters():
        if parameter.dim() == 2:
            gain = residual_gain if name.endswith(("out.weight", "down.weight")) else 1.0
            nn.init.normal_(parameter, std=gain / math.sqrt(parameter.shape[1]))


def count_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def save_model(path: Path, preset: str, model: nn.Module) -> None:
    """Writes the weights with the name of their preset."""
    torch.save({"preset": preset, "weights": model.state_dict()}, path)


def load_decoder(path: Path, device: str = "cpu") -> tuple[str, Decoder]:
    """A solver's preset and weights, as `train.py` wrote them."""
    saved = _load(path, device)
    decoder = Decoder(PRESETS[saved["preset"]]).to(device)
    decoder.load_state_dict(saved["weights"])
    return saved["preset"], decoder.eval()


def load_verifier(path: Path, device: str = "cpu") -> tuple[str, Verifier]:
    """A verifier's trunk preset and weights, as `train_verifier.py` wrote them."""
    saved = _load(path, device)
    verifier = Verifier(PRESETS[saved["preset"]]).to(device)
    verifier.load_state_dict(saved["weights"])
    return saved["preset"], verifier.eval()


def start_verifier(path: Path, device: str = "cpu") -> tuple[str, Verifier]:
    """A verifier to train further, or a new one on the trunk that a solver's file holds."""
    if "head.weight" in _load(path, "cpu")["weights"]:
        return load_verifier(path, device)
    preset, trunk = load_decoder(path, device)
    verifier = Verifier(trunk.config).to(device)
    verifier.trunk.load_state_dict(trunk.state_dict())
    return preset, verifier


def _load(path: Path, device: str) -> dict[str, Any]:
    saved: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    return saved

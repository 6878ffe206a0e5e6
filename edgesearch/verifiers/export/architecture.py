"""The shape of a decoder, from a Transformers model's config.json.

Llama, Qwen2 and Mistral are one architecture with small differences: RMSNorm before attention and feed-forward, rotary
positions in halves, grouped-query attention, SwiGLU. Qwen2 has biases on queries, keys and values; Llama may have them
everywhere. Mistral's sliding window is not built: what is read then ends where the window does, and up to there both
are the same.

Not covered: rotary positions that change with the length of the text (dynamic, yarn, longrope); mixtures of experts.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesearch.errors import IntegrityError

MODEL_TYPES = ("llama", "mistral", "qwen2")


@dataclass(frozen=True, slots=True)
class Architecture:
    """What config.json says."""

    model_type: str
    hidden: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    feed_width: int
    vocab_size: int
    max_positions: int
    norm_eps: float
    rotary: tuple[float, ...]
    """Angle per position of each pair of dimensions, (head_dim / 2,)."""
    has_qkv_bias: bool = False
    has_out_bias: bool = False
    has_feed_bias: bool = False
    is_tied: bool = False
    """Whether the output layer is the embedding."""


def architecture(config: Mapping[str, Any]) -> Architecture:
    """Reads a config.json.

    Raises:
        IntegrityError: another architecture, or a value that is missing or out of range; says which.
    """
    model_type = config.get("model_type")
    if model_type not in MODEL_TYPES:
        raise IntegrityError(
            f"config.json says model_type {model_type!r}, which cannot be exported; known are {', '.join(MODEL_TYPES)}"
        )
    if config.get("hidden_act", "silu") != "silu":
        raise IntegrityError(f"config.json says hidden_act {config['hidden_act']!r}, but only silu can be exported")
    hidden, num_heads = _count(config, "hidden_size"), _count(config, "num_attention_heads")
    head_dim = _count(config, "head_dim", hidden // num_heads)
    is_llama = model_type == "llama"
    num_kv_heads = _count(config, "num_key_value_heads", num_heads)
    if num_heads % num_kv_heads or head_dim % 2:
        raise IntegrityError(
            f"config.json has {num_heads} heads, {num_kv_heads} of them for keys, of size {head_dim}: the first must "
            "be a multiple of the second, and the size even"
        )
    return Architecture(
        model_type=model_type,
        hidden=hidden,
        num_layers=_count(config, "num_hidden_layers"),
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
        feed_width=_count(config, "intermediate_size"),
        vocab_size=_count(config, "vocab_size"),
        max_positions=_max_positions(config),
        norm_eps=_number(config, "rms_norm_eps", 1e-6),
        rotary=tuple(float(angle) for angle in _rotary(config, head_dim)),
        has_qkv_bias=model_type == "qwen2" or (is_llama and bool(config.get("attention_bias"))),
        has_out_bias=is_llama and bool(config.get("attention_bias")),
        has_feed_bias=is_llama and bool(config.get("mlp_bias")),
        is_tied=bool(config.get("tie_word_embeddings")),
    )


def _max_positions(config: Mapping[str, Any]) -> int:
    """Positions up to which attention sees all that was before."""
    positions = _count(config, "max_position_embeddings")
    is_sliding = config.get("model_type") == "mistral" or bool(config.get("use_sliding_window"))
    if not is_sliding or config.get("sliding_window") is None:
        return positions
    return min(positions, _count(config, "sliding_window"))


def _rotary(config: Mapping[str, Any], head_dim: int) -> NDArray[np.float32]:
    """As Transformers computes them, in float32."""
    settings = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(settings, dict):
        raise IntegrityError(f"config.json: rope_scaling must be a table, not {settings!r}")
    theta = _number({**config, **settings}, "rope_theta", 10_000.0)
    if _number({**config, **settings}, "partial_rotary_factor", 1.0) != 1:
        raise IntegrityError("config.json has a partial_rotary_factor, which cannot be exported")
    exponents: NDArray[np.float32] = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    angles: NDArray[np.float32] = (1 / np.float32(theta) ** exponents).astype(np.float32)
    kind = settings.get("rope_type", settings.get("type", "default"))
    if kind == "default":
        return angles
    if kind == "linear":
        stretched: NDArray[np.float32] = angles / np.float32(_number(settings, "factor"))
        return stretched
    if kind == "llama3":
        return _llama3(angles, settings)
    raise IntegrityError(
        f"config.json has rotary positions of type {kind!r}, which cannot be exported; known are default, linear and "
        "llama3"
    )


def _llama3(angles: NDArray[np.float32], settings: Mapping[str, Any]) -> NDArray[np.float32]:
    """Llama 3.1's: long waves are stretched by a factor, short ones kept, those in between mixed."""
    factor, low, high = (_number(settings, key) for key in ("factor", "low_freq_factor", "high_freq_factor"))
    turns = _number(settings, "original_max_position_embeddings") * angles / (2 * math.pi)
    share = np.clip((turns - low) / (high - low), 0, 1)  # of the angle that is kept
    stretched: NDArray[np.float32] = (angles * (share + (1 - share) / factor)).astype(np.float32)
    return stretched


def _count(config: Mapping[str, Any], key: str, default: int | None = None) -> int:
    value = config.get(key)
    if value is None and default is not None:
        return default
    if type(value) is not int or value < 1:
        raise IntegrityError(f"config.json: {key} must be a whole number >= 1, not {value!r}")
    return value


def _number(config: Mapping[str, Any], key: str, default: float | None = None) -> float:
    value = config.get(key, default)
    if not isinstance(value, int | float) or not 0 < value < math.inf:
        raise IntegrityError(f"config.json: {key} must be a number > 0, not {value!r}")
    return float(value)

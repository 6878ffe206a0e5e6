"""Tiny process reward models in the files that Transformers writes, made without it, and their scores in plain NumPy.

`make(folder, "qwen2", "two-class")` writes config.json, safetensors and a tokeniser. `scores` computes what the model
says of a sequence in float64 with loops over heads: slow, and as the papers have it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
SPECIAL = [
    "<|begin|>", "<extra_0>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
]  # fmt: skip
TEXT = "Ana has 22 apples. Ana loses 17 of them. How many are left? 22-17=5 The answer is 5 user system "
VOCABULARY = 512
HEADS = ("value", "two-class", "good-bad")
FORMATS = {"value": "skywork", "two-class": "qwen-prm", "good-bad": "rlhflow"}


@cache
def byte_tokenizer(special: tuple[str, ...] = tuple(SPECIAL)) -> bytes:
    """Of the kind that Llama 3 and Qwen2 have: bytes, no space put before a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=alphabet, special_tokens=list(special), show_progress=False
    )
    tokenizer.train_from_iterator([TEXT] * 20, trainer)
    return bytes(tokenizer.to_str(), "utf-8")


@cache
def space_tokenizer() -> bytes:
    """Of the kind that Llama 2 and Mistral have: a space put before a text, " ки" a word, bytes where there is none."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<unk>", "<s>", "</s>", *byte_tokens], show_progress=False
    )
    tokenizer.train_from_iterator([*(word for word in TEXT.split() for _ in range(5)), *["ки", "+", "-"] * 50], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return bytes(tokenizer.to_str(), "utf-8")


def config(model_type: str, **changes: Any) -> dict[str, Any]:
    """A config.json of a model with every feature that the architecture has: groups of queries, biases."""
    return {
        "model_type": model_type,
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "intermediate_size": 40,
        "vocab_size": VOCABULARY,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500.0,
        "max_position_embeddings": 256,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "attention_bias": model_type == "llama",
        "mlp_bias": model_type == "llama",
        **changes,
    }


def weights(settings: dict[str, Any], head: str, seed: int = 0) -> dict[str, Floats]:
    """Random weights, large enough that scores differ."""
    rng = np.random.default_rng(seed)
    hidden, width = settings["hidden_size"], settings["intermediate_size"]
    dim, heads, keys = (settings[key] for key in ("head_dim", "num_attention_heads", "num_key_value_heads"))
    is_llama, is_qwen = settings["model_type"] == "llama", settings["model_type"] == "qwen2"
    made: dict[str, Floats] = {}

    def linear(name: str, outputs: int, inputs: int, has_bias: bool = False) -> None:
        made[f"{name}.weight"] = (rng.normal(size=(outputs, inputs)) / inputs**0.5).astype(np.float32)
        if has_bias:
            made[f"{name}.bias"] = rng.normal(scale=0.3, size=outputs).astype(np.float32)

    linear("model.embed_tokens", VOCABULARY, hidden)
    made["model.embed_tokens.weight"] *= hidden**0.5
    for layer in range(settings["num_hidden_layers"]):
        prefix = f"model.layers.{layer}"
        for name, outputs in (("q", heads * dim), ("k", keys * dim), ("v", keys * dim)):
            linear(f"{prefix}.self_attn.{name}_proj", outputs, hidden, is_qwen or settings["attention_bias"])
        linear(f"{prefix}.self_attn.o_proj", hidden, heads * dim, is_llama and settings["attention_bias"])
        for name in ("gate", "up"):
            linear(f"{prefix}.mlp.{name}_proj", width, hidden, settings["mlp_bias"])
        linear(f"{prefix}.mlp.down_proj", hidden, width, settings["mlp_bias"])
        for name in ("input_layernorm", "post_attention_layernorm"):
            made[f"{prefix}.{name}.weight"] = rng.uniform(0.5, 1.5, hidden).astype(np.float32)
    made["model.norm.weight"] = rng.uniform(0.5, 1.5, hidden).astype(np.float32)
    if head == "value":
        linear("v_head.summary", 1, hidden, has_bias=True)
    elif head == "two-class":
        linear("score.0", hidden, hidden, has_bias=True)
        linear("score.2", 2, hidden, has_bias=True)
    elif head == "linear-two-class":
        linear("score", 2, hidden, has_bias=True)
    if not settings["tie_word_embeddings"]:
        linear("lm_head", VOCABULARY, hidden)
    return made


def save_tensors(path: Path, tensors: dict[str, NDArray[Any]], dtype: str = "F32") -> None:
    """Writes a safetensors file."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, tensor in tensors.items():
        stored = tensor if dtype != "BF16" else (tensor.view(np.uint32) >> 16).astype(np.uint16)
        raw = stored.tobytes()
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


@dataclass
class TinyPrm:
    """A model's folder and what is in it."""

    folder: Path
    config: dict[str, Any]
    weights: dict[str, Floats]
    head: str
    score_tokens: tuple[int, int] = (0, 1)
    extra: dict[str, Any] = field(default_factory=dict)

    def scores(self, ids: Sequence[int]) -> NDArray[np.float64]:
        return scores(self, ids)


def make(
    folder: Path,
    model_type: str,
    head: str,
    *,
    tokenizer: bytes | None = None,
    template: str | None = None,
    bos: str = "<|begin|>",
    **changes: Any,
) -> TinyPrm:
    """Writes a model; `changes` are of its config."""
    settings = config(model_type, **changes)
    made = weights(settings, head)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings))
    save_tensors(folder / "model.safetensors", made)
    (folder / "tokenizer.json").write_bytes(tokenizer or byte_tokenizer())
    told = {"bos_token": bos, "eos_token": {"content": "<|im_end|>"}}
    chosen = template or (LLAMA3 if head == "good-bad" else CHATML)
    (folder / "tokenizer_config.json").write_text(json.dumps({**told, "chat_template": chosen}))
    return TinyPrm(folder, settings, made, head)


# -- the same in NumPy -------------------------------------------------------------------------------------------------


def scores(prm: TinyPrm, ids: Sequence[int]) -> NDArray[np.float64]:
    """Scores of every token of a sequence, (tokens,)."""
    hidden = states(prm, ids)
    w = {name: tensor.astype(np.float64) for name, tensor in prm.weights.items()}
    if prm.head == "value":
        logits = hidden @ w["v_head.summary.weight"][0] + w["v_head.summary.bias"][0]
        return 1 / (1 + np.exp(-logits))
    if prm.head == "two-class":
        inner = np.maximum(hidden @ w["score.0.weight"].T + w["score.0.bias"], 0)
        both = inner @ w["score.2.weight"].T + w["score.2.bias"]
    elif prm.head == "linear-two-class":
        both = hidden @ w["score.weight"].T + w["score.bias"]
    else:
        rows = w["model.embed_tokens.weight"] if prm.config["tie_word_embeddings"] else w["lm_head.weight"]
        good, bad = prm.score_tokens
        both = np.stack([hidden @ rows[bad], hidden @ rows[good]], -1)
    return 1 / (1 + np.exp(both[:, 0] - both[:, 1]))


def states(prm: TinyPrm, ids: Sequence[int]) -> NDArray[np.float64]:
    """The decoder's last states, (tokens, hidden)."""
    c = prm.config
    w = {name: tensor.astype(np.float64) for name, tensor in prm.weights.items()}
    x = w["model.embed_tokens.weight"][list(ids)]
    for layer in range(c["num_hidden_layers"]):
        p = f"model.layers.{layer}"
        x = x + _attention(c, w, f"{p}.self_attn", _normed(x, w[f"{p}.input_layernorm.weight"], c))
        y = _normed(x, w[f"{p}.post_attention_layernorm.weight"], c)
        gate, up = _linear(w, f"{p}.mlp.gate_proj", y), _linear(w, f"{p}.mlp.up_proj", y)
        x = x + _linear(w, f"{p}.mlp.down_proj", gate / (1 + np.exp(-gate)) * up)
    return _normed(x, w["model.norm.weight"], c)


def _linear(w: dict[str, Any], name: str, x: Any) -> Any:
    return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0.0)


def _normed(x: Any, gains: Any, c: dict[str, Any]) -> Any:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + c["rms_norm_eps"]) * gains


def _attention(c: dict[str, Any], w: dict[str, Any], name: str, x: Any) -> Any:
    dim, heads, keys = c["head_dim"], c["num_attention_heads"], c["num_key_value_heads"]
    q, k, v = (_linear(w, f"{name}.{kind}_proj", x) for kind in "qkv")
    mask = np.triu(np.full((len(x), len(x)), -np.inf), 1)
    found = []
    for head in range(heads):
        at = head // (heads // keys) * dim
        a = _turned(q[:, head * dim : (head + 1) * dim], c) @ _turned(k[:, at : at + dim], c).T / dim**0.5 + mask
        a = np.exp(a - a.max(-1, keepdims=True))
        found.append(a / a.sum(-1, keepdims=True) @ v[:, at : at + dim])
    return _linear(w, f"{name}.o_proj", np.concatenate(found, -1))


def _turned(x: Any, c: dict[str, Any]) -> Any:
    """Rotary positions, in halves."""
    half = c["head_dim"] // 2
    angles = np.arange(len(x))[:, None] * angle_steps(c)
    a, b = x[:, :half], x[:, half:]
    return np.concatenate([a * np.cos(angles) - b * np.sin(angles), b * np.cos(angles) + a * np.sin(angles)], -1)


def angle_steps(c: dict[str, Any]) -> NDArray[np.float64]:
    """Angle per position of each pair of dimensions."""
    steps = c["rope_theta"] ** -(np.arange(0, c["head_dim"], 2) / c["head_dim"])
    scaling = c.get("rope_scaling") or {}
    if scaling.get("rope_type") == "linear":
        return steps / scaling["factor"]
    if scaling.get("rope_type") == "llama3":  # Llama 3.1's reference code: by wavelength
        length = scaling["original_max_position_embeddings"]
        changed = []
        for step in steps:
            wave = 2 * np.pi / step
            if wave < length / scaling["high_freq_factor"]:
                changed.append(step)
            elif wave > length / scaling["low_freq_factor"]:
                changed.append(step / scaling["factor"])
            else:
                low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
                smooth = (length / wave - low) / (high - low)
                changed.append((1 - smooth) * step / scaling["factor"] + smooth * step)
        return np.array(changed)
    return steps

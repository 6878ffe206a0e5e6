"""GGUF files for tests of process reward models: a built-in solver under another vocabulary, and a tiny model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np
from gguf import TokenType

TRUNK = Path(__file__).parents[2] / "models" / "nano" / "nano-medium-q8_0.gguf"

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_REPLACED = ("general.architecture", "general.file_type", "tokenizer.chat_template")
START, END, EXTRA = 763, 764, 765
"""Ids that `chat_model` gives to control tokens; words of nano-medium that the tests do not use."""


def chat_model(path: Path, *, template: str | None = CHATML, extra: TokenType = TokenType.CONTROL) -> Path:
    """nano-medium with the control tokens `<|im_start|>`, `<|im_end|>` and `<extra_0>`, and a chat template."""
    tokens = {
        START: ("<|im_start|>", TokenType.CONTROL),
        END: ("<|im_end|>", TokenType.CONTROL),
        EXTRA: ("<extra_0>", extra),
    }
    return variant(path, tokens, template)


def variant(path: Path, tokens: Mapping[int, tuple[str, TokenType]], template: str | None) -> Path:
    """nano-medium in float32, with other texts and types of some tokens, and another chat template or none."""
    reader = gguf.GGUFReader(TRUNK)
    writer = gguf.GGUFWriter(path, "llama")
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name in _REPLACED:
            continue
        value = field.contents()
        if field.name in ("tokenizer.ggml.tokens", "tokenizer.ggml.token_type"):
            place = 0 if field.name.endswith("tokens") else 1
            for token, changed in tokens.items():
                value[token] = changed[place]
        sub_type = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, value, field.types[0], sub_type=sub_type)
    if template is not None:
        writer.add_chat_template(template)
    for tensor in reader.tensors:
        # float weights: quantised ones quantise activations too, and then batches of other sizes round far apart
        writer.add_tensor(tensor.name, gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32))
    return _written(writer, path)


def sentencepiece_model(path: Path) -> Path:
    """A random model of one layer whose vocabulary is of the Llama 2 and Mistral kind: it puts a space before texts."""
    words = ["▁Step", "▁one", "▁two", "▁+", "▁-", "▁ки", "ки", "ру", "Step", "one", "two"]
    parts = [word[:end] for word in words for end in range(1, len(word) + 1)]  # words are merged from these
    pieces = list(dict.fromkeys([*parts, *"▁abcdefghijklmnopqrstuvwxyzкиру?:.+-"]))
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    kinds = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL]
    kinds += [TokenType.BYTE] * 256 + [TokenType.NORMAL] * len(pieces)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(256)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * 259 + [float(len(piece)) for piece in pieces])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    rng = np.random.default_rng(0)
    shapes = {"attn_q": (32, 32), "attn_k": (32, 32), "attn_v": (32, 32), "attn_output": (32, 32)}
    shapes |= {"ffn_gate": (64, 32), "ffn_up": (64, 32), "ffn_down": (32, 64)}
    for name, shape in shapes.items():
        writer.add_tensor(f"blk.0.{name}.weight", rng.normal(0, 0.2, shape).astype(np.float32))
    for name in ("blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"):
        writer.add_tensor(name, np.ones(32, np.float32))
    writer.add_tensor("token_embd.weight", rng.normal(0, 1, (len(tokens), 32)).astype(np.float32))
    return _written(writer, path)


def _written(writer: gguf.GGUFWriter, path: Path) -> Path:
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write()
    writer.close()
    return path

"""A GGUF of a real model's shape with random weights: the speed of a 1B model without its download.

    python benchmarks/synthetic_gguf.py --quant Q4_K_M

What decides speed is real: the tensor shapes, the quantisation of each tensor (as llama.cpp's quantiser chooses it),
the size of the vocabulary, the chat template and its control tokens. Only the words it writes mean nothing. Quantised
blocks are drawn directly, with scales that keep activations of order one, so a file takes seconds. The embedding's
rows of control tokens and of single bytes are zero: with tied weights their logit is 0, far below the top 40, so a
draft never ends early and its text is valid UTF-8 (half a character makes `llama_cpp.Llama` exceed `max_tokens`).

Files are kept in the user's cache folder, outside the repository, and made again when damaged.

Not covered: weights that know anything, other architectures than llama. Sources: block layouts, ggml-common.h; which
tensor gets which type, llama.cpp's `llama-quant.cpp` (`use_more_bits`); shape and template, Llama-3.2-1B-Instruct.
"""

import argparse
import itertools
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from numpy.typing import NDArray

from edgesearch.engines.gguf_header import read_header
from edgesearch.errors import IntegrityError, ModelNotFound

FORMAT = 1  # part of the file's name: raise it when the bytes of a file change
SEED = 20240925
NUM_BYTES = 256  # single bytes at the beginning of the vocabulary
NUM_CONTROL = 256  # control tokens at its end, as in Llama 3
BEGIN, END_OF_TEXT, HEADER_START, HEADER_END, END_OF_TURN = 0, 1, 6, 7, 9  # offsets among them
CONTROL_NAMES = {
    BEGIN: "<|begin_of_text|>",
    END_OF_TEXT: "<|end_of_text|>",
    HEADER_START: "<|start_header_id|>",
    HEADER_END: "<|end_header_id|>",
    END_OF_TURN: "<|eot_id|>",
}
PARAGRAPH = "ĊĊ"  # "\n\n" in byte-level spelling
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
FILE_TYPES = {
    "Q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
    "Q4_K_M": gguf.LlamaFileType.MOSTLY_Q4_K_M,
}


@dataclass(frozen=True, slots=True)
class Shape:
    """A llama model's dimensions."""

    name: str
    num_layers: int
    width: int
    """A multiple of 256 (the rows of K-quants) and of `num_heads`."""
    num_heads: int
    num_kv_heads: int
    feed_width: int
    """A multiple of 256."""
    vocab_size: int
    """Byte tokens, a paragraph, made-up words and 256 control tokens."""
    context: int
    rope_base: float = 500_000.0

    def __post_init__(self) -> None:
        for name in ("width", "feed_width"):
            value = getattr(self, name)
            if value < 256 or value % 256:
                raise ValueError(f"{name} must be a multiple of 256, not {value}")
        if self.width % self.num_heads or self.num_heads % self.num_kv_heads:
            raise ValueError(f"num_heads must divide width and be a multiple of num_kv_heads, not {self.num_heads}")
        if self.vocab_size <= NUM_BYTES + 1 + NUM_CONTROL:
            raise ValueError(f"vocab_size must be > {NUM_BYTES + 1 + NUM_CONTROL}, not {self.vocab_size}")

    @property
    def head_width(self) -> int:
        """Per attention head."""
        return self.width // self.num_heads

    @property
    def first_control(self) -> int:
        """Id of the first control token."""
        return self.vocab_size - NUM_CONTROL


LLAMA_1B = Shape("llama-1b", 16, 2048, 32, 8, 8192, 128_256, 8192)
TINY = Shape("tiny", 2, 256, 4, 2, 512, 2048, 1024)


def model_file(shape: Shape, quant: str, cache_dir: Path | None = None) -> Path:
    """The file of that shape and quantisation, written first when it is not in the cache.

    Args:
        shape: its dimensions.
        quant: `Q4_0` or `Q4_K_M`.
        cache_dir: where files are kept; default: `benchmarks` in edgesearch's user cache folder.
    """
    if cache_dir is None:
        import platformdirs

        cache_dir = platformdirs.user_cache_path("edgesearch") / "benchmarks"
    path = cache_dir / f"{shape.name}-{quant.lower()}-v{FORMAT}.gguf"
    if not _is_sound(path):
        cache_dir.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            write_model(part, shape, quant)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    return path


def _is_sound(path: Path) -> bool:
    try:
        read_header(path)
    except (ModelNotFound, IntegrityError):
        return False
    return True


def write_model(path: Path, shape: Shape, quant: str, seed: int = SEED) -> None:
    """Writes a model; the same arguments give the same bytes. One tensor at a time is in memory."""
    if quant not in FILE_TYPES:
        raise ValueError(f"quant must be one of {', '.join(FILE_TYPES)}, not {quant!r}")
    tensors = list(_tensors(shape, quant))
    writer = gguf.GGUFWriter(path, "llama")
    _add_metadata(writer, shape, quant)
    _add_vocabulary(writer, shape)
    for tensor in tensors:
        writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), tensor.size_bytes, tensor.kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    rng = np.random.default_rng(seed)
    for tensor in tensors:
        writer.write_tensor_data(tensor.values(rng))
    writer.close()


# -- metadata ------------------------------------------------------------------------------------------------------


def _add_metadata(writer: gguf.GGUFWriter, shape: Shape, quant: str) -> None:
    writer.add_type("model")
    writer.add_name(f"random weights in the shape of {shape.name}")
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_file_type(FILE_TYPES[quant])
    writer.add_vocab_size(shape.vocab_size)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.num_layers)
    writer.add_feed_forward_length(shape.feed_width)
    writer.add_head_count(shape.num_heads)
    writer.add_head_count_kv(shape.num_kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_rope_dimension_count(shape.head_width)


def _add_vocabulary(writer: gguf.GGUFWriter, shape: Shape) -> None:
    normal = [gguf.TokenType.NORMAL] * shape.first_control
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(vocabulary(shape))
    writer.add_token_types(normal + [gguf.TokenType.CONTROL] * NUM_CONTROL)
    writer.add_token_merges(["Ċ Ċ"])
    writer.add_bos_token_id(shape.first_control + BEGIN)
    writer.add_eos_token_id(shape.first_control + END_OF_TURN)
    writer.add_eot_token_id(shape.first_control + END_OF_TURN)
    writer.add_chat_template(CHAT_TEMPLATE)


def vocabulary(shape: Shape) -> list[str]:
    """All tokens in byte-level spelling: single bytes, the paragraph, words with a leading space, control tokens."""
    words = itertools.islice(made_up_words(), shape.first_control - NUM_BYTES - 1)
    control = (CONTROL_NAMES.get(i, f"<|reserved_special_token_{i}|>") for i in range(NUM_CONTROL))
    return [*_byte_letters(), PARAGRAPH, *(f"Ġ{word}" for word in words), *control]


def made_up_words() -> Iterator[str]:
    """Different words for ever: baba, babe, ..., then three syllables, four, ..."""
    syllables = [consonant + vowel for consonant in "bcdfghjklmnpqrstvwxz" for vowel in "aeiou"]
    for length in itertools.count(2):
        for parts in itertools.product(syllables, repeat=length):
            yield "".join(parts)


def _byte_letters() -> list[str]:
    """GPT-2's printable letter for each byte: itself where it prints, else the next one from U+0100 on."""
    prints = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = itertools.count(0x100)
    return [chr(byte) if byte in prints else chr(next(spare)) for byte in range(256)]


# -- tensors -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor to be drawn: normal-like weights, or ones for a norm (`deviation` 0)."""

    name: str
    shape: tuple[int, ...]
    kind: Kind
    deviation: float = 0.0
    zero_rows: tuple[slice, ...] = ()
    """Rows of weights that are all zero."""

    @property
    def size_bytes(self) -> int:
        """On disk."""
        elements, size = gguf.GGML_QUANT_SIZES[self.kind]
        return math.prod(self.shape) // int(elements) * int(size)

    def values(self, rng: np.random.Generator) -> NDArray[Any]:
        """Its bytes."""
        if self.kind is Kind.F32:
            return np.ones(self.shape, np.float32)
        elements, _ = gguf.GGML_QUANT_SIZES[self.kind]
        blocks = random_blocks(rng, self.kind, math.prod(self.shape) // elements, self.deviation)
        rows = blocks.reshape(self.shape[0], -1)
        for muted in self.zero_rows:
            rows[muted] = 0  # a zero scale makes all weights zero
        return blocks


def _tensors(shape: Shape, quant: str) -> Iterator[_Tensor]:
    width, kv_width = shape.width, shape.num_kv_heads * shape.head_width
    sizes = {
        "attn_q": (width, width),
        "attn_k": (kv_width, width),
        "attn_v": (kv_width, width),
        "attn_output": (width, width),
        "ffn_gate": (shape.feed_width, width),
        "ffn_up": (shape.feed_width, width),
        "ffn_down": (width, shape.feed_width),
    }  # (rows, columns)
    # Deviation of the logits is 4: a peaked distribution, as trained models have.
    never_drawn = (slice(NUM_BYTES), slice(shape.first_control, None))
    yield _Tensor("token_embd.weight", (shape.vocab_size, width), Kind.Q6_K, 4 / width**0.5, never_drawn)
    for layer in range(shape.num_layers):
        for norm in ("attn_norm", "ffn_norm"):
            yield _Tensor(f"blk.{layer}.{norm}.weight", (width,), Kind.F32)
        for name, size in sizes.items():
            kind = _kind(quant, name, layer, shape.num_layers)
            yield _Tensor(f"blk.{layer}.{name}.weight", size, kind, size[1] ** -0.5)
    yield _Tensor("output_norm.weight", (width,), Kind.F32)


def _kind(quant: str, name: str, layer: int, num_layers: int) -> Kind:
    """The type llama.cpp's quantiser gives a layer's matrix."""
    if quant == "Q4_0":
        return Kind.Q4_0
    eighth = num_layers // 8
    gets_more_bits = layer < eighth or layer >= 7 * num_layers // 8 or (layer - eighth) % 3 == 2
    return Kind.Q6_K if name in ("attn_v", "ffn_down") and gets_more_bits else Kind.Q4_K


def random_blocks(rng: np.random.Generator, kind: Kind, num_blocks: int, deviation: float) -> NDArray[np.uint8]:
    """Quantised blocks of random weights with mean about 0: (num_blocks, bytes per block).

    All bits are random but those of the blocks' scales, which are set for the deviation that the rest has:
    Q4_0: w = d (q - 8), q in 0..15. Q4_K: w = d s q - dmin m, s and m in 0..63, dmin = 7.5 d for a mean of 0.
    Q6_K: w = d s (q - 32), s in -128..127, q in 0..63.
    """
    _, size = gguf.GGML_QUANT_SIZES[kind]
    words = rng.integers(0, 1 << 64, -(-num_blocks * size // 8), np.uint64)
    blocks: NDArray[np.uint8] = words.view(np.uint8)[: num_blocks * size].reshape(num_blocks, size)
    scales = _SCALES[kind](deviation, rng.choice((-1.0, 1.0), num_blocks))
    for offset, values in scales:
        blocks[:, offset : offset + 2] = values.astype("<f2")[:, None].view(np.uint8)
    return blocks


_Scales = Sequence[tuple[int, NDArray[np.float64]]]


def _q4_0_scales(deviation: float, signs: NDArray[np.float64]) -> _Scales:
    return [(0, signs * deviation / 4.64)]  # sqrt(E[(q - 8)^2])


def _q4_k_scales(deviation: float, signs: NDArray[np.float64]) -> _Scales:
    scale = signs * deviation / 258.3  # sqrt(Var[s q] + 7.5^2 Var[m])
    return [(0, scale), (2, 7.5 * scale)]


def _q6_k_scales(deviation: float, signs: NDArray[np.float64]) -> _Scales:
    return [(208, signs * deviation / 1366)]  # sqrt(E[s^2] E[(q - 32)^2])


_SCALES: dict[Kind, Callable[[float, NDArray[np.float64]], _Scales]] = {
    Kind.Q4_0: _q4_0_scales,
    Kind.Q4_K: _q4_k_scales,
    Kind.Q6_K: _q6_k_scales,
}
"""Offsets and values of the half-precision scales in a block, given signs (num_blocks,)."""


def main() -> None:
    """Writes the file and prints where it is."""
    parser = argparse.ArgumentParser(description="Write a GGUF of Llama-3.2-1B's shape with random weights.")
    parser.add_argument("--quant", choices=sorted(FILE_TYPES), default="Q4_K_M")
    parser.add_argument("--cache-dir", type=Path)
    args = parser.parse_args()
    start = time.perf_counter()
    path = model_file(LLAMA_1B, args.quant, args.cache_dir)
    print(f"{path.stat().st_size / 1e6:.0f} MB, {time.perf_counter() - start:.1f} s", file=sys.stderr)
    print(path)


if __name__ == "__main__":
    main()

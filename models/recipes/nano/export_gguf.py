"""A trained solver as a GGUF file that llama.cpp runs.

    python models/recipes/nano/export_gguf.py RUN/nano.pt --tokenizer RUN/tokenizer.json --out nano-q8_0.gguf

Q8_0 is the smallest format that keeps what these models know: of 50 greedy solutions of `nano-medium` 49
stay the same (Q4_0: 36). F16 is there to check an export against PyTorch. K-quants need rows of 256 and do not
fit these widths.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import gguf
from model import Decoder, count_parameters, load_decoder
from tokenizer import NanoTokenizer
from torch import Tensor

FILE_TYPES = {
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "q4_0": (gguf.GGMLQuantizationType.Q4_0, gguf.LlamaFileType.MOSTLY_Q4_0),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
CHAT_TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}\n\n"
    "{% elif m['role'] == 'assistant' %}{{ m['content'] }}{% if not loop.last %}\n\n{% endif %}{% endif %}{% endfor %}"
)


def export(preset: str, decoder: Decoder, tokenizer_path: Path, out: Path, quantization: str) -> None:
    tensor_type, file_type = FILE_TYPES[quantization]
    writer = gguf.GGUFWriter(str(out), "llama")
    add_metadata(writer, preset, decoder)
    writer.add_file_type(file_type)
    add_tokenizer(writer, tokenizer_path)
    for name, tensor in llama_tensors(decoder):
        array = tensor.detach().float().numpy()
        kind = gguf.GGMLQuantizationType.F32 if array.ndim == 1 else tensor_type
        if quantization == "q4_0" and name == "token_embd.weight":
            kind = gguf.GGMLQuantizationType.Q8_0  # it is the output layer too
        writer.add_tensor(name, gguf.quants.quantize(array, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_metadata(writer: gguf.GGUFWriter, preset: str, decoder: Decoder) -> None:
    config = decoder.config
    writer.add_type("model")
    writer.add_name(f"edgesearch {preset.replace('-', ' ')}")
    writer.add_description("A tiny solver of generated arithmetic problems; knows nothing else.")
    writer.add_size_label(f"{count_parameters(decoder) / 1e6:.2f}M")
    writer.add_license("apache-2.0")
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.num_layers)
    writer.add_feed_forward_length(config.feed_width)
    writer.add_head_count(config.num_heads)
    writer.add_head_count_kv(config.num_kv_heads)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_rope_freq_base(config.rope_base)
    writer.add_rope_dimension_count(config.head_dim)


def add_tokenizer(writer: gguf.GGUFWriter, path: Path) -> None:
    tokenizer = NanoTokenizer(path)
    tokens = tokenizer.vocabulary()
    merges = json.loads(path.read_text(encoding="utf-8"))["model"]["merges"]
    special = {tokenizer.end: gguf.TokenType.CONTROL, tokenizer.pad: gguf.TokenType.CONTROL}
    kinds = [
        special.get(i, gguf.TokenType.NORMAL if i < tokenizer.end else gguf.TokenType.UNUSED)
        for i in range(len(tokens))
    ]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_bos_token_id(tokenizer.end)
    writer.add_eos_token_id(tokenizer.end)
    writer.add_pad_token_id(tokenizer.pad)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def llama_tensors(decoder: Decoder) -> list[tuple[str, Tensor]]:
    """The weights by llama.cpp's names, the fused matrices split; output weights are left out, being the embedding."""
    config = decoder.config
    heads = [n * config.head_dim for n in (config.num_heads, config.num_kv_heads, config.num_kv_heads)]
    tensors = [("token_embd.weight", decoder.embedding.weight), ("output_norm.weight", decoder.norm.weight)]
    for index, block in enumerate(decoder.blocks):
        query, key, value = block.qkv.weight.split(heads)
        gate, up = block.gate_up.weight.chunk(2)
        named = {
            "attn_norm": block.attention_norm.weight,
            "ffn_norm": block.feed_norm.weight,
            "attn_q": query,
            "attn_k": key,
            "attn_v": value,
            "attn_output": block.out.weight,
            "ffn_gate": gate,
            "ffn_up": up,
            "ffn_down": block.down.weight,
        }
        tensors += [(f"blk.{index}.{name}.weight", tensor) for name, tensor in named.items()]
    return tensors


def main() -> None:
    parser = argparse.ArgumentParser(description="Export a solver to GGUF.")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--quantization", choices=sorted(FILE_TYPES), default="q8_0")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    preset, decoder = load_decoder(args.weights)
    export(preset, decoder, args.tokenizer, args.out, args.quantization)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.3f} MB, {count_parameters(decoder):,} parameters")


if __name__ == "__main__":
    main()

"""A shipped solver's weights and tokenizer, to train it further.

    python models/recipes/nano/import_gguf.py models/nano/nano-large-q8_0.gguf --out RUN --name nano-large-1

What Q8_0 rounded off stays lost; a few hundred steps of training make up for it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gguf
import torch
from export_gguf import llama_tensors
from model import PRESETS, Decoder, count_parameters, save_model
from tokenizer import rebuild
from tokenizers import Tokenizer


def import_solver(path: Path) -> tuple[str, Decoder]:
    """A GGUF's preset and weights.

    Raises:
        SystemExit: its shape is no preset's.
    """
    reader = gguf.GGUFReader(str(path))
    arrays = {tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}
    shapes = {name: array.shape for name, array in arrays.items()}
    for preset, config in PRESETS.items():
        decoder = Decoder(config)
        tensors = dict(llama_tensors(decoder))
        if {name: tuple(tensor.shape) for name, tensor in tensors.items()} == shapes:
            with torch.no_grad():
                for name, tensor in tensors.items():
                    tensor.copy_(torch.from_numpy(arrays[name].copy()))
            return preset, decoder
    raise SystemExit(f"{path} has none of the shapes {', '.join(PRESETS)}")


def import_tokenizer(path: Path) -> Tokenizer:
    fields = gguf.GGUFReader(str(path)).fields
    return rebuild(fields["tokenizer.ggml.tokens"].contents(), fields["tokenizer.ggml.merges"].contents())


def main() -> None:
    parser = argparse.ArgumentParser(description="Write what train.py starts from: RUN/NAME.pt, RUN/tokenizer.json.")
    parser.add_argument("gguf", type=Path)
    parser.add_argument("--out", type=Path, required=True, metavar="RUN")
    parser.add_argument("--name", required=True, help="of the weights' file")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    import_tokenizer(args.gguf).save(str(args.out / "tokenizer.json"))
    preset, decoder = import_solver(args.gguf)
    save_model(args.out / f"{args.name}.pt", preset, decoder)
    print(f"{args.out / args.name}.pt: {preset}, {count_parameters(decoder):,} parameters")


if __name__ == "__main__":
    main()

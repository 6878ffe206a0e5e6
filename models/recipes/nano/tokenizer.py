r"""The tokenizer: byte-level BPE, 756 pieces and two specials, split as Qwen2 splits text.

    python models/recipes/nano/tokenizer.py --out RUN

Why Qwen2's rule: llama.cpp knows it by name (`tokenizer.ggml.pre = qwen2`), so a GGUF file tokenizes as this
does, and it makes every digit a token of its own. Punctuation swallows the newlines after it, so a step must
end in a word: then the delimiter `\n\n` is always the same single token, and the verifier always reads the
same one.

The vocabulary is padded to 768 for quantisation (rows in multiples of 32); the pads are never sampled.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from edgesearch.tasks import arithmetic

QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
END_OF_TEXT = "<|endoftext|>"
PAD = "<|pad|>"
VOCAB_SIZE = 768


class NanoTokenizer:
    """The three special ids, and text to ids and back."""

    def __init__(self, path: Path) -> None:
        self.tokenizer: Tokenizer = Tokenizer.from_file(str(path))
        self.end = self._id(END_OF_TEXT)
        self.pad = self._id(PAD)
        self.delimiter = self._id("ĊĊ")  # two newlines, in byte-level BPE's alphabet

    def _id(self, token: str) -> int:
        found: int | None = self.tokenizer.token_to_id(token)
        if found is None:
            raise ValueError(f"the tokenizer has no token {token!r}; train it with tokenizer.py")
        return found

    def encode(self, texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]

    def decode(self, ids: list[int]) -> str:
        text: str = self.tokenizer.decode([i for i in ids if i < self.end], skip_special_tokens=False)
        return text

    def vocabulary(self) -> list[str]:
        """All `VOCAB_SIZE` token texts by id, as in GGUF's `tokenizer.ggml.tokens`."""
        pieces = {index: piece for piece, index in self.tokenizer.get_vocab(with_added_tokens=True).items()}
        return [pieces.get(index, f"<|unused{index}|>") for index in range(VOCAB_SIZE)]


def train(num_problems: int, seed: int = 0) -> Tokenizer:
    samples = itertools.islice(arithmetic.training_problems(f"tokenizer {seed}"), num_problems)
    texts = [sample.problem + arithmetic.STEP_DELIMITER + arithmetic.solution_text(sample) for sample in samples]
    tokenizer = _tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - 2,
        min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([END_OF_TEXT, PAD])
    return tokenizer


def rebuild(vocabulary: Sequence[str], merges: Sequence[str]) -> Tokenizer:
    """A tokenizer from what a GGUF of `export_gguf.py` holds of it."""
    pieces = {piece: index for index, piece in enumerate(vocabulary[: vocabulary.index(END_OF_TEXT)])}
    tokenizer = _tokenizer(
        models.BPE(vocab=pieces, merges=[(first, second) for first, second in map(str.split, merges)])
    )
    tokenizer.add_special_tokens([END_OF_TEXT, PAD])
    return tokenizer


def _tokenizer(model: models.BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the tokenizer; writes RUN/tokenizer.json.")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN")
    parser.add_argument("--problems", type=int, default=20_000)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer = train(args.problems)
    tokenizer.save(str(args.out / "tokenizer.json"))
    print(f"{tokenizer.get_vocab_size()} tokens in {args.out / 'tokenizer.json'}")


if __name__ == "__main__":
    main()

"""A `tokenizer.json` of the package `tokenizers`, loaded so that every text is text.

Its added tokens are left out, so the name of a control token in a text stays letters; nothing is put at the ends, and
no space before a text (as vocabularies of the Llama 2 and Mistral kind do). What the added tokens were is told apart,
for whoever puts them in by id.

Not covered: chat templates (prompt.py), what is put around texts (own_tokens.py).
"""

import json
from collections.abc import Mapping
from typing import Any

from edgesearch.errors import EdgesearchError


class PlainTokenizer:
    """Plain text to token ids."""

    def __init__(self, source: bytes) -> None:
        """Loads a tokeniser.

        Args:
            source: the content of a `tokenizer.json`.

        Raises:
            ValueError: it is not one.
            EdgesearchError: the package `tokenizers` is missing.
        """
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise EdgesearchError(
                "this verifier has a vocabulary of its own, for which the package tokenizers is needed: "
                "pip install 'edgesearch[prm]'"
            ) from error
        table = _table(source)
        self.added: Mapping[str, int] = {token["content"]: token["id"] for token in table["added_tokens"]}
        """Ids of the tokens that texts never give, by name."""
        self.puts_space = False
        """Whether it was made to put a space before a text."""
        opening = _loaded(Tokenizer, table).encode("").ids
        self.opening: tuple[int, ...] = tuple(opening[:1])
        """What it puts before a text: nothing, or the beginning of a sequence."""
        table |= {"added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
        for key in ("normalizer", "pre_tokenizer"):
            table[key] = self._without_space(table.get(key))
        self._tokenizer = _loaded(Tokenizer, table)
        name = table["model"].get("unk_token")
        self.unknown_id: int | None = self._tokenizer.token_to_id(name) if isinstance(name, str) else None
        """What stands for texts that the vocabulary cannot represent; None where it can represent all."""

    def _without_space(self, stage: Any) -> Any:
        """A normaliser or pre-tokeniser that puts no space before a text."""
        if not isinstance(stage, dict):
            return None
        for key in ("normalizers", "pretokenizers"):
            if key in stage:
                inner = [self._without_space(part) for part in stage[key]]
                return {**stage, key: [part for part in inner if part is not None]}
        if stage["type"] == "Prepend":
            self.puts_space = True
            return None
        if stage["type"] == "Metaspace":
            self.puts_space |= stage.get("prepend_scheme", "always") != "never"
            return {**stage, "prepend_scheme": "never", "add_prefix_space": False}
        if stage["type"] == "ByteLevel":
            self.puts_space |= bool(stage.get("add_prefix_space"))
            return {**stage, "add_prefix_space": False}
        return stage

    def ids(self, text: str) -> list[int]:
        """Ids of a text, as if it went on after another."""
        return list(self._encode(text).ids)

    def text(self, token: int) -> str:
        """What a token spells, without spaces at its ends; empty for those that were only added."""
        if self._tokenizer.id_to_token(token) is None:
            return ""
        return str(self._tokenizer.decode([token], skip_special_tokens=False)).strip()

    def _encode(self, text: str) -> Any:
        whole = text.encode(errors="replace").decode()  # half a surrogate pair is no text for the package
        return self._tokenizer.encode(whole, add_special_tokens=False)

    def unknown(self, text: str) -> str:
        """The first part of a text that the vocabulary cannot represent; empty where there is none."""
        encoding = self._encode(text)
        found = (place for token, place in zip(encoding.ids, encoding.offsets, strict=True) if token == self.unknown_id)
        return text[slice(*next(found, (0, 0)))]


def _loaded(kind: Any, table: Mapping[str, Any]) -> Any:
    try:
        return kind.from_str(json.dumps(table))
    except Exception as error:  # the package raises a bare Exception
        raise ValueError(str(error)) from error


def _table(source: bytes) -> dict[str, Any]:
    """The file's content where it has the parts that are read here."""
    table = json.loads(source)
    if not isinstance(table, dict) or not isinstance(table.get("model"), dict):
        raise ValueError("it has no model")
    tokens = table.setdefault("added_tokens", [])
    is_list = isinstance(tokens, list) and all(isinstance(token, dict) for token in tokens)
    if not is_list or not all(
        isinstance(token.get("content"), str) and isinstance(token.get("id"), int) for token in tokens
    ):
        raise ValueError("its added_tokens are not a list of tokens")
    return table

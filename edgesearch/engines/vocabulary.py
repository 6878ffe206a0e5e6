"""The vocabulary and chat template of a GGUF file, without its weights.

For engines whose weights run elsewhere: with a local file of the same model they tell the token ids that a verifier
reads. Loading takes milliseconds and a few megabytes, whatever the model's size.

Not covered: whether the remote model is the same; nothing can prove that from here.
"""

import hashlib
import os
from pathlib import Path

from edgesearch.engines.gguf_header import read_header
from edgesearch.engines.llama_native import NativeModel, library
from edgesearch.errors import IntegrityError
from edgesearch.prompt import ChatTemplate
from edgesearch.types import Prompt


class Vocabulary(NativeModel):
    """A model of which only the vocabulary is loaded."""

    def __init__(self, path: Path) -> None:
        """Loads it.

        Raises:
            ModelNotFound, IntegrityError: no usable GGUF.
        """
        self._model = None
        header = read_header(path)
        lib = self.lib = library()
        params = lib.llama_model_default_params()
        params.vocab_only = True
        self._model = lib.llama_model_load_from_file(os.fsencode(path), params)
        if not self._model:
            raise IntegrityError(f"{path.name} has no vocabulary that llama.cpp can read; use another GGUF")
        self.vocab = lib.llama_model_get_vocab(self._model)
        self.vocab_size = lib.llama_vocab_n_tokens(self.vocab)
        self.num_params = header.num_params
        self.trained_context = header.context_length
        self.attention_flops_per_token_context = 4.0 * header.num_layers * header.num_heads * max(1, header.key_length)
        self._bos, self._eos = lib.llama_vocab_bos(self.vocab), lib.llama_vocab_eos(self.vocab)
        end_of_turn = lib.llama_vocab_eot(self.vocab)
        self.end: int = end_of_turn if end_of_turn >= 0 else self._eos
        """The token that ends a turn; negative where the vocabulary has none."""
        self._adds_bos = bool(lib.llama_vocab_get_add_bos(self.vocab)) and self._bos >= 0
        self._source = self.meta("tokenizer.chat_template")
        self._template = self._make_template()

    @property
    def has_template(self) -> bool:
        """Whether the file has a chat template."""
        return bool(self._source)

    def _make_template(self) -> ChatTemplate:
        control = [token for token in range(self.vocab_size) if self.is_control(token)]
        special = {self.token_text(token): token for token in control}
        return ChatTemplate(self._source, special, bos=self._text(self._bos), eos=self._text(self._eos))

    def _text(self, token: int) -> str:
        return self.token_text(token) if token >= 0 else ""

    def text_template(self) -> ChatTemplate:
        """The template for a prompt sent as text: the server itself puts the beginning-of-sequence token before it."""
        bos = "" if self._adds_bos else self._text(self._bos)
        return ChatTemplate(self._source, {}, bos=bos, eos=self._text(self._eos))

    def encode(self, prompt: Prompt) -> tuple[int, ...]:
        """Ids of a rendered prompt, as the in-process engine has them."""
        ids = self._template.encode(prompt, self.tokenize)
        return (self._bos, *ids) if self._adds_bos and ids[:1] != [self._bos] else tuple(ids)

    def sha256(self) -> str:
        """Fingerprint, as in `EngineInfo.vocab_sha256`."""
        texts = (self.token_text(token) for token in range(self.vocab_size))
        return hashlib.sha256("\0".join(texts).encode()).hexdigest()

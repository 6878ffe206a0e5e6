"""Problem and steps to a process reward model's own tokens.

The model has its own vocabulary, so texts are tokenised here, each step alone, and what the format puts between them
goes in by id. That makes reading incremental: the tokens of a step do not depend on what comes after it.

Problems and steps are untrusted text. None of them can forge a step or a score:

- Scores are read at positions that are counted here, never at tokens that are searched for.
- Texts are tokenised as plain text, so the name of a special token such as `<extra_0>` stays a name. Where a vocabulary
  reads it in plain text all the same (user-defined tokens), the name is cut in two.
- A separator that is ordinary text, such as " ки", may well occur in a text. There it is cut in two and the halves are
  tokenised apart: the text stays the same, and the separator's token never stands in it. It is not refused, since a
  solver that happens to write it must not end a search. A separator of line ends cannot be cut: in texts it becomes a
  space (so steps of several lines are one line for skywork).
- A vocabulary that spells the separator letter by letter leaves no way to tell it from text; such a model is refused.
- Score tokens such as "+" are natural in texts. What protects them is that answers stand in turns of their own between
  control tokens, which no text can hold; a chat template without them is refused.

Not covered: decoding (llama_rows.py), reading scores (prm_readout.py).
"""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

from edgesearch.engines.llama_native import NativeModel
from edgesearch.errors import IntegrityError
from edgesearch.prompt import ChatTemplate
from edgesearch.types import Prompt
from edgesearch.verifiers.prm_format import PrmFormat
from edgesearch.verifiers.prm_turns import Piece, three_turns, turn_parts

_Pieces = list[Piece]


class PrmText:
    """A format in a model's vocabulary."""

    def __init__(self, model: NativeModel, prm_format: PrmFormat, name: str) -> None:
        """Looks up everything that the format puts between texts.

        Args:
            model: whose vocabulary and chat template.
            prm_format: the format.
            name: what errors call the model.

        Raises:
            IntegrityError: the vocabulary or the chat template cannot express the format.
        """
        self._model, self._format, self._name = model, prm_format, name
        control = [token for token in range(model.vocab_size) if model.is_control(token)]
        self._special = {model.token_text(token): token for token in control}
        self._line_end = model.tokenize("\n")
        self._puts_space = model.piece(model.tokenize("a")[0]).startswith(b" ")
        self._separator = self._separator_ids()
        self._keep_out()
        self.score_tokens = tuple(self._single(text) for text in (prm_format.good, prm_format.bad) if text)
        """Ids of the good and the bad token; empty where a head gives the score."""
        if len(set(self.score_tokens)) == 1:
            raise self._unfit(f"reads {prm_format.good!r} and {prm_format.bad!r} as one token")
        self._template = self._chat_template() if prm_format.layout != "text" else None
        if prm_format.layout == "turns":
            self._before, self._header, self._between = self._turn_parts()

    def opening(self, prompt: Prompt) -> tuple[int, ...]:
        """Ids of the problem, up to where the first step begins."""
        problem = self._flat(prompt.user)
        if self._format.layout == "turns":
            return self._begun(self._encode([*self._before, problem]))
        if self._template is not None:
            return self._begun(self._template.encode(Prompt(problem, self._format.system), self._plain))
        return self._begun(self._plain(problem + self._format.problem_suffix))

    def step(self, text: str, *, is_first: bool) -> tuple[int, ...]:
        """Ids that a step puts in; its score is read at the last of them.

        Args:
            text: the step without its delimiter; empty for a solution that says nothing.
            is_first: whether it is the solution's first step.
        """
        text = (self._format.first_prefix if is_first else self._format.next_prefix) + self._flat(text)
        if self._format.layout != "turns":
            return (*self._after(text), *self._separator) or tuple(self._line_end)
        if is_first:
            return (*self._after(text), *self._encode(self._header))
        return (self.score_tokens[0], *self._encode([*self._between, text, *self._header]))

    # -- what the vocabulary holds ---------------------------------------------------------------------------------

    def _separator_ids(self) -> tuple[int, ...]:
        text = self._format.separator
        if not text or text in self._special:
            return (self._special[text],) if text else ()
        ids = tuple(self._tokenize_on(text))
        core = self._model.piece(ids[-1]).decode(errors="replace").strip()
        if not text.isspace() and (len(core) < 2 or "\ufffd" in core):
            raise self._unfit(f"has no token for the separator {text!r}")
        return ids

    def _keep_out(self) -> None:
        """Notes the tokens that no text may hold, and where to cut a text that spells them."""
        kept_out = {text.strip(): token for text, token in self._special.items()}
        if self._separator:
            token = self._separator[-1]
            kept_out.setdefault(self._model.piece(token).decode(errors="replace").strip(), token)
        names = [name for name in sorted(kept_out, key=len, reverse=True) if len(name) > 1]
        self._kept_out = {kept_out[name] for name in names}
        self._cut_at = re.compile(f"(?={'|'.join(map(re.escape, names))})") if names else None

    def _single(self, text: str) -> int:
        """The id of a score token; a space that the vocabulary puts before it is not part of it."""
        if text in self._special:
            return self._special[text]
        *before, last = self._model.tokenize(text)
        if any(self._model.piece(token).strip() for token in before):
            raise self._unfit(f"has no token {text!r}")
        return last

    def _unfit(self, what: str) -> IntegrityError:
        return IntegrityError(f"verifier {self._name} {what}; name the format it was trained with, or use another GGUF")

    # -- tokenising ------------------------------------------------------------------------------------------------

    def _flat(self, text: str) -> str:
        """A text in which a separator of line ends is a space."""
        separator = self._format.separator
        return text.replace(separator, " ") if separator.isspace() else text

    def _plain(self, text: str) -> list[int]:
        """Ids of a text that begins here; no token that must be kept out is among them."""
        return self._kept_apart(text, self._model.tokenize)

    def _after(self, text: str) -> list[int]:
        """Ids of a text that goes on after another; no token that must be kept out is among them."""
        return self._kept_apart(text, self._tokenize_on)

    def _kept_apart(self, text: str, tokenize: Callable[[str], list[int]]) -> list[int]:
        ids = tokenize(text)
        if self._cut_at is None or self._kept_out.isdisjoint(ids):
            return ids
        cuts = [0, *(match.start() + 1 for match in self._cut_at.finditer(text)), len(text)]
        first, *rest = (text[start:end] for start, end in pairwise(cuts))
        return [*tokenize(first), *(token for part in rest for token in self._tokenize_on(part))]

    def _tokenize_on(self, text: str) -> list[int]:
        """Ids of a text that goes on after another.

        Vocabularies of the Llama 2 and Mistral kind put a space before whatever they tokenise, but not after a line's
        end, so there one stands in front and is taken off again.
        """
        if not self._puts_space or not text:
            return self._model.tokenize(text)
        return self._model.tokenize("\n" + text)[len(self._line_end) :]

    def _begun(self, ids: Sequence[int]) -> tuple[int, ...]:
        """With the beginning-of-sequence token where the vocabulary or the format wants it."""
        lib, vocab = self._model.lib, self._model.vocab
        bos = lib.llama_vocab_bos(vocab)
        is_wanted = bos >= 0 and (self._format.is_bos_forced or lib.llama_vocab_get_add_bos(vocab))
        return (bos, *ids) if is_wanted and tuple(ids[:1]) != (bos,) else tuple(ids)

    # -- chats -----------------------------------------------------------------------------------------------------

    def _chat_template(self) -> ChatTemplate:
        lib, vocab = self._model.lib, self._model.vocab
        ends = (lib.llama_vocab_bos(vocab), lib.llama_vocab_eos(vocab))
        bos, eos = (self._model.token_text(token) if token >= 0 else "" for token in ends)
        template = ChatTemplate(self._model.meta("tokenizer.chat_template"), self._special, bos=bos, eos=eos)
        if template.is_fallback:
            raise self._unfit(f"has no chat template, which layout {self._format.layout} needs")
        return template

    def _turn_parts(self) -> tuple[_Pieces, _Pieces, _Pieces]:
        """What the template writes before the first turn, before an answer, and between an answer and the next turn.

        They are cut from a chat of three turns, in which all turns must look alike.
        """
        assert self._template is not None
        texts: list[str] = []

        def noted(text: str) -> list[int]:
            texts.append(text)
            return [-len(texts)]

        chat = self._template.encode(three_turns(self._format.system), noted)
        parts = turn_parts([texts[-token - 1] if token < 0 else token for token in chat])
        if parts is None:
            raise self._unfit("has a chat template that does not put every turn between the same control tokens")
        return parts

    def _encode(self, pieces: _Pieces) -> list[int]:
        """Ids of pieces; texts side by side are one text, since tokenisers merge across the seam."""
        ids: list[int] = []
        text = ""
        for piece in pieces:
            if isinstance(piece, str):
                text += piece
                continue
            ids += [*self._plain(text), piece]
            text = ""
        return ids + self._plain(text)

"""From a format and a tokeniser to the token ids and texts that are put around a problem and its steps.

The formats are those of prm_format.py; here they are expressed in the vocabulary of a `tokenizer.json`, with the chat
template of the same repository, which runs in the sandbox of prompt.py. The result is plain data that goes into the
exported file, so that no template runs where the verifier does.

Not covered: tokenising problems and steps (own_tokens.py).
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path

from edgesearch.errors import IntegrityError, ModelNotFound, UsageError
from edgesearch.prompt import ChatTemplate
from edgesearch.types import Prompt
from edgesearch.verifiers import prm_format
from edgesearch.verifiers.export.heads import HeadKind
from edgesearch.verifiers.export.source import Source
from edgesearch.verifiers.own_tokens import PROBLEM, STEP, Part, TokenLayout
from edgesearch.verifiers.prm_format import PRESETS, PrmFormat
from edgesearch.verifiers.prm_turns import USER, three_turns, turn_parts


def choose_format(source: Source, head: HeadKind | None, wanted: str | None) -> tuple[str, PrmFormat]:
    """The format that a name or a TOML file gives, or that the model's weights and tokeniser leave no doubt about.

    Args:
        source: the model.
        head: which head its weights hold.
        wanted: a name in `PRESETS` or the path of a TOML file; None to tell by the model.

    Returns:
        Its name, or the file's, and the format.

    Raises:
        UsageError: nothing tells, or the format does not go with the head.
        ModelNotFound: no such file.
    """
    name = wanted or _telling(source, head)
    if name is None:
        has = "no head of a process reward model" if head is None else f"a {head} head, but nothing says how it reads"
        raise UsageError(
            f"{source.name} has {has}; if it is such a model, name its format with --format: {', '.join(PRESETS)}, "
            "or a TOML file"
        )
    found = _from_file(Path(name)) if name.endswith(".toml") else prm_format.preset(name)
    if found.needs_head and head is None:
        raise IntegrityError(
            f"format {name} reads a head, but {source.name} has no weights of one (v_head or score); use another copy"
        )
    return Path(name).name, found


def _telling(source: Source, head: HeadKind | None) -> str | None:
    if head == "two-class" and PRESETS["qwen-prm"].separator in source.tokenizer.added:
        return "qwen-prm"
    return "skywork" if any("v_head." in name for name in source.tensors.shapes) else None


def _from_file(path: Path) -> PrmFormat:
    try:
        return prm_format.from_table(tomllib.loads(path.read_text(encoding="utf-8")), str(path))
    except OSError as error:
        raise ModelNotFound(f"{path} cannot be read ({error.strerror}); give a name or the path of a format") from error
    except UsageError:  # a ValueError, too
        raise
    except ValueError as error:  # not UTF-8, or not TOML
        raise UsageError(f"{path} is not a TOML file ({error}); correct it") from error


def lay_out(source: Source, chosen: PrmFormat) -> TokenLayout:
    """A format in a model's vocabulary.

    Raises:
        UsageError: the vocabulary has no token for a separator, or the chat template is missing or of no use.
    """
    return _Writer(source, chosen).layout()


def score_tokens(source: Source, chosen: PrmFormat) -> tuple[int, int]:
    """Ids of a format's good and bad token.

    Raises:
        UsageError: the vocabulary has none for them.
    """
    writer = _Writer(source, chosen)
    good, bad = writer.single(chosen.good), writer.single(chosen.bad)
    if good == bad:
        raise writer.unfit(f"reads {chosen.good!r} and {chosen.bad!r} as one token")
    return good, bad


class _Writer:
    """A format and the vocabulary that it is written in."""

    def __init__(self, source: Source, chosen: PrmFormat) -> None:
        self._source, self._format, self._tokenizer = source, chosen, source.tokenizer
        self._space = " " if source.tokenizer.puts_space else ""
        """What the vocabulary expects before a text that begins."""

    def layout(self) -> TokenLayout:
        separator = self._format.separator
        flattened = separator if separator.isspace() else ""
        if self._format.layout == "turns":
            return TokenLayout(*self._turns(), flattened=flattened)
        if self._format.layout == "assistant":
            prompt = self._begun(self._chat(Prompt(USER, self._format.system)))
        else:
            prompt = self._begun([USER + self._format.problem_suffix])
        ending = self._separator()
        first: tuple[Part, ...] = (self._format.first_prefix + STEP, *ending)
        following: tuple[Part, ...] = (self._format.next_prefix + STEP, *ending)
        return TokenLayout(_told(prompt, USER, PROBLEM), first, following, flattened=flattened)

    def single(self, text: str) -> int:
        """The id of a score token; a space that the vocabulary puts before it is not part of it."""
        if text in self._tokenizer.added:
            return self._tokenizer.added[text]
        *before, last = self._tokenizer.ids(self._space + text)
        if any(self._tokenizer.text(token) for token in before) or last == self._tokenizer.unknown_id:
            raise self.unfit(f"has no token {text!r}")
        return last

    def unfit(self, what: str) -> UsageError:
        return UsageError(
            f"the tokeniser of {self._source.name} {what}, so its format is another one; choose it with --format: "
            f"{', '.join(PRESETS)}, or a TOML file"
        )

    def _separator(self) -> tuple[int, ...]:
        text = self._format.separator
        if text in self._tokenizer.added:
            return (self._tokenizer.added[text],)
        ids = tuple(self._tokenizer.ids(text)) if text else ()
        if (not text.isspace() and len(ids) > 1) or self._tokenizer.unknown_id in ids:
            raise self.unfit(f"has no token for the separator {text!r}")
        return ids

    def _begun(self, parts: Sequence[Part]) -> list[Part]:
        """With the beginning-of-sequence token where the vocabulary or the format wants it."""
        bos = self._tokenizer.added.get(self._source.bos)
        is_wanted = self._format.is_bos_forced or self._tokenizer.opening == (bos,)
        opening = [bos] if bos is not None and is_wanted and list(parts[:1]) != [bos] else []
        return self._spaced([*opening, *parts])

    def _spaced(self, parts: Sequence[Part], *, is_begun: bool = True) -> list[Part]:
        """With a space before each text that begins, as after a control token, where the vocabulary puts one."""
        spaced = [part if isinstance(part, int) else self._space + part for part in parts]
        return spaced if is_begun else [*parts[:1], *spaced[1:]]

    def _chat(self, prompt: Prompt) -> list[Part]:
        """What the chat template makes of a prompt: control tokens and the texts between them."""
        source = self._source
        if source.chat_template is None:
            raise self.unfit(f"has no chat template, which layout {self._format.layout} needs")
        texts: list[str] = []

        def noted(text: str) -> list[int]:
            texts.append(text)
            return [-len(texts)]

        template = ChatTemplate(source.chat_template, source.tokenizer.added, bos=source.bos, eos=source.eos)
        return [texts[-token - 1] if token < 0 else token for token in template.encode(prompt, noted)]

    def _turns(self) -> tuple[tuple[Part, ...], tuple[Part, ...], tuple[Part, ...]]:
        """The lists of a layout in which each step is a turn that is answered with the good token.

        They are cut from a chat of three turns, in which all turns must look alike.
        """
        parts = turn_parts(self._chat(three_turns(self._format.system)))
        if parts is None:
            raise self.unfit("has a chat template that does not write each turn alike, between control tokens")
        opening, header, between = parts
        prompt = _joined([*opening, PROBLEM])
        first = _joined([self._format.first_prefix + STEP, *header])
        good = self._tokenizer.added.get(self._format.good, self._format.good)
        following = _joined([good, *between, self._format.next_prefix + STEP, *header])
        return (*self._begun(prompt),), (*self._spaced(first, is_begun=False),), (*self._spaced(following),)


def _told(parts: Sequence[Part], mark: str, place: str) -> tuple[Part, ...]:
    return tuple(part.replace(mark, place) if isinstance(part, str) else part for part in parts)


def _joined(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Texts side by side as one, since tokenisers merge across the seam."""
    joined: list[Part] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(last := joined[-1], str):
            joined[-1] = last + part
        else:
            joined.append(part)
    return tuple(part for part in joined if part != "")

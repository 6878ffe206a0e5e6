"""Problem -> Prompt -> token ids: the chat template and what keeps it safe.

A chat template is a Jinja program that came with a model file, so it runs in Jinja's immutable sandbox, with nothing
of ours in reach (CVE-2024-34359 was a template run outside one). The problem is text from anywhere, so a control
token written in it must stay text: the template is rendered with a placeholder, control tokens are looked for in the
template's own text only, and what lies between two of them, the problem included, is tokenised as plain text in one
piece (in one piece, because tokenisers merge across the seam: "?\n\n" is one pre-token in several vocabularies). Some
vocabularies hold turn tokens of a kind that llama.cpp reads in plain text too (user-defined: Command R, Gemma 4);
where that happens the text is cut inside the token's name.

A prompt may show earlier attempts (`Prompt.attempts`): each is an assistant's turn, and after each a fixed sentence
asks for the next. What a model wrote is as untrusted as the problem and goes the same way.

Not covered: a template made to loop for hours or to fill the memory. It can do no more harm than that.
"""

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from edgesearch.errors import IntegrityError, UsageError
from edgesearch.types import Problem, Prompt

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment

ASK_AGAIN = (
    "The solution above may be wrong. Check it, then solve the problem again from the start, step by step, and end "
    "with the final answer in the same form."
)
"""The user's turn after an attempt."""

_FALLBACK_TEMPLATE = "{% for m in messages %}{{ m['content'] }}\n\n{% endfor %}"
_MAX_REASON = 200
_NAMES = {"system": "system turn", "user": "problem", "assistant": "attempts"}
"""What a message calls the turns of a role."""

Turn = dict[str, str]
"""`role` (system, user or assistant) and `content`."""


def make_prompt(problem: Problem, *, system: str = "", step_delimiter: str = "\n\n") -> Prompt:
    """The prompt of a problem.

    Raises:
        UsageError: the problem is blank, or not Unicode text.
    """
    try:
        problem.text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"character {error.start} of the problem is half a surrogate pair; give it as UTF-8") from None
    if not problem.text.strip():
        raise UsageError("the problem is empty; give a text, - for standard input or @file")
    return Prompt(user=problem.text.strip(), system=system, step_delimiter=step_delimiter, code=problem.code)


def turns(prompt: Prompt) -> list[Turn]:
    """What a prompt says, turn by turn: the problem, then each attempt and the request for another."""
    said = [{"role": "system", "content": prompt.system}] if prompt.system else []
    said.append({"role": "user", "content": prompt.user})
    for attempt in prompt.attempts:
        said += [{"role": "assistant", "content": attempt}, {"role": "user", "content": ASK_AGAIN}]
    return said


_MARK = re.compile("(\ue000[0-9a-f]{16}\ue001)")
"""Stands for a turn's text while the template is rendered; its middle is drawn, so that no template holds it."""


class ChatTemplate:
    """A model's chat template, compiled once."""

    def __init__(self, source: str | None, special_tokens: Mapping[str, int], *, bos: str = "", eos: str = "") -> None:
        """Compiles a template.

        Args:
            source: Jinja source from the model file; None for models without one (the messages as paragraphs).
            special_tokens: control tokens the template may name, text to id.
            bos: text of the beginning-of-sequence token.
            eos: text of the end-of-sequence token.

        Raises:
            IntegrityError: it is not a valid template.
        """
        try:
            self._template = _sandbox().from_string(source or _FALLBACK_TEMPLATE)
        except Exception as error:  # whatever a template of unknown origin does to the compiler
            raise IntegrityError(
                f"the model's chat template is broken ({_reason(error)}); use another GGUF of this model"
            ) from error
        self.is_fallback = not source
        self._special = dict(special_tokens)
        self._pattern = _any_of(special_tokens)
        markup = {name: token for name, token in special_tokens.items() if len(name.strip()) > 1}
        self._markup_ids = frozenset(markup.values())
        self._markup_starts = _any_of(markup, is_lookahead=True)
        self._context = {"bos_token": bos, "eos_token": eos, "add_generation_prompt": True, "tools": None}

    def encode(self, prompt: Prompt, tokenize: Callable[[str], Sequence[int]]) -> list[int]:
        """Token ids of a prompt, ready for the assistant's turn.

        Args:
            prompt: what to ask.
            tokenize: plain text to ids, control tokens kept as text.

        Raises:
            IntegrityError: the template fails or loses a turn.
        """
        ids: list[int] = []
        for piece in self._pieces(prompt):
            ids.extend([piece] if isinstance(piece, int) else self._encode_text(piece, tokenize))
        return ids

    def _encode_text(self, text: str, tokenize: Callable[[str], Sequence[int]]) -> Sequence[int]:
        """Ids of plain text; where the tokeniser found a control token in it after all, cut so that it finds none."""
        ids = tokenize(text)
        if self._markup_starts is None or self._markup_ids.isdisjoint(ids):
            return ids
        cuts = [0, *(match.start() + 1 for match in self._markup_starts.finditer(text)), len(text)]
        return [token for start, end in pairwise(cuts) for token in tokenize(text[start:end])]

    def _pieces(self, prompt: Prompt) -> list[str | int]:
        """Control-token ids and the plain text between them, in order."""
        said = turns(prompt)
        marks = [f"\ue000{secrets.token_hex(8)}\ue001" for _ in said]
        texts = {mark: turn["content"] for mark, turn in zip(marks, said, strict=True)}
        rendered = self._render([{**turn, "content": mark} for mark, turn in zip(marks, said, strict=True)])
        pieces: list[str | int] = [""]
        for text in _MARK.split(rendered):
            if text in texts:
                _append_text(pieces, texts[text])
            else:
                self._append_template_text(pieces, text)
        return [piece for piece in pieces if piece != ""]

    def _append_template_text(self, pieces: list[str | int], text: str) -> None:
        position = 0
        for match in self._pattern.finditer(text) if self._pattern else ():
            _append_text(pieces, text[position : match.start()])
            pieces.append(self._special[match.group()])
            position = match.end()
        _append_text(pieces, text[position:])

    def _render(self, said: Sequence[Turn]) -> str:
        """The template's text in the first way of saying it that the template takes and leaves no turn out of."""
        failures: list[str] = []
        for messages in _ways_to_say(said):
            try:
                rendered = self._template.render(messages=messages, **self._context)
            except Exception as error:  # a template is a program of unknown origin: it may raise anything
                failures.append(f"fails ({_reason(error)})")
                continue
            left_out = _left_out(said, rendered)
            if left_out is None:
                return rendered
            failures.append(f"leaves the {_NAMES[left_out]} out")
        raise IntegrityError(f"the model's chat template {failures[0]}; use another GGUF of this model")


def _ways_to_say(said: Sequence[Turn]) -> Iterator[Sequence[Turn]]:
    """The turns as they are; then fewer, longer ones, for templates that refuse a role or drop a turn silently."""
    yield said
    if said[0]["role"] == "system":
        yield [{"role": "user", "content": f"{said[0]['content']}\n\n{said[1]['content']}"}, *said[2:]]
    if any(turn["role"] == "assistant" for turn in said):
        yield [{"role": "user", "content": "\n\n".join(turn["content"] for turn in said)}]


def _left_out(said: Sequence[Turn], rendered: str) -> str | None:
    """The role of a turn that is not in the text, the problem before all others; None when each is there."""
    by_weight = sorted(said, key=lambda turn: turn["role"] != "user")
    return next((turn["role"] for turn in by_weight if turn["content"] not in rendered), None)


def _sandbox() -> "SandboxedEnvironment":
    """Jinja as transformers sets it up for chat templates, without what draws random text."""
    from jinja2 import nodes
    from jinja2.ext import Extension
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class GenerationTag(Extension):
        """`{% generation %}`: marks the assistant's text for training; here its body as it stands."""

        tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", GenerationTag]
    )
    del environment.globals["lipsum"]
    environment.globals.update(raise_exception=_raise_template_error, strftime_now=_no_clock)
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    return environment


def _any_of(names: Iterable[str], *, is_lookahead: bool = False) -> re.Pattern[str] | None:
    """Matches any of the names, the longest first; None when there are none."""
    alternatives = "|".join(re.escape(name) for name in sorted(filter(None, names), key=len, reverse=True))
    if not alternatives:
        return None
    return re.compile(f"(?={alternatives})" if is_lookahead else alternatives)


def _reason(error: Exception) -> str:
    """One short line for an error that a template caused."""
    text = " ".join((str(error) or type(error).__name__).split())
    return text if len(text) <= _MAX_REASON else text[:_MAX_REASON] + "..."


def _append_text(pieces: list[str | int], text: str) -> None:
    if not text:
        return
    last = pieces[-1]
    if isinstance(last, str):
        pieces[-1] = last + text
    else:
        pieces.append(text)


def _raise_template_error(message: str) -> Any:
    from jinja2 import TemplateError

    raise TemplateError(message)


def _no_clock(_format: str) -> str:
    """Templates that print today's date get a fixed one, so that a prompt is the same every day."""
    return "26 Jul 2024"

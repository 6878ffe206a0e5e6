"""Problem -> Prompt -> token ids: the chat template and what keeps it safe.

A chat template is a Jinja program that came with a model file, so it runs in Jinja's immutable sandbox, with nothing
of ours in reach (CVE-2024-34359 was a template run outside one). The problem is text from anywhere, so a control
token written in it must stay text: the template is rendered with a placeholder, control tokens are looked for in the
template's own text only, and what lies between two of them, the problem included, is tokenised as plain text in one
piece (in one piece, because tokenisers merge across the seam: "?\n\n" is one pre-token in several vocabularies).
"""

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgesearch.errors import IntegrityError, UsageError
from edgesearch.types import Problem, Prompt

_FALLBACK_TEMPLATE = "{% for m in messages %}{{ m['content'] }}\n\n{% endfor %}"


def make_prompt(problem: Problem, *, system: str = "", step_delimiter: str = "\n\n") -> Prompt:
    """The prompt of a problem.

    Raises:
        UsageError: the problem is blank.
    """
    if not problem.text.strip():
        raise UsageError("the problem is empty; give a text, - for standard input or @file")
    return Prompt(user=problem.text.strip(), system=system, step_delimiter=step_delimiter)


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
        from jinja2 import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals.update(raise_exception=_raise_template_error, strftime_now=_no_clock)
        environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
        try:
            self._template = environment.from_string(source or _FALLBACK_TEMPLATE)
        except TemplateError as error:
            raise IntegrityError(f"the model's chat template is broken ({error}); use another GGUF of it") from error
        self.is_fallback = not source
        self._special = dict(special_tokens)
        names = sorted((name for name in special_tokens if name), key=len, reverse=True)
        self._pattern = re.compile("|".join(re.escape(name) for name in names)) if names else None
        self._context = {"bos_token": bos, "eos_token": eos, "add_generation_prompt": True, "tools": None}

    def encode(self, prompt: Prompt, tokenize: Callable[[str], Sequence[int]]) -> list[int]:
        """Token ids of a prompt, ready for the assistant's turn.

        Args:
            prompt: what to ask.
            tokenize: plain text to ids, control tokens kept as text.

        Raises:
            IntegrityError: the template fails or loses the problem.
        """
        ids: list[int] = []
        for piece in self._pieces(prompt):
            ids.extend([piece] if isinstance(piece, int) else tokenize(piece))
        return ids

    def _pieces(self, prompt: Prompt) -> list[str | int]:
        """Control-token ids and the plain text between them, in order."""
        marks = {f"\ue000{secrets.token_hex(8)}\ue001": text for text in (prompt.system, prompt.user) if text}
        by_text = {text: mark for mark, text in marks.items()}
        rendered = self._render(by_text.get(prompt.system, ""), by_text[prompt.user])
        if by_text[prompt.user] not in rendered:
            raise IntegrityError("the model's chat template leaves the problem out; use another GGUF of this model")
        own_text = re.split("(" + "|".join(map(re.escape, marks)) + ")", rendered)
        pieces: list[str | int] = [""]
        for text in own_text:
            if text in marks:
                _append_text(pieces, marks[text])
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

    def _render(self, system: str, user: str) -> str:
        from jinja2 import TemplateError

        turns = [{"role": "system", "content": system}] if system else []
        try:
            return self._template.render(messages=[*turns, {"role": "user", "content": user}], **self._context)
        except (TemplateError, TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            first_error = error
        try:  # templates without a system role refuse one: put its text before the problem
            merged = f"{system}\n\n{user}" if system else user
            return self._template.render(messages=[{"role": "user", "content": merged}], **self._context)
        except (TemplateError, TypeError, ValueError, KeyError, AttributeError, OverflowError):
            raise IntegrityError(
                f"the model's chat template fails ({first_error}); use another GGUF of this model"
            ) from first_error


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

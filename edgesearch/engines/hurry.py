r"""What is written for a draft that must state its answer now.

Near a deadline a solution that states no answer is worth nothing, so drafts under way are given the beginning of their
answer line (the closing, such as `\n\nThe answer is \boxed{`) and a few tokens to end it. A draft that has begun that
line by itself is not disturbed: only what is missing of the line is written, or nothing.

Not covered: when to hurry, and which drafts (driver.py).

Source: Muennighoff et al., arXiv 2501.19393 (section 3), whose budget forcing writes it at a token limit.
"""

from dataclasses import dataclass

_FIRST_WORDS = 2
"""Words of the closing by which a step is taken to state the answer in a way of its own; one alone says too little."""


@dataclass(frozen=True, slots=True)
class Hurry:
    """That a draft is to state its answer."""

    closing: str
    """The beginning of its answer line, with the step delimiter that ends the step before it."""
    max_tokens: int
    """Tokens it may still draw, the closing among them; >= 1."""

    def __post_init__(self) -> None:
        if not self.closing.strip():
            raise ValueError("closing must not be blank")
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be >= 1, not {self.max_tokens}")

    def rest(self, text: str, delimiter: str) -> str:
        """What is to be written now; empty where the answer is being stated already.

        Args:
            text: of the step under way, so far.
            delimiter: ends a step. It is not written where the step is still empty, or an empty step would arise.
        """
        begun, line = text.lstrip(), self.closing.removeprefix(delimiter)
        if line.startswith(begun):
            return line[len(begun) :]
        return "" if self._is_stated(begun, line.split()) else self.closing

    def _is_stated(self, begun: str, words: list[str]) -> bool:
        is_opened = bool(self._opening) and self._opening in begun
        return is_opened or begun.startswith(" ".join(words[:_FIRST_WORDS]))

    @property
    def _opening(self) -> str:
        r"""What opens the answer's brace, such as `\boxed{`; empty where the closing opens none."""
        last = self.closing.split()[-1]
        return last if last.endswith("{") else ""

    def is_complete(self, text: str) -> bool:
        """Whether the brace that the closing opens is closed in a step's text."""
        _, opening, answer = text.rpartition(self._opening or text)
        return bool(self._opening and opening) and answer.count("}") > answer.count("{")

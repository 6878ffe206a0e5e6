"""What a process reward model is shown: a step without its delimiter, and what a chat puts between turns.

Shared by those that make token lists of it: from a GGUF (prm_text.py) and for an ONNX file (export/layouts.py).
"""

import re
from collections.abc import Sequence

from edgesearch.prompt import ASK_AGAIN
from edgesearch.types import Prompt, Step

Piece = str | int
"""Plain text, or the id of a control token."""

USER = "\ue000user\ue001"
"""Stands for what the user says."""
_ANSWERS = ("\ue000first\ue001", "\ue000second\ue001")


def own_text(step: Step, delimiter: str) -> str:
    """A step's text without its delimiter and the blanks around it; empty where it holds nothing else."""
    text, mark = step.text.strip(), delimiter.strip()
    while mark and text.endswith(mark):
        text = text.removesuffix(mark).rstrip()
    return text


def three_turns(system: str) -> Prompt:
    """The chat whose rendering `turn_parts` takes apart."""
    return Prompt(USER, system, attempts=_ANSWERS)


def turn_parts(pieces: Sequence[Piece]) -> tuple[list[Piece], list[Piece], list[Piece]] | None:
    """What stands before the first turn, before an answer, and between an answer and the next turn.

    Args:
        pieces: `three_turns`, rendered.

    Returns:
        None where the turns do not look alike, or no control tokens stand between them.
    """
    parts = _split(pieces, (USER, *_ANSWERS, ASK_AGAIN))
    is_regular = len(parts) == 6 and parts[1] == parts[3] == parts[5] and parts[2] == parts[4]
    if not is_regular or not all(any(isinstance(piece, int) for piece in part) for part in parts[1:3]):
        return None
    return parts[0], parts[1], parts[2]


def _split(pieces: Sequence[Piece], marks: Sequence[str]) -> list[list[Piece]]:
    """The pieces between marks."""
    pattern = re.compile("(" + "|".join(map(re.escape, marks)) + ")")
    parts: list[list[Piece]] = [[]]
    for piece in pieces:
        for bit in pattern.split(piece) if isinstance(piece, str) else [piece]:
            if bit in marks:
                parts.append([])
            elif bit != "":
                parts[-1].append(bit)
    return parts

"""What a checker says of a solution, read from how it ended and what it wrote.

With its exit status, and if it has more to say with one JSON object on stdout and nothing else there:

    {"score": 0.8, "step_scores": [1, 0.9, 0.8], "reason": "for whoever reads it"}

`score` is the solution's, in [0, 1]. `step_scores`, one for each step, may be left out, and so may `score` where they
are given: it is the last of them then. Other keys are not read. The exit status must be 0 or 1. Without JSON, 0 is a
score of 1; 1 is a score of 0 if stderr is empty, too: interpreters that crash also exit with 1, and a crash is no
verdict. All else is a failure that says what happened, never a score of 0 in silence.

Not covered: running the checker, and what follows from a failure (command.py).
"""

import json
from dataclasses import dataclass
from typing import Any

from edgesearch.sandbox.base import Completed
from edgesearch.verifiers.fallback import NoVerdict

_MAX_WORDS = 200


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a program says of a solution."""

    score: float
    """In [0, 1]."""
    step_scores: tuple[float, ...] = ()
    """In [0, 1], one a step; empty where it gives none."""

    def of_steps(self, num_steps: int) -> tuple[float, ...]:
        """A score for each step; the last is the solution's."""
        before = self.step_scores[:-1] or (self.score,) * (num_steps - 1)
        return (*before, self.score)


def read_verdict(done: Completed, num_steps: int) -> Verdict:
    """What a program that has ended says of a solution of so many steps.

    Raises:
        NoVerdict: nothing that can be used.
    """
    if done.exit_code not in (0, 1):  # None after a limit
        raise NoVerdict(_with_words(done.ending, done.stderr))
    if done.stdout.strip():
        return _parsed(done.stdout, num_steps)
    if done.exit_code == 0:
        return Verdict(1.0)
    if done.stderr.strip():
        raise NoVerdict(_with_words("exit status 1 with no JSON but a message, as of a crash", done.stderr))
    return Verdict(0.0)


def _parsed(stdout: bytes, num_steps: int) -> Verdict:
    try:
        found = json.loads(stdout, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise NoVerdict(f"stdout is not one JSON object ({error})") from None
    if not isinstance(found, dict):
        raise NoVerdict("stdout is not one JSON object, but another JSON value")
    listed = found.get("step_scores")
    if listed is not None and not (isinstance(listed, list) and len(listed) == num_steps):
        raise NoVerdict(f"step_scores must be a list of {num_steps} scores, one for each step")
    step_scores = tuple(_score("step_scores", value) for value in listed or ())
    if "score" not in found and not step_scores:
        raise NoVerdict("the JSON object on stdout has no score")
    return Verdict(_score("score", found["score"]) if "score" in found else step_scores[-1], step_scores)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no score")


def _score(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise NoVerdict(f"{name} must be in [0, 1], not {str(value)[:40]}")
    return float(value)


def _with_words(ending: str, stderr: bytes) -> str:
    words = last_line(stderr)
    return f"{ending}; its last line: {words}" if words else ending


def last_line(stderr: bytes) -> str:
    """Without what a terminal would obey: a model's text may have been repeated in it."""
    lines = stderr.decode("utf-8", "replace").strip().splitlines() or [""]
    return "".join(char for char in lines[-1] if char.isprintable())[:_MAX_WORDS]

"""Exact checks: for some problems the text alone tells whether an answer is right, and no weights are needed.

A check is a function of the problem's text and an answer; it never sees a reference answer. What it says is a proof,
not a score: a score is a verifier's opinion of a step, a proof is about the answer and stands above every score and
vote (choice.py). It depends on the problem, not on the verifier, so it serves strategies that judge nothing, too. A
solver's manifest names the check of the problems that the solver is for.

Not covered: when to check and what follows from it (driver.py, choice.py).
"""

from collections.abc import Callable

from edgesearch.errors import UsageError

Check = Callable[[str, str], bool | None]
"""Whether an answer to a problem's text is right; None where it cannot tell. Takes about a millisecond at most."""


def _arithmetic() -> Check:
    from edgesearch.tasks.arithmetic import check

    return check


CHECKS: dict[str, Callable[[], Check]] = {"arithmetic": _arithmetic}


def check(name: str) -> Check:
    """The check of that name.

    Raises:
        UsageError: there is none; lists those there are.
    """
    if name not in CHECKS:
        raise UsageError(f"unknown check {name!r}; known are {', '.join(CHECKS)}")
    return CHECKS[name]()


def prove(exact: Check, problem: str, answer: str) -> bool | None:
    """What a check says; None as well where it fails, since a model may have written anything as its answer."""
    try:
        return exact(problem, answer)
    except Exception:  # no text that a model wrote may end the search for a better one
        return None

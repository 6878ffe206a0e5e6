"""What follows where a verifier comes to no verdict on a solution: an error, or the score that the user named for that.

A score of 0 in silence would call a solution wrong because a checker is broken. So a failure stops the search and says
how it came about, unless a fallback score was named; then each use of it is counted and told in a warning.

Not covered: verifiers of steps, whose failures are errors.
"""

from edgesearch.errors import EdgesearchError, UsageError


class NoVerdict(EdgesearchError):
    """A verifier has no verdict on a solution; says why."""


class Fallback:
    """The score of solutions without a verdict, where there is one."""

    def __init__(self, score: float | None) -> None:
        """Takes the score in [0, 1]; None makes every failure an error.

        Raises:
            UsageError: it is out of range.
        """
        if score is not None and not 0 <= score <= 1:
            raise UsageError(f"on_failure must be a score in [0, 1], not {score}")
        self._score = score
        self._num_used = 0
        self._first = ""

    def score(self, verifier: str, failure: EdgesearchError) -> float:
        """The score of a solution on which a verifier failed like this.

        Raises:
            EdgesearchError: of the failure's class, if there is no fallback.
        """
        if self._score is None:
            raise type(failure)(
                f"verifier {verifier} has no verdict on a solution: {failure}; correct it, use another, or name the "
                "score that such solutions get (on_failure; on the command line as in command@0.5:...)"
            ) from failure
        self._num_used += 1
        self._first = self._first or str(failure)
        return self._score

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence, if it was used."""
        if not self._num_used:
            return ()
        solutions = "1 solution" if self._num_used == 1 else f"{self._num_used} solutions"
        return (f"{solutions} so far got the fallback score {self._score} for want of a verdict: {self._first}",)

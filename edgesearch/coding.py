"""What a solve does otherwise where the answer is a program.

Programs are chosen by their scores and not by votes, so nothing that a vote says can end the search; a program that
passes all visible tests does. Solutions are not made to state a final answer near the deadline, exact checks and
policies (both are of final answers) do not apply, and the system prompt for models that nothing is known of, which asks
for a final answer, is left out.

Not covered: what a program is and how it is read (program.py), running it (verifiers/unit_tests.py).
"""

from edgesearch.catalog import GENERIC_SYSTEM_PROMPT, SolverSpec
from edgesearch.errors import UsageError
from edgesearch.jobs import JobResult
from edgesearch.search.base import Strategy
from edgesearch.types import Candidate, Problem, Prompt, VisibleTests
from edgesearch.verifiers.base import Verifier

NOT_TRIED = "there was no time to try the program on its visible tests"
NO_TESTS = "this problem shows no tests, so the program was not tried"


def system_prompt(spec: SolverSpec, problem: Problem) -> str:
    """The system turn for this problem; empty for none."""
    is_of_final_answers = spec.system_prompt == GENERIC_SYSTEM_PROMPT
    return "" if problem.code is not None and is_of_final_answers else spec.system_prompt


def scorer(verifier: Verifier | None, prompt: Prompt) -> Verifier | None:
    """The verifier, if it can score solutions of this problem.

    Raises:
        UsageError: it runs programs, and the problem asks for none.
    """
    if verifier is None or not (verifier.info.reads_tests or _runs_tests(verifier)):
        return verifier
    if prompt.code is None:
        raise UsageError(
            f"verifier {verifier.info.name} runs programs, and this problem asks for none: give it as a code problem "
            "(--task code, or Problem(code=...)), or use another verifier"
        )
    return verifier if prompt.code.tests or not _runs_tests(verifier) else None


def is_tested(verifier: Verifier | None, prompt: Prompt, strategy: Strategy) -> bool:
    """Whether all solutions are programs that are tried on visible tests, whatever the strategy.

    Not where all samples are wanted: those are graded, and nothing is chosen among them.
    """
    found = scorer(verifier, prompt)
    return found is not None and _runs_tests(found) and not strategy.keeps_all


def visible_tests(verifier: Verifier | None, result: JobResult, chosen: Candidate | None) -> VisibleTests | None:
    """How the chosen program did in the visible tests, by its score; None where it was not tried."""
    if verifier is None or not result.num_tests or chosen is None or chosen.answer is None or chosen.score is None:
        return None
    num_passed = round(chosen.score * result.num_tests)
    return VisibleTests(result.num_tests, num_passed, verifier.info.sandbox)


def _runs_tests(verifier: Verifier) -> bool:
    """Whether its scores are shares of the visible tests that are passed."""
    return verifier.info.enough is not None

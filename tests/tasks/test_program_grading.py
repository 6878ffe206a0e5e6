"""Programs are graded by hidden tests: each different one once, all of a sample side by side."""

from collections.abc import Iterable, Iterator

import pytest

from edgesearch.errors import UsageError
from edgesearch.sandbox import trial
from edgesearch.sandbox.base import SandboxInfo
from edgesearch.sandbox.trial import Trial, TrialResult
from edgesearch.tasks import grading
from edgesearch.tasks.base import Sample, make_sample
from edgesearch.tasks.grading import PYTHON
from edgesearch.tasks.program_grading import FaultyTests, ProgramGrader, trials_of
from edgesearch.types import CodeSpec


class Pool:
    """Passes what holds RIGHT; the tests are at fault where it holds FAULT."""

    info = SandboxInfo("fake", True, "none")

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def run_all(self, trials: Iterable[Trial], *, until_s: float = float("inf")) -> Iterator[TrialResult]:
        self.batches.append([])
        for each in trials:
            self.batches[-1].append(each.program)
            if "FAULT" in each.program:
                yield TrialResult((trial.Tested("error", "it cannot be read"),), 1)
            else:
                yield TrialResult((trial.Tested("passed" if "RIGHT" in each.program else "failed"),), 1)

    def close(self) -> None:
        pass


def sample(name: str = "p0") -> Sample:
    return make_sample(name, "Write f.", "assert f(1) == 2", code=CodeSpec(("f",), "import math\n\n\ndef f(x):\n"))


def test_programs_are_tried_together_and_none_of_them_twice():
    pool = Pool()
    grader = ProgramGrader(pool)
    assert grader.verdicts(sample(), {"a": "RIGHT", "b": "no"}) == {"a": True, "b": False}
    assert grader.verdicts(sample(), {"b": "no", "c": "RIGHT too"}) == {"b": False, "c": True}
    assert grader.verdicts(sample("p1"), {"a": "RIGHT"}) == {"a": True}
    assert pool.batches == [["RIGHT", "no"], ["RIGHT too"], ["RIGHT"]]
    assert grader.num_tried == 4


def test_tests_at_fault_are_told_for_every_program_and_not_run_again():
    pool = Pool()
    grader = ProgramGrader(pool)
    for programs in ({"a": "FAULT", "b": "RIGHT"}, {"c": "RIGHT"}):
        with pytest.raises(FaultyTests, match="it cannot be read"):
            grader.verdicts(sample(), programs)
    assert pool.batches == [["FAULT"]]


def test_a_trial_has_the_hidden_tests_and_what_the_problem_shows_as_setup():
    (trial,) = trials_of(sample(), ["def f(x): ..."])
    assert (trial.program, trial.functions, trial.tests) == ("def f(x): ...", ("f",), ("assert f(1) == 2",))
    assert trial.setup == "import math\n\n\ndef f(x):\n    pass\n"


def test_a_sample_that_asks_for_no_program_cannot_be_tried():
    with pytest.raises(ValueError, match="says nothing of what its program must define"):
        ProgramGrader(Pool()).verdicts(make_sample("p0", "What is 1 + 1?", "2"), {"a": "2"})


def test_the_graders_of_answers_do_not_have_it_and_say_who_does():
    with pytest.raises(UsageError, match="only `edgesearch bench run` does"):
        grading.grader(PYTHON)

"""Grades programs by the hidden tests of their samples, in a sandbox, each different program of a sample once.

A sample's target is Python source that raises where a program is wrong; what of it fails for whatever program (it
cannot be read, it raises before it calls anything) is told as the sample's fault, once, and no program is blamed.

The grader's name is `python-1`. Not covered: what a trial is (sandbox/trial.py), how tests are written (the task's
file), visible tests, which choose and never grade (verifiers/unit_tests.py).
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping

from edgesearch.sandbox.trial import Trial, setup_of
from edgesearch.tasks.base import Sample
from edgesearch.verifiers.trials import Pool

MAX_REMEMBERED = 200_000

OpenPool = Callable[[], Pool]
"""Finds a sandbox, or raises `SandboxUnavailable`; whoever calls it closes what it returns."""


class ProgramGrader:
    """Grades programs. From one thread at a time."""

    def __init__(self, pool: Pool) -> None:
        """Starts nothing yet.

        Args:
            pool: runs the programs; stays its owner's.
        """
        self._pool = pool
        self._faults: dict[str, str] = {}
        """By sample: why its tests are at fault."""
        self._verdicts: OrderedDict[tuple[str, str], bool] = OrderedDict()
        self.num_tried = 0
        """Programs that were run."""

    def verdicts(self, sample: Sample, programs: Mapping[str, str]) -> dict[str, bool]:
        """Whether each program passes the hidden tests of its sample; those not tried before run side by side.

        Args:
            sample: whose problem asks for a program.
            programs: by a key that is equal for equal programs.

        Returns:
            By the same keys.

        Raises:
            FaultyTests: it cannot be told, for no program.
            SandboxUnavailable: no program can be run any more.
        """
        if sample.id not in self._faults:
            new = {key: text for key, text in programs.items() if (sample.id, key) not in self._verdicts}
            self._try_all(sample, new)
        if sample.id in self._faults:
            raise FaultyTests(self._faults[sample.id])
        found = {key: self._verdicts[sample.id, key] for key in programs}
        while len(self._verdicts) > MAX_REMEMBERED:
            self._verdicts.popitem(last=False)
        return found

    def _try_all(self, sample: Sample, programs: Mapping[str, str]) -> None:
        for key, result in zip(programs, self._pool.run_all(trials_of(sample, programs.values())), strict=False):
            self.num_tried += 1
            self._verdicts[sample.id, key] = result.is_passed
            if result.error:
                self._faults[sample.id] = result.error
                return


class FaultyTests(Exception):
    """The hidden tests of a sample are at fault; says how."""


def trials_of(sample: Sample, programs: Iterable[str]) -> Iterator[Trial]:
    """Programs against the hidden tests of a sample.

    Raises:
        ValueError: the sample's problem does not ask for a program.
    """
    code = sample.problem.code
    if code is None:
        raise ValueError(f"sample {sample.id!r} says nothing of what its program must define")
    setup = setup_of(code.prefix)
    for program in programs:
        yield Trial(program, code.functions, (sample.target,), setup)

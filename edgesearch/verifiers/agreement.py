"""Dual execution agreement as a verifier: for programs whose problem shows no tests, so that the solver writes some.

Every program is tried on every test that the solver wrote. Programs that pass exactly the same tests form a consensus
set. A set scores high where many programs are in it and they pass many tests: a wrong test is passed by few, a wrong
program passes few, and both seldom go wrong in the same way. The score of each program is that of its set:

    sqrt(number of its programs) * number of the tests that it passes

divided by the most that there could be, so that it lies in [0, 1]. Samples are counted, not texts: a program that was
drawn three times counts three, and so does a test. The equation of the paper has no square root; its released code has,
and the square root is what its results are of. A set that passes no test scores 0.

A score is fixed by all programs and tests of the problem. So nothing is scored before the search has drawn them
(`VerifierInfo.is_collective`), and the search must draw tests, as the strategy `codet` does.

Cost: a trial for each different program and each 50 different tests, several at once; no pair runs twice. A program
that never ends in one test fails that test; once it has used `MAX_CPU_S` in all, it fails those that are left.

Not covered: reading tests out of texts (written_tests.py), problems with visible tests (unit_tests.py is the better
choice there). Agreement is no proof: programs and tests of one model share its misreadings of a problem.

Source: CodeT, Chen et al., arXiv 2207.10397, section 2; github.com/microsoft/CodeT.
"""

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from edgesearch import answer
from edgesearch.budget import Clock
from edgesearch.errors import UsageError
from edgesearch.sandbox.trial import TrialResult
from edgesearch.types import Beam, CodeSpec, Prompt
from edgesearch.verifiers import written_tests
from edgesearch.verifiers.base import Judged, VerifierInfo
from edgesearch.verifiers.trials import Pool, ProgramVerifier, cautions, every_test, give_up_at

CHUNK_TESTS = 50
"""Of one trial, which has one limit of processor time."""
MAX_CPU_S = 5.0
"""Processor time of all trials of a program, after which no more of them are begun."""
MAX_TESTS = 500
"""Different ones of a problem, the first."""


def rank(
    rows: Sequence[Sequence[bool]], counts: Sequence[int] | None = None, weights: Sequence[int] | None = None
) -> list[float]:
    """The score of each program by what all of them pass.

    Args:
        rows: of each program, whether it passes each test.  # (num_programs, num_tests)
        counts: how often each program was drawn, >= 0; None for once each.
        weights: how often each test was written, >= 0; None for once each.

    Returns:
        One score in [0, 1] a program; 1 where all programs pass all tests.

    Raises:
        ValueError: the sizes do not fit, or a number is negative.
    """
    counts = [1] * len(rows) if counts is None else counts
    weights = [1] * (len(rows[0]) if rows else 0) if weights is None else weights
    _check("counts", counts, len(rows))
    for row in rows:
        _check("weights", weights, len(row))
    sets: Counter[tuple[bool, ...]] = Counter()
    for row, count in zip(rows, counts, strict=True):
        sets[tuple(row)] += count
    most = math.sqrt(sum(counts)) * sum(weights)
    scores = {row: math.sqrt(size) * _weight(row, weights) for row, size in sets.items()}
    return [min(1.0, scores[tuple(row)] / most) if most else 0.0 for row in rows]


def _check(name: str, numbers: Sequence[int], expected: int) -> None:
    if len(numbers) != expected:
        raise ValueError(f"{name} has {len(numbers)} numbers, and {expected} are needed")
    if any(number < 0 for number in numbers):
        raise ValueError(f"{name} must be >= 0, not {min(numbers)}")


def _weight(row: Sequence[bool], weights: Sequence[int]) -> int:
    return sum(weight for is_passed, weight in zip(row, weights, strict=True) if is_passed)


class OutOfTime(Exception):
    """Programs could not be tried on all tests in the time given."""


class Table:
    """Which programs of one problem pass which tests. No pair of them is run twice."""

    def __init__(self, code: CodeSpec, pool: Pool) -> None:
        """Makes an empty one; the pool stays its owner's."""
        self._code, self._pool = code, pool
        self._passed: dict[str, dict[str, bool]] = {}
        """By a program's canonical form, then by test."""

    def scores(self, programs: Sequence[str | None], tests: Sequence[str], until_s: float = math.inf) -> list[float]:
        """The agreement of programs on tests.

        Args:
            programs: one a sample, so copies are given as often as they were drawn; None where a sample has none.
            tests: as often as they were written. Of different ones the first `MAX_TESTS` count.
            until_s: when to give up, by `time.monotonic`.

        Returns:
            One score in [0, 1] a sample; 0 where it has no program.

        Raises:
            OutOfTime: it was given up.
        """
        keys = [None if program is None else answer.canonical(program) for program in programs]
        drawn = Counter(key for key in keys if key is not None)
        written = dict(list(Counter(tests).items())[:MAX_TESTS])
        sources = {key: program for key, program in zip(keys, programs, strict=True) if key and program}
        self._run(sources, list(written), until_s)
        rows = [[self._passed[key][test] for test in written] for key in drawn]
        found = dict(zip(drawn, rank(rows, list(drawn.values()), list(written.values())), strict=True))
        return [0.0 if key is None else found[key] for key in keys]

    def passed(self, programs: Sequence[str], tests: Sequence[str]) -> list[list[bool]]:
        """Whether each program passes each test; the tests must differ."""  # (num_programs, num_tests)
        sources = {answer.canonical(program): program for program in programs}
        self._run(sources, tests)
        return [[self._passed[answer.canonical(program)][test] for test in tests] for program in programs]

    def _run(self, sources: dict[str, str], tests: Sequence[str], until_s: float = math.inf) -> None:
        """Tries what was not tried yet, a chunk of each program at a time."""
        missing: dict[str, list[str]] = {}
        for key in sources:
            known = self._passed.setdefault(key, {})
            missing[key] = [test for test in tests if test not in known]
        spent_s = dict.fromkeys(missing, 0.0)
        while chunks := {key: rest[:CHUNK_TESTS] for key, rest in missing.items() if rest}:
            trials = (every_test(self._code, sources[key], chunk) for key, chunk in chunks.items())
            for (key, chunk), result in zip(chunks.items(), self._pool.run_all(trials, until_s=until_s), strict=True):
                if result.is_cut:
                    raise OutOfTime
                self._book(key, chunk, result)
                missing[key] = missing[key][CHUNK_TESTS:]
                spent_s[key] += result.cpu_s
                if spent_s[key] >= MAX_CPU_S:
                    self._passed[key].update(dict.fromkeys(missing.pop(key), False))

    def _book(self, key: str, chunk: Sequence[str], result: TrialResult) -> None:
        passed = [each.status == "passed" for each in result.tested]
        passed += [False] * (len(chunk) - len(passed))  # where the program cannot even start
        self._passed[key].update(zip(chunk, passed, strict=True))


@dataclass(frozen=True, slots=True)
class _Problem:
    """A problem that is open, and what the solver drew for it so far."""

    code: CodeSpec
    table: Table
    programs: dict[int, str | None] = field(default_factory=dict)
    """By the node of a beam; None for one that states none."""
    tests: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """By the node of a beam."""

    def take(self, beam: Beam) -> None:
        """Reads a beam: tests, or a program."""
        if beam.prompt.asks_tests:
            self.tests[beam.node] = written_tests.read(beam.text, self.code.functions[0])
        else:
            self.programs[beam.node] = answer.stated(beam.prompt, beam.text)

    @property
    def is_tested(self) -> bool:
        """Whether any test can be used."""
        return any(self.tests.values())

    def scores(self, until_s: float) -> dict[int, float]:
        """Of every beam by its node. One of tests scores the share that it holds of the tests that are taken of it."""
        written = [test for tests in self.tests.values() for test in tests]
        scores = self.table.scores(list(self.programs.values()), written, until_s)
        usable = {node: len(tests) / written_tests.MAX_TESTS for node, tests in self.tests.items()}
        return usable | dict(zip(self.programs, scores, strict=True))


class AgreementVerifier(ProgramVerifier[_Problem]):
    """Implements `Verifier` with the tests that the solver wrote itself."""

    def __init__(self, pool: Pool | None = None, *, sandbox: str = "auto", clock: Clock = time.perf_counter) -> None:
        """As `ProgramVerifier`, which says what the arguments are and what may fail."""
        info = VerifierInfo(
            "agreement",
            num_params=0,
            device="cpu",
            is_outcome=True,
            counts_copies=True,
            is_collective=True,
            reads_tests=True,
        )
        super().__init__(info, pool, sandbox, clock)
        self._num_untested = 0

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know: a sandbox that does not isolate, and problems for which no test was written."""
        if not self._num_untested:
            return cautions(self._pool)
        problems = "1 problem" if self._num_untested == 1 else f"{self._num_untested} problems"
        untested = f"the solver wrote no usable test for {problems} so far: all programs score 0 there"
        return (*cautions(self._pool), untested)

    def open(self, prompt: Prompt, token_ids: Sequence[int]) -> int:
        """Begins to gather a problem's programs and tests; reads no tokens.

        Raises:
            UsageError: what the problem asks for is no program.
        """
        del token_ids
        if prompt.code is None:
            raise UsageError("verifier agreement needs a problem that asks for a program: use --task code, or another")
        if prompt.id not in self._problems:
            self._problems[prompt.id] = _Problem(prompt.code, Table(prompt.code, self._pool))
        return 0

    def judge(self, beams: Sequence[Beam]) -> list[Judged]:
        """Scores the steps that have no score yet; see `Verifier.judge`.

        All programs and tests of a problem that were seen so far count, those of this call among them.

        Raises:
            ValueError: a beam's prompt is not open.
            SandboxUnavailable: no worker can be started any more.
        """
        return self.judge_within(beams, math.inf)

    def judge_within(self, beams: Sequence[Beam], seconds: float) -> list[Judged]:
        """The same, but nothing gets a score where programs are still being tried after so many seconds."""
        until_s = give_up_at(seconds)
        unjudged = [beam for beam in beams if not beam.is_judged]
        if not unjudged:
            return [Judged(beam, 0) for beam in beams]
        started = self._clock()
        problems = {_problem_id(beam): self._opened(_problem_id(beam)) for beam in unjudged}
        for beam in unjudged:
            self._opened(_problem_id(beam)).take(beam)
        try:
            scores = {node: score for each in problems.values() for node, score in each.scores(until_s).items()}
        except OutOfTime:
            return [Judged(beam, 0) for beam in beams]
        self._num_untested += sum(bool(problem.programs) and not problem.is_tested for problem in problems.values())
        self._pace.measure(self._clock() - started, unjudged)
        return [Judged(beam, 0) if beam.is_judged else _judged(beam, scores[beam.node]) for beam in beams]


def _problem_id(beam: Beam) -> int:
    """The id of the problem's own prompt, also of a beam that holds tests."""
    prompt = beam.prompt
    return prompt.base if prompt.asks_tests and prompt.base is not None else prompt.id


def _judged(beam: Beam, score: float) -> Judged:
    """The beam with a score for each step that has none."""
    return Judged(beam.judged((score,) * (len(beam.steps) - len(beam.scores))), beam.num_unjudged_tokens)

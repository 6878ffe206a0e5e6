"""CodeT: programs beside tests of the same solver, driven by hand and by the driver with programs that are run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgesearch import search
from edgesearch.budget import Budget, ManualClock
from edgesearch.choice import choose
from edgesearch.driver import Driver
from edgesearch.engines.scripted import ScriptedEngine
from edgesearch.errors import ContextOverflow, UsageError
from edgesearch.jobs import Job, JobResult
from edgesearch.search.base import Expand, Judge, SearchConfig
from edgesearch.search.codet import CodetOptions, codet
from edgesearch.types import Beam, CodeSpec, Prompt, Sampling, Step
from edgesearch.verifiers.agreement import AgreementVerifier
from edgesearch.verifiers.scripted import ScriptedVerifier

sys.path.append(str(Path(__file__).parents[1] / "verifiers"))
from fake_pools import FakePool

PREFIX = 'def add(a, b):\n    """The sum of both."""\n'
CODE = CodeSpec(("add",), PREFIX)
ROOT = Beam(Prompt("Write a function add(a, b).", "Be brief.", code=CODE))
RIGHT = "```python\ndef add(a, b):\n    return a + b\n```"
TIMES = "```python\ndef add(a, b):\n    return a * b\n```"
SUITE = "```python\nassert add(1, 2) == 3\nassert add(2, 3) == 5\n```"


def solution(root: Beam, text: str) -> Beam:
    return root.grown((Step(text, (1,), -1.0, "stop"),))


# -- the definition ----------------------------------------------------------------------------------------------------


def test_programs_and_tests_are_drawn_side_by_side_and_judged_together() -> None:
    found = codet(ROOT, SearchConfig(n=3), CodetOptions(num_tests=2))
    request = next(found)
    assert isinstance(request, Expand)
    assert request.is_to_end
    assert request.beams[:3] == [ROOT] * 3  # first, so that they draw what plain samples do
    asked = request.beams[3]
    assert request.beams[3:] == [asked] * 2
    drawn = [*(solution(ROOT, text) for text in "abc"), *(solution(asked, text) for text in "xy")]
    assert found.send(drawn) == Judge(drawn)
    with pytest.raises(StopIteration):
        found.send(drawn)


def asked_prompt(root: Beam) -> Prompt:
    request = next(codet(root, SearchConfig(n=1), CodetOptions(num_tests=1)))
    assert isinstance(request, Expand)
    return request.beams[1].prompt


def test_the_second_prompt_asks_for_tests_of_the_first_one_s_program() -> None:
    prompt = asked_prompt(ROOT)
    assert prompt.asks_tests
    assert prompt.base == ROOT.prompt.id != prompt.id
    assert (prompt.system, prompt.step_delimiter, prompt.code) == ("Be brief.", "\n\n", CODE)
    assert prompt.user.startswith(ROOT.prompt.user)
    assert prompt.user.endswith("assert add(...) == ...")


@pytest.mark.parametrize(
    ("prefix", "closed"),
    [
        (PREFIX, PREFIX + "    pass\n\n# check the correctness of add, one assert a line"),
        (
            "def add(a, b):\n\t'''Both.'''\n",
            "def add(a, b):\n\t'''Both.'''\n\tpass\n\n# check the correctness of add, one assert a line",
        ),
        ("def add(a, b):", "def add(a, b):\n    pass\n\n# check the correctness of add, one assert a line"),
    ],
)
def test_a_problem_that_is_the_beginning_of_a_program_is_gone_on_with(prefix: str, closed: str) -> None:
    root = Beam(Prompt(prefix.strip(), code=CodeSpec(("add",), prefix)))
    assert asked_prompt(root).user == closed
    compile(closed, "closed", "exec")


def test_a_problem_that_asks_for_no_program_is_refused() -> None:
    with pytest.raises(UsageError, match="strategy codet writes programs, and this problem asks for none"):
        next(codet(Beam(Prompt("2 + 2?")), SearchConfig(n=1), CodetOptions()))


@pytest.mark.parametrize("num_tests", [0, -1, 4097])
def test_a_number_of_tests_out_of_its_range_is_refused(num_tests: int) -> None:
    with pytest.raises(ValueError, match=rf"^num_tests must be in \[1, 4096\], not {num_tests}$"):
        CodetOptions(num_tests=num_tests)


# -- through the driver ------------------------------------------------------------------------------------------------


class World:
    """A driver over an engine that writes programs and tests, and a verifier that runs them."""

    def __init__(self, write: Callable[[Beam, int], str], *, max_context: int = 4096) -> None:
        self.clock = ManualClock()
        self.pool = FakePool()
        self.engine = ScriptedEngine(write, clock=self.clock, pass_s=0.01, max_context=max_context)
        self.verifier = AgreementVerifier(self.pool, clock=self.clock)
        self.driver = Driver(self.engine, self.verifier)

    def job(self, *, n: int = 8, num_tests: int = 4, budget_s: float = 100.0, root: Beam = ROOT) -> Job:
        return Job(
            prompt=Prompt(root.prompt.user, code=root.prompt.code),
            strategy=search.strategy("codet"),
            config=SearchConfig(n=n),
            options=CodetOptions(num_tests),
            sampling=Sampling(),
            deadline=Budget(budget_s).start(self.clock),
            max_tokens=200,
        )

    def run(self, *jobs: Job) -> list[JobResult]:
        numbers = [self.driver.submit(job) for job in jobs]
        results: dict[int, JobResult] = {}
        for _ in range(10_000):
            results |= dict(self.driver.turn())
            if len(results) == len(jobs):
                return [results[number] for number in numbers]
        raise AssertionError("the driver never came to an end")


def write(beam: Beam, seed: int) -> str:
    """Mostly wrong programs; the tests are right."""
    if beam.prompt.asks_tests:
        return SUITE
    return RIGHT if seed % 4 == 0 else TIMES


def test_the_program_wins_that_the_tests_agree_with() -> None:
    world = World(write)
    [result] = world.run(world.job(n=16))
    chosen = choose(result.candidates, result.job.selection).candidate
    assert chosen is not None
    assert "a + b" in chosen.beam.text
    assert {candidate.score == 0.0 for candidate in result.candidates if "a * b" in candidate.beam.text} == {True}
    assert world.engine.nodes == set()


def test_tests_are_no_candidates_and_copies_are_all_judged() -> None:
    world = World(write)
    [result] = world.run(world.job(n=8, num_tests=5))
    assert len(result.candidates) == 8
    assert {candidate.beam.prompt for candidate in result.candidates} == {result.job.prompt}
    assert all(candidate.score is not None for candidate in result.candidates)
    assert not any("assert" in candidate.beam.text for candidate in result.candidates)
    assert result.usage.verified_tokens == result.usage.decoded_tokens


def test_all_of_a_problem_is_judged_in_one_call() -> None:
    world = World(lambda beam, seed: write(beam, seed) + "\n" * (seed % 60))
    [result] = world.run(world.job(n=40))
    assert result.usage.verifier_calls == 1


def test_problems_side_by_side_do_not_judge_each_other_s_unfinished_searches() -> None:
    world = World(lambda beam, seed: write(beam, seed) + "\nso" * (100 if "long" in beam.prompt.user else 0))
    long = Beam(Prompt("A long one: write add.", code=CODE))
    first, second = world.run(world.job(), world.job(root=long))
    assert first.usage.verifier_calls == second.usage.verifier_calls == 1
    for result in (first, second):
        assert max(candidate.score or 0.0 for candidate in result.candidates) > 0


def test_at_the_deadline_what_was_drawn_is_judged_with_the_tests_that_were() -> None:
    """Some programs and some tests go on for ever; the rest is finished and judged all the same."""
    world = World(lambda beam, seed: write(beam, seed) + "\nso" * (1000 if seed % 2 else 0))
    job = world.job(n=16, num_tests=8, budget_s=0.5)
    [result] = world.run(job)
    assert result.is_cut
    assert world.clock.now_s <= 0.51
    assert result.candidates
    assert all("assert" not in candidate.beam.text for candidate in result.candidates)
    assert {candidate.score or 0 for candidate in result.candidates if "a + b" in candidate.beam.text} != {0}


def test_no_test_that_was_cut_off_is_shown_where_there_is_no_program() -> None:
    world = World(lambda beam, seed: SUITE if beam.prompt.asks_tests else "so " * 1000)
    [result] = world.run(world.job(budget_s=0.3))
    assert all("assert" not in candidate.beam.text for candidate in result.candidates)


def test_a_second_prompt_that_does_not_fit_leaves_programs_without_tests_and_a_warning() -> None:
    class Narrow(ScriptedEngine):
        def open(self, prompt: Prompt) -> tuple[int, ...]:
            if prompt.asks_tests:
                raise ContextOverflow("the problem needs 99 tokens of 10; shorten it")
            return super().open(prompt)

    world = World(write)
    world.engine = Narrow(write, clock=world.clock, pass_s=0.01)
    world.driver = Driver(world.engine, world.verifier)
    [result] = world.run(world.job())
    assert {candidate.score for candidate in result.candidates} == {0.0}
    assert any("did not fit" in warning for warning in result.warnings)
    assert any("no usable test" in warning for warning in world.verifier.warnings)


def test_the_programs_are_those_that_plain_sampling_draws() -> None:
    def texts(name: str) -> list[str]:
        world = World(lambda beam, seed: SUITE if beam.prompt.asks_tests else f"{RIGHT} {seed}")
        job = Job(
            prompt=Prompt("Write add.", code=CODE),
            strategy=search.strategy(name),
            config=SearchConfig(n=5),
            sampling=Sampling(),
            deadline=Budget(100.0).start(world.clock),
            max_tokens=200,
            seed=3,
        )
        return sorted(candidate.beam.text for candidate in world.run(job)[0].candidates)

    assert texts("codet") == texts("sample")


# -- which verifier ----------------------------------------------------------------------------------------------------


def test_a_verifier_that_reads_no_tests_is_refused() -> None:
    world = World(write)
    driver = Driver(world.engine, ScriptedVerifier(lambda beam, index: 0.5))
    with pytest.raises(UsageError, match="strategy codet has the solver write tests, and verifier scripted reads none"):
        driver.submit(world.job())


@pytest.mark.parametrize("name", ["best_of_n", "weighted", "beam"])
def test_a_strategy_that_draws_no_tests_is_refused_with_agreement(name: str) -> None:
    world = World(write)
    job = Job(
        prompt=Prompt("Write add.", code=CODE),
        strategy=search.strategy(name),
        config=SearchConfig(n=4),
        sampling=Sampling(),
        deadline=Budget(1.0).start(world.clock),
        max_tokens=200,
    )
    with pytest.raises(UsageError, match="verifier agreement needs tests that the solver writes; use --strategy codet"):
        world.driver.submit(job)

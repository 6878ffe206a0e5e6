r"""Budget forcing: ends of turn that are replaced, and answers that are asked for in time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edgesearch import answer, loading, search
from edgesearch.budget import Budget, ManualClock
from edgesearch.driver import Driver
from edgesearch.engines.scripted import ScriptedEngine
from edgesearch.jobs import Job
from edgesearch.pipeline import Pipeline
from edgesearch.search.base import Expand, SearchConfig
from edgesearch.search.budget_forcing import BudgetForcingOptions, budget_forcing, rounds
from edgesearch.types import Beam, Candidate, Forcing, Prompt, Sampling

ROOT = Beam(Prompt("2 + 2?"))

# -- the request -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 16])
def test_it_asks_for_n_whole_solutions_with_its_forcing_and_no_scores(n: int) -> None:
    options = BudgetForcingOptions(extensions=2, max_thinking_tokens=50, answer_tokens=20)
    search = budget_forcing(ROOT, SearchConfig(n=n), options)
    forcing = Forcing("\n\nWait", 2, "\n\nThe answer is \\boxed{", 20, 50)
    assert next(search) == Expand([ROOT] * n, is_to_end=True, forcing=forcing)
    with pytest.raises(StopIteration):
        search.send([ROOT] * n)


def test_both_texts_begin_a_step_of_their_own_whatever_the_delimiter() -> None:
    forcing = BudgetForcingOptions(extension="Hmm", closing="So:").forcing("\n")
    assert (forcing.extension, forcing.closing) == ("\nHmm", "\nSo:")


def test_without_extensions_and_closing_nothing_is_forced() -> None:
    forcing = BudgetForcingOptions(extensions=0, closing="").forcing("\n\n")
    assert forcing.num_extensions == 0
    assert not any(forcing.closes(drawn, 100) for drawn in range(101))


@pytest.mark.parametrize(("extensions", "expected"), [(0, 1.0), (1, 2.0), (3, 4.0)])
def test_an_extension_is_taken_to_last_as_long_as_a_solution(extensions: int, expected: float) -> None:
    assert rounds(SearchConfig(n=4), BudgetForcingOptions(extensions=extensions)) == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"extensions": -1}, r"^extensions must be in \[0, 64\], not -1$"),
        ({"extensions": 65}, r"^extensions must be in \[0, 64\], not 65$"),
        ({"extension": " "}, "^extension must not be blank where extensions is above 0$"),
        ({"max_thinking_tokens": -1}, "^max_thinking_tokens must be >= 0, not -1$"),
        ({"answer_tokens": 0}, "^answer_tokens must be >= 1, not 0$"),
        ({"max_thinking_tokens": 9, "closing": ""}, "^closing must not be blank where max_thinking_tokens is above 0$"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(values: dict[str, int | str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BudgetForcingOptions(**values)  # type: ignore[arg-type]


# -- through the driver ------------------------------------------------------------------------------------------------


def drawn(write: str, options: BudgetForcingOptions, *, n: int = 1, max_tokens: int = 100) -> tuple[Candidate, ...]:
    """What comes of a solver that writes this anew whenever it is made to go on."""
    clock = ManualClock()
    driver = Driver(ScriptedEngine(lambda beam, seed: write, clock=clock, pass_s=0.01), None)
    driver.submit(
        Job(
            prompt=Prompt("how many"),
            strategy=search.strategy("budget_forcing"),
            config=SearchConfig(n=n),
            options=options,
            sampling=Sampling(),
            deadline=Budget(100.0).start(clock),
            max_tokens=max_tokens,
        )
    )
    for _ in range(10_000):
        ended = driver.turn()
        if ended:
            return ended[0][1].candidates
    raise AssertionError("the driver never came to an end")


def test_the_end_of_turn_is_replaced_so_many_times_and_then_is_the_end() -> None:
    [candidate] = drawn(", 2 + 2 is 4", BudgetForcingOptions(extensions=2))
    assert candidate.beam.text == "\n\nWait".join([", 2 + 2 is 4"] * 3)
    assert candidate.beam.finish == "stop"
    assert [step.text for step in candidate.beam.steps] == [
        ", 2 + 2 is 4\n\n",
        "Wait, 2 + 2 is 4\n\n",
        "Wait, 2 + 2 is 4",
    ]


def test_a_solution_that_has_thought_enough_is_made_to_answer() -> None:
    endless = "thinking " * 40
    [candidate] = drawn(endless, BudgetForcingOptions(extensions=0, max_thinking_tokens=10), max_tokens=60)
    assert candidate.beam.text.startswith("thinking " * 5 + "\n\nThe answer is \\boxed{")
    assert candidate.beam.text.endswith("thinking ")
    assert candidate.beam.num_tokens == 60
    assert candidate.beam.finish == "length"


def test_a_solution_that_nears_its_limit_is_made_to_answer() -> None:
    endless = "thinking " * 40
    [candidate] = drawn(endless, BudgetForcingOptions(extensions=0, answer_tokens=12), max_tokens=30)
    assert candidate.beam.text.startswith("thinking " * 9 + "\n\nThe answer is \\boxed{")


def test_nothing_is_extended_after_the_closing() -> None:
    [candidate] = drawn("2 + 2 is 4", BudgetForcingOptions(extensions=3, max_thinking_tokens=11))
    assert candidate.beam.text.count("Wait") == 1
    assert candidate.beam.text.count("The answer is") == 1
    assert candidate.beam.finish == "stop"


def test_the_answer_of_an_extended_solution_is_the_last_that_it_states() -> None:
    texts = iter([r"The answer is \boxed{5}", r": no. The answer is \boxed{4}"])
    clock = ManualClock()
    engine = ScriptedEngine(lambda beam, seed: next(texts), clock=clock, pass_s=0.01)
    driver = Driver(engine, None)
    driver.submit(
        Job(
            prompt=Prompt("how many"),
            strategy=search.strategy("budget_forcing"),
            config=SearchConfig(n=1),
            sampling=Sampling(),
            deadline=Budget(100.0).start(clock),
            max_tokens=200,
        )
    )
    ended = [pair for _ in range(200) for pair in driver.turn()]
    assert ended[0][1].candidates[0].answer == "4"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2 + 2\n\nThe answer is \\boxed{4}", "4"),
        ("2 + 2 is \\boxed{5}\n\nThe answer is \\boxed{4}\n\nWait, no\n\nThe answer is \\boxed{6}.", "6"),
        ("The answer is \\boxed{5}\n\nWait, that is so.", "5"),
        ("The answer is 5.\n\nWait, no. The answer is 4.", "4"),
    ],
)
def test_forced_solutions_are_read_as_they_should_be(text: str, expected: str) -> None:
    assert answer.extract(text) == expected


# -- on the built-in models --------------------------------------------------------------------------------------------

PROBLEM = "Ana keeps 59 cards. Dan owns 3 times as many as Ana. How many cards does Dan hold in the end?"


@pytest.fixture(scope="module")
def models() -> Iterator[Pipeline]:
    with loading.load("nano", "none", max_n=4, num_threads=1) as loaded:
        yield loaded


@pytest.mark.parametrize("seed", [0, 7])
def test_without_forcing_one_solution_is_one_sample(models: Pipeline, seed: int) -> None:
    sampled = models.solve(PROBLEM, budget_s=60, strategy="majority", n=1, seed=seed)
    forced = models.solve(
        PROBLEM, budget_s=60, strategy="budget_forcing", n=1, options={"extensions": 0, "closing": ""}, seed=seed
    )
    assert forced.text == sampled.text
    assert forced.usage.decoded_tokens == sampled.usage.decoded_tokens


@pytest.mark.parametrize("extensions", [1, 2])
def test_the_solver_goes_on_where_it_would_have_ended(models: Pipeline, extensions: int) -> None:
    plain = models.solve(PROBLEM, budget_s=60, strategy="majority", n=1, seed=2)
    forced = models.solve(
        PROBLEM, budget_s=60, strategy="budget_forcing", n=1, options={"extensions": extensions, "closing": ""}, seed=2
    )
    assert forced.text.startswith(f"{plain.text}\n\nWait")
    assert forced.text.count("\n\nWait") == extensions


def test_the_solver_is_cut_short_and_states_an_answer(models: Pipeline) -> None:
    forced = models.solve(
        PROBLEM,
        budget_s=60,
        strategy="budget_forcing",
        n=4,
        options={"extensions": 0, "max_thinking_tokens": 4},
        seed=1,
    )
    assert len(forced.candidates) == 4
    for candidate in forced.candidates:
        assert "\n\nThe answer is \\boxed{" in candidate.beam.text
        head = candidate.beam.text.partition("\n\nThe answer is \\boxed{")[0]
        assert len(head.split("\n\n")) == 1
    assert any((candidate.answer or "").isdigit() for candidate in forced.candidates)

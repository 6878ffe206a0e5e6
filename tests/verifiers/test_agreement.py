"""Dual execution agreement: the score by hand and by its laws, the table of pairs, and the verifier."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from fake_pools import FakePool
from hypothesis import given, settings
from hypothesis import strategies as st
from verifier_contract import VerifierContract

from edgesearch.budget import ManualClock
from edgesearch.errors import SandboxUnavailable, UsageError
from edgesearch.types import Beam, CodeSpec, Prompt, Step, next_id
from edgesearch.verifiers.agreement import CHUNK_TESTS, MAX_CPU_S, MAX_TESTS, AgreementVerifier, Table, rank
from edgesearch.verifiers.base import Judged, Verifier

CODE = CodeSpec(("add",))
RIGHT = "def add(a, b):\n    return a + b\n"
TIMES = "def add(a, b):\n    return a * b\n"
MINUS = "def add(a, b):\n    return a - b\n"


# -- the score ---------------------------------------------------------------------------------------------------------


def test_a_set_scores_the_root_of_its_programs_times_its_tests_of_the_most_possible() -> None:
    rows = [[True, True, False], [True, True, False], [False, False, True], [False, False, False]]
    most = math.sqrt(4) * 3
    assert rank(rows) == pytest.approx([math.sqrt(2) * 2 / most] * 2 + [1 / most, 0.0])


def test_samples_count_for_programs_and_for_tests() -> None:
    rows = [[True, False], [False, True]]
    assert rank(rows, [4, 1], [1, 1]) == pytest.approx([2 / (math.sqrt(5) * 2), 1 / (math.sqrt(5) * 2)])
    assert rank(rows, [1, 1], [1, 5]) == pytest.approx([1 / (math.sqrt(2) * 6), 5 / (math.sqrt(2) * 6)])


def test_many_tests_weigh_more_than_as_many_programs() -> None:
    """The square root: 4 programs that pass 2 tests lose to one that passes 5."""
    rows = [[True] * 2 + [False] * 5, [False] * 2 + [True] * 5]
    first, second = rank(rows, [4, 1])
    assert first < second


@pytest.mark.parametrize("rows", [[], [[]], [[], []]])
def test_without_programs_or_tests_nothing_scores(rows: list[list[bool]]) -> None:
    assert rank(rows) == [0.0] * len(rows)
    assert rank(rows, [0] * len(rows)) == [0.0] * len(rows)


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="counts has 1 numbers, and 2 are needed"):
        rank([[True], [True]], [1])
    with pytest.raises(ValueError, match="weights has 1 numbers, and 2 are needed"):
        rank([[True], [True, False]])
    with pytest.raises(ValueError, match="counts must be >= 0, not -1"):
        rank([[True]], [-1])


TABLES = st.integers(0, 6).flatmap(
    lambda width: st.lists(
        st.tuples(st.lists(st.booleans(), min_size=width, max_size=width), st.integers(1, 4)), min_size=1, max_size=8
    )
)


@given(TABLES)
def test_scores_lie_in_0_to_1_and_are_equal_where_the_same_tests_are_passed(
    table: list[tuple[list[bool], int]],
) -> None:
    rows, counts = [row for row, _ in table], [count for _, count in table]
    scores = rank(rows, counts)
    for row, score in zip(rows, scores, strict=True):
        assert 0 <= score <= 1
        assert (score == 0) == (not any(row))
        assert all(other == score for same, other in zip(rows, scores, strict=True) if same == row)
    assert (max(scores) == 1) == (bool(rows[0]) and all(map(all, rows)))


@given(TABLES)
def test_a_count_is_as_good_as_copies(table: list[tuple[list[bool], int]]) -> None:
    counted = rank([row for row, _ in table], [count for _, count in table])
    copied = rank([row for row, count in table for _ in range(count)])
    assert copied == [score for score, (_, count) in zip(counted, table, strict=True) for _ in range(count)]


@given(TABLES, st.randoms(use_true_random=False))
def test_the_order_of_programs_and_tests_does_not_matter(table: list[tuple[list[bool], int]], random: object) -> None:
    rows, counts = [row for row, _ in table], [count for _, count in table]
    columns, places = list(range(len(rows[0]))), list(range(len(rows)))
    random.shuffle(columns)  # type: ignore[attr-defined]
    random.shuffle(places)  # type: ignore[attr-defined]
    mixed = rank([[rows[place][column] for column in columns] for place in places], [counts[place] for place in places])
    assert mixed == [rank(rows, counts)[place] for place in places]


# -- the table ---------------------------------------------------------------------------------------------------------


def table_scores(pool: FakePool, programs: Sequence[str | None], tests: Sequence[str]) -> list[float]:
    return Table(CODE, pool).scores(programs, tests)


def test_the_programs_and_the_tests_that_agree_most_win() -> None:
    tests = ["assert add(1, 2) == 3", "assert add(2, 3) == 5", "assert add(2, 3) == 6", "assert add(1, 1) == 5"]
    right, minus, times = table_scores(FakePool(), [RIGHT, MINUS, TIMES], tests)
    most = math.sqrt(3) * 4
    assert [right, minus, times] == pytest.approx([2 / most, 0.0, 1 / most])


def test_copies_of_programs_and_of_tests_count_and_run_once() -> None:
    pool = FakePool()
    same = "def add(a, b):\n    return (a + b)  # the sum\n"
    scores = table_scores(pool, [RIGHT, TIMES, same, None], ["assert add(1, 2) == 3"] * 3 + ["assert add(2, 3) == 6"])
    most = math.sqrt(3) * 4
    assert scores == pytest.approx([math.sqrt(2) * 3 / most, 1 / most, math.sqrt(2) * 3 / most, 0.0])
    assert [trial.tests for trial in pool.trials] == [("assert add(1, 2) == 3", "assert add(2, 3) == 6")] * 2


def test_a_test_at_fault_is_passed_by_nobody() -> None:
    most = math.sqrt(1) * 2
    assert table_scores(FakePool(), [RIGHT], ["assert add(1, 2) == 3", "assert x == add(1, 2)"]) == [1 / most]


def test_no_pair_is_run_twice() -> None:
    pool = FakePool()
    table = Table(CODE, pool)
    table.scores([RIGHT], ["assert add(1, 2) == 3"])
    table.scores([RIGHT, TIMES], ["assert add(1, 2) == 3", "assert add(2, 2) == 4"])
    pairs = [(trial.program, test) for trial in pool.trials for test in trial.tests]
    assert len(pairs) == len(set(pairs)) == 4


def test_many_tests_are_tried_in_chunks() -> None:
    pool = FakePool()
    tests = [f"assert add({number}, 0) == {number}" for number in range(2 * CHUNK_TESTS + 1)]
    assert table_scores(pool, [RIGHT], tests) == [1.0]
    assert [len(trial.tests) for trial in pool.trials] == [CHUNK_TESTS, CHUNK_TESTS, 1]


def test_only_the_first_tests_of_very_many_count() -> None:
    pool = FakePool()
    table_scores(pool, [RIGHT], [f"assert add({number}, 0) == {number}" for number in range(MAX_TESTS + 20)])
    assert sum(len(trial.tests) for trial in pool.trials) == MAX_TESTS


def test_a_program_that_has_used_too_much_time_fails_all_that_is_left() -> None:
    pool = FakePool(stopped_s=0.6 * MAX_CPU_S)
    tests = [f"assert add({number}, 0) == {number}" for number in range(5 * CHUNK_TESTS)]
    stopped = RIGHT + "note = 'STOPS AT 10 '\n"
    (score, _) = Table(CODE, pool).scores([stopped, RIGHT], tests)
    assert pool.num_tried(stopped) == 2
    assert pool.num_tried(RIGHT) == 5
    assert score == pytest.approx(2 * 10 / (math.sqrt(2) * len(tests)))


# -- the verifier ------------------------------------------------------------------------------------------------------


class TestContract(VerifierContract):
    """Where it applies: the problem has no tests, so all that is judged scores 0."""

    code = CODE

    @pytest.fixture
    def verifier(self) -> AgreementVerifier:
        return AgreementVerifier(FakePool())

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(text.encode())

    def end_of_turn(self) -> tuple[int, ...]:
        return (999,)

    def num_prompt_tokens(self, prompt: Prompt) -> int:
        return 0


def opened(verifier: Verifier) -> tuple[Beam, Beam]:
    """The roots of a problem's programs and of its tests."""
    prompt = Prompt("Write add.", code=CODE)
    verifier.open(prompt, ())
    return Beam(prompt), Beam(Prompt("Test add.", code=CODE, asks_tests=True, base=prompt.id, id=next_id()))


def grown(root: Beam, text: str) -> Beam:
    return root.grown((Step(text, (1,) * 5, -1.0, "stop"),))


def test_programs_are_judged_by_the_tests_beside_them() -> None:
    verifier = AgreementVerifier(FakePool())
    root, asked = opened(verifier)
    written = grown(asked, "add(1, 2) == 3\nassert add(2, 3) == 5\nassert add(2, 3) == 6\n")
    programs = [grown(root, RIGHT), grown(root, TIMES), grown(root, RIGHT), grown(root, "I cannot.")]
    judged = verifier.judge([*programs, written])
    most = math.sqrt(3) * 3
    expected = [math.sqrt(2) * 2 / most, 1 / most, math.sqrt(2) * 2 / most, 0.0]
    assert [each.beam.scores[-1] for each in judged[:4]] == pytest.approx(expected)
    assert judged[4].beam.scores == (3 / 5,)  # three tests of the five that could be taken
    assert [each.verified_tokens for each in judged] == [5] * 5
    assert verifier.warnings == ()


def test_what_was_judged_before_still_counts() -> None:
    verifier = AgreementVerifier(FakePool())
    root, asked = opened(verifier)
    (first, _) = verifier.judge([grown(root, RIGHT), grown(asked, "add(1, 2) == 3")])
    assert first.beam.scores == (1.0,)
    (second,) = verifier.judge([grown(root, TIMES)])
    assert second.beam.scores == (0.0,)
    (third,) = verifier.judge([grown(root, RIGHT)])
    assert third.beam.scores == pytest.approx((math.sqrt(2) / math.sqrt(3),))
    assert verifier.judge([first.beam]) == [Judged(first.beam, 0)]


def test_problems_do_not_mix() -> None:
    verifier = AgreementVerifier(FakePool())
    (one, tests_of_one), (other, tests_of_other) = opened(verifier), opened(verifier)
    beams = [grown(one, RIGHT), grown(other, RIGHT), grown(other, TIMES)]
    tests = [grown(tests_of_one, "add(1, 2) == 3"), grown(tests_of_other, "add(2, 3) == 6")]
    scores = [judged.beam.scores[-1] for judged in verifier.judge([*beams, *tests])]
    assert scores[:3] == pytest.approx([1.0, 0.0, 1 / math.sqrt(2)])


def test_a_problem_for_which_no_test_was_written_is_warned_of_and_scores_0() -> None:
    verifier = AgreementVerifier(FakePool())
    root, asked = opened(verifier)
    judged = verifier.judge([grown(root, RIGHT), grown(asked, "I know no tests.")])
    assert [each.beam.scores for each in judged] == [(0.0,), (0.0,)]
    assert verifier.warnings == ("the solver wrote no usable test for 1 problem so far: all programs score 0 there",)


def test_it_says_that_it_compares_and_what_it_reads() -> None:
    info = AgreementVerifier(FakePool(is_isolating=False)).info
    assert (info.name, info.place) == ("agreement", "cpu, sandbox fake")
    assert info.is_outcome
    assert info.is_collective
    assert info.reads_tests
    assert info.counts_copies
    assert info.enough is None


def test_a_problem_that_asks_for_no_program_is_refused() -> None:
    with pytest.raises(UsageError, match="verifier agreement needs a problem that asks for a program"):
        AgreementVerifier(FakePool()).open(Prompt("2 + 2?"), ())


def test_a_released_problem_is_forgotten() -> None:
    verifier = AgreementVerifier(FakePool())
    root, asked = opened(verifier)
    verifier.judge([grown(root, RIGHT), grown(asked, "add(1, 2) == 3")])
    verifier.release([root.prompt.id])
    with pytest.raises(ValueError, match=f"prompt {root.prompt.id} is not open"):
        verifier.judge([grown(asked, "add(1, 2) == 3")])


def test_its_pool_is_closed_with_it_and_a_sandbox_that_does_not_isolate_is_warned_of() -> None:
    pool = FakePool(is_isolating=False)
    verifier = AgreementVerifier(pool, clock=ManualClock())
    assert verifier.warnings == ("the programs that are tried are not isolated: it can do anything",)
    verifier.close()
    assert pool.is_closed


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=4), st.lists(st.text(max_size=30), max_size=4))
def test_any_texts_are_judged_in_their_order(programs: list[str], tests: list[str]) -> None:
    verifier = AgreementVerifier(FakePool())
    root, asked = opened(verifier)
    beams = [*(grown(root, f"{text} I") for text in programs), *(grown(asked, text) for text in tests)]
    judged = verifier.judge(beams)
    assert [each.beam.steps for each in judged] == [beam.steps for beam in beams]
    assert all(0 <= each.beam.scores[-1] <= 1 for each in judged)


def test_programs_and_tests_agree_in_the_real_sandbox() -> None:
    """One program never ends for one test, one ends its process; both are tried on the rest."""
    try:
        verifier = AgreementVerifier()
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    root, asked = opened(verifier)
    endless = "def add(a, b):\n    while a == 1:\n        pass\n    return a + b\n"
    ending = "import os\n\n\ndef add(a, b):\n    os._exit(0)\n"
    programs = [grown(root, program) for program in (RIGHT, endless, TIMES, RIGHT, ending)]
    written = grown(asked, "add(1, 2) == 3\nassert add(2, 3) == 5\nassert add(2, 3) == 6\nassert x == add(1, 1)\n")
    judged = verifier.judge([*programs, written])
    verifier.close()
    most = math.sqrt(5) * 4
    expected = [math.sqrt(2) * 2 / most, 1 / most, 1 / most, math.sqrt(2) * 2 / most, 0.0]
    assert [each.beam.scores[-1] for each in judged[:5]] == pytest.approx(expected)

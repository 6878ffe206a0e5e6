"""Answers: the golden cases, each with its source, then properties, hostile input, and the real data sets.

The real data are read only where the environment variable EDGESEARCH_TEST_DATA names their folder.
"""

import json
import math
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from time import process_time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgesearch import answer as answer_module
from edgesearch.answer import (
    Vote,
    canonical,
    equivalent,
    extract,
    extract_flexible,
    is_program,
    normalise,
    stated,
    vote,
)
from edgesearch.types import CodeSpec, Prompt

GOLDEN = json.loads((Path(__file__).parent / "golden" / "answers.json").read_text(encoding="utf-8"))
PAIRS = [(case["a"], case["b"]) for case in GOLDEN["equivalent"]]
SPELLINGS = sorted({spelling for pair in PAIRS for spelling in pair})

unhurried = settings(deadline=None)  # a busy machine is not a failure

# Text that looks like answers finds more than random text does.
PIECES = r"0 1 2 9 , . - + / ( ) [ ] { } \{ \} $ % x A = ^ _ & \\ \! \, 10 000 ½ − ２ and or"
COMMANDS = r"\frac \dfrac \sqrt \boxed{ \boxed \text{ \mathrm{ \pi \cup \in \circ \left \times10^ \pm cm"
ANSWERISH = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from([*PIECES.split(), *COMMANDS.split(), " ", "\n"]), max_size=25).map("".join),
    st.sampled_from(SPELLINGS),
)


@pytest.mark.parametrize("case", GOLDEN["equivalent"], ids=lambda case: f"{case['a']}|{case['b']}")
def test_the_golden_pairs_are_equivalent_or_not_as_recorded(case: dict[str, object]) -> None:
    a, b = str(case["a"]), str(case["b"])
    assert case["source"]
    assert equivalent(a, b) is case["equivalent"]
    assert equivalent(b, a) is case["equivalent"]


@pytest.mark.parametrize("case", GOLDEN["extract"], ids=lambda case: case["text"][:40])
def test_the_golden_solutions_state_the_answer_recorded(case: dict[str, str]) -> None:
    assert case["source"]
    assert extract(case["text"]) == case["answer"]


@pytest.mark.parametrize("case", GOLDEN["normalise"], ids=lambda case: case["answer"])
def test_the_golden_answers_have_the_normal_form_recorded(case: dict[str, str]) -> None:
    assert normalise(case["answer"]) == case["normal"]


@pytest.mark.parametrize(
    ("answer", "key"),
    [
        ("0.50", "1/2"),
        ("-1 1/2", "-3/2"),
        (r"50\%", "50"),
        (r"\$1,234.50", "2469/2"),
        (r"\{3, 0.5, \pi\}", r"{1/2,3,\pi}"),
        (r"(3, 0.5]", "(3,1/2]"),
        (r"(1,2) \cup [-1,0]", r"(1,2)\cup[-1,0]"),
        (r"\begin{pmatrix} 1/2 & 0.5 \end{pmatrix}", r"\begin{matrix}1/2&1/2\end{matrix}"),
        (r"\text{New York}", "new york"),
    ],
)
def test_a_canonical_key_is_exact_and_readable(answer: str, key: str) -> None:
    assert canonical(answer) == key


@pytest.mark.parametrize("answer", SPELLINGS)
def test_normal_forms_and_keys_are_fixed_points(answer: str) -> None:
    assert normalise(normalise(answer)) == normalise(answer)
    assert canonical(normalise(answer)) == canonical(answer)
    assert canonical(canonical(answer)) == canonical(answer)


def test_the_flexible_extraction_falls_back_to_the_last_number() -> None:
    assert extract_flexible("First compute 6*7.\n42") == "42"
    assert extract_flexible("She pays $1,234.50, as 5-3 is 2; so -7.") == "-7"
    assert extract_flexible("She pays $1,234.50.") == "1,234.50"
    assert extract_flexible(r"\boxed{1} and 2") == "1"
    assert extract_flexible("no digits") is None


def test_a_solution_cut_off_in_its_box_or_in_the_command_of_it_states_no_answer() -> None:
    whole = r"So 4 * 9 = 36.\n\nThe answer is $\boxed{36}$"
    begun = whole.index(r"\boxed")
    for end in range(begun + 1, whole.index("}")):
        assert extract(whole[:end].replace("\\n", "\n")) is None
    assert extract(whole) == "36"
    assert extract(r"The final answer is \fbox{7") is None
    assert extract(r"The answer is \frac{7}{2}") == r"\frac{7}{2}"


# ---------------------------------------------------------------------------------------------- properties


@unhurried
@given(ANSWERISH)
def test_every_function_is_total_and_equivalence_reflexive(text: str) -> None:
    for answer in (extract(text), extract_flexible(text)):
        assert answer is None or answer == answer.strip() != ""
    assert normalise(text) == normalise(text.strip())
    assert bool(normalise(text)) is bool(text.strip())
    assert equivalent(text, text)


@unhurried
@given(st.integers(-(10**18), 10**18))
def test_a_plain_integer_is_its_own_key_as_parsing_says_too(number: int) -> None:
    assert canonical(str(number)) == str(number)
    assert canonical(f" {number}.0") == str(number)  # not plain, so parsed


@unhurried
@given(ANSWERISH, ANSWERISH)
def test_equivalence_is_symmetric_and_follows_from_equal_keys(a: str, b: str) -> None:
    assert equivalent(a, b) is equivalent(b, a)
    if canonical(a) == canonical(b):
        assert equivalent(a, b)


@unhurried
@given(st.integers(-(10**30), 10**30))
def test_an_integer_is_itself_with_separators(value: int) -> None:
    for spelling in (f"{value:,}", f"{value:,}".replace(",", r",\!"), f"${value:_}$".replace("_", "{,}")):
        assert canonical(spelling) == str(value)
    assert not equivalent(str(value), str(value + 1))


@unhurried
@given(st.fractions(max_denominator=10**6))
def test_a_fraction_is_one_value_in_every_spelling(value: Fraction) -> None:
    sign, top, bottom = "-" * (value < 0), abs(value.numerator), value.denominator
    whole, rest = divmod(top, bottom)
    spellings = [
        f"{sign}{top}/{bottom}",
        rf"{sign}\frac{{{top}}}{{{bottom}}}",
        rf"\dfrac{{{sign}{top}}}{{{bottom}}}",
    ]
    spellings += [rf"{sign}{whole}\tfrac{{{rest}}}{{{bottom}}}", f"x = {sign}{top * 3}/{bottom * 3}"]
    assert {canonical(spelling) for spelling in spellings} == {str(value)}


@unhurried
@given(st.integers(0, 10**6), st.integers(1, 10**4), st.integers(7, 12))
def test_a_long_decimal_is_the_endless_fraction_it_rounds_and_no_other(k: int, m: int, places: int) -> None:
    value = Fraction(3 * k + 1, 3 * m)
    scaled = f"{round(value * 10**places):0{places + 1}}"
    decimal = f"{scaled[:-places]}.{scaled[-places:]}"
    assume(value >= Fraction(1, 10) and not decimal.endswith("0"))
    other = value * (1 + Fraction(3, 10**6))
    assert equivalent(decimal, f"{value.numerator}/{value.denominator}")
    assert not equivalent(decimal, f"{other.numerator}/{other.denominator}")


@unhurried
@given(
    st.lists(st.sampled_from(["1", "1/2", r"\pi", "(1,2)", "x", "-3"]), min_size=2),
    st.randoms(use_true_random=False),
)
def test_a_set_has_no_order_and_a_tuple_has(items: list[str], rng: random.Random) -> None:
    shuffled = rng.sample(items, len(items))
    assert equivalent(rf"\{{{','.join(items)}\}}", ", ".join(shuffled))
    assert equivalent(f"({','.join(items)})", f"({', '.join(shuffled)})") is (items == shuffled)
    assert not equivalent(", ".join(items), ", ".join(items[:-1]))


# --------------------------------------------------------------------------------------------------- votes

BALLOTS = st.lists(
    st.tuples(st.sampled_from([None, "1/2", "0.5", "2", "x", "(1,2)"]), st.integers(0, 8).map(float)),
    max_size=12,
)


def test_votes_join_spellings_and_name_the_heaviest_voter() -> None:
    result = vote(["3", "0.5", None, r"\frac12", "3.0", "1/2"], [1.0, 0.25, 9.0, 1.5, 1.0, 1.5])
    assert result == Vote("0.5", 3.25 / 5.25, 3.25, 3, {"3": 2.0, "1/2": 3.25})


def test_votes_without_weights_count_and_a_tie_goes_to_the_first_class() -> None:
    assert vote(["B", "A", "A", "(b)"]) == Vote("B", 0.5, 2.0, 0, {"B": 2.0, "A": 2.0})


def test_zero_weights_fall_back_to_counts_and_a_silent_weight_does_not_count() -> None:
    assert vote(["1", "2", "2", None], [0.0, 0.0, 0.0, 5.0]) == Vote("2", 2 / 3, 2.0, 1, {"1": 1.0, "2": 2.0})


def test_nobody_voting_is_no_vote() -> None:
    assert vote([]) is None
    assert vote([None, None], [1.0, 2.0]) is None


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf, -math.inf])
def test_a_weight_that_is_negative_or_not_finite_is_refused_by_name(weight: float) -> None:
    with pytest.raises(ValueError, match=r"weights\[1\]"):
        vote(["1", "2"], [1.0, weight])


def test_weights_must_match_the_answers_and_fit_a_float_together() -> None:
    with pytest.raises(ValueError, match="1 entries for 2 answers"):
        vote(["1", "2"], [1.0])
    with pytest.raises(ValueError, match="scale them down"):
        vote(["1", "2"], [1.7e308, 1.7e308])
    with pytest.raises(ValueError, match="share"):
        Vote("1", 1.5, 1.0, 0, {})


@unhurried
@given(BALLOTS, st.randoms(use_true_random=False))
def test_a_vote_does_not_depend_on_order_apart_from_ties(
    ballots: list[tuple[str | None, float]], rng: random.Random
) -> None:
    shuffled = rng.sample(ballots, len(ballots))
    first, second = (vote([a for a, _ in order], [w for _, w in order]) for order in (ballots, shuffled))
    if first is None or second is None:
        assert first is second
        return
    assert first.counts == second.counts
    assert (first.weight, first.share) == (second.weight, second.share)
    if sum(weight == first.weight for weight in first.counts.values()) == 1:
        assert canonical(first.answer) == canonical(second.answer)


@unhurried
@given(BALLOTS)
def test_a_vote_adds_up(ballots: list[tuple[str | None, float]]) -> None:
    result = vote([a for a, _ in ballots], [w for _, w in ballots])
    if result is None:
        return
    assert 0 < result.share <= 1
    assert result.weight == max(result.counts.values()) == result.counts[canonical(result.answer)]
    assert math.isclose(result.share * sum(result.counts.values()), result.weight)
    assert canonical(str(ballots[result.index][0])) == canonical(result.answer)


# ------------------------------------------------------------------------------------------- hostile input

HOSTILE: dict[str, Callable[[int], str]] = {
    "unclosed boxes": lambda n: r"\boxed{" * n,
    "closed boxes": lambda n: r"\boxed{" * n + "}" * n,
    "spaced boxes": lambda n: r"\boxed    " * n,
    "blank after the marker": lambda n: "the answer is" + " " * 8 * n,
    "marker halves": lambda n: "final   " * n,
    "markers": lambda n: "final answer is " * n,
    "headings": lambda n: "#### " * n,
    "a heading of spaces": lambda n: "####" + " " * 8 * n,
    "dollars": lambda n: "answer: " + "$x" * 4 * n,
    "digits": lambda n: "1" * 8 * n,
    "digit groups": lambda n: "1,11" * 2 * n,
    "signs": lambda n: "-" * 8 * n,
    "blank lines": lambda n: "answer: x" + "\n" * 8 * n,
}


@contextmanager
def seconds_of(spent: list[float]) -> Iterator[None]:
    start = process_time()
    yield
    spent.append(process_time() - start)


def fastest(call: Callable[[], object]) -> float:
    spent: list[float] = []
    for _ in range(3):
        with seconds_of(spent):
            call()
    return min(spent)


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_extraction_time_grows_with_the_text_not_its_square(make: Callable[[int], str]) -> None:
    small, large = make(6_250), make(100_000)
    grown = fastest(lambda: extract_flexible(large)) / max(fastest(lambda: extract_flexible(small)), 1e-4)
    assert grown < 16 * 5  # sixteen times the text; a square would be 256 times the work


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_comparison_time_is_capped_by_the_length_cap(make: Callable[[int], str]) -> None:
    assert equivalent(make(100_000), make(100_000))


@pytest.mark.parametrize(
    "text", ["(", "((", "{", "[(", r"\frac{", r"\text{", r"\{", "1,", "x=", "1 ", r"\cup", "a/", "-"]
)
def test_deep_and_repeated_structure_is_compared_without_recursing_far(text: str) -> None:
    repeated = (text * answer_module.MAX_ANSWER_CHARS)[: answer_module.MAX_ANSWER_CHARS]
    closed = repeated[:900] + "1" + ")" * 900
    for answer in (repeated, closed):
        assert equivalent(answer, answer)
        assert not equivalent(answer, "0")


@pytest.mark.parametrize(
    "huge", ["9" * 401, "10^{999999999}", "1e999999999", "10**10**9", "9" * 5000, "1." + "0" * 400 + "1"]
)
def test_huge_numbers_are_text(huge: str) -> None:
    assert equivalent(huge, huge)
    assert not equivalent(huge, huge.replace("9", "8").replace("1", "7"))
    assert "/" not in canonical(huge)


def test_a_number_of_as_many_digits_as_allowed_is_still_exact() -> None:
    longest = "9" * answer_module.MAX_DIGITS
    assert canonical(longest + ".0") == longest


# ----------------------------------------------------------------------------------------------- real data


def records(name: str) -> list[dict[str, str]]:
    folder = os.environ.get("EDGESEARCH_TEST_DATA")
    path = Path(folder or "", name)
    if not folder or not path.is_file():
        pytest.skip(f"set EDGESEARCH_TEST_DATA to a folder that holds {name}")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_gsm8k_solution_yields_its_target(split: str) -> None:
    solutions = [record["answer"] for record in records(f"gsm8k/{split}.jsonl")]
    targets = [solution.rsplit("#### ", 1)[1] for solution in solutions]
    assert [extract(solution) for solution in solutions] == targets
    assert [canonical(target) for target in targets] == [target.replace(",", "") for target in targets]


def test_every_math_500_solution_yields_its_target() -> None:
    for record in records("math500/test500.jsonl"):
        assert extract(record["solution"]) == record["answer"]
        assert equivalent(record["answer"], record["answer"])


def test_distinct_math_500_targets_share_a_key_only_where_they_should() -> None:
    """Ten classes have several spellings: degrees, dollars, `x=5`, `\\frac14`, a space, a list's order."""
    classes: dict[str, set[str]] = {}
    for record in records("math500/test500.jsonl"):
        classes.setdefault(canonical(record["answer"]), set()).add(record["answer"])
    shared = {key for key, spellings in classes.items() if len(spellings) > 1}
    assert shared == {"90", "5", "{-2,1}", "120", "36", "1/4", "30", "10080", "15", r"2\sqrt{5}"}


# ------------------------------------------------------------------------------------------------------- programs

PROGRAM = "def half(x):\n    return 1/2 * x\n"
SAME_PROGRAM = "def half(x):  # exact\n    return 1 / 2*x\n"
OTHER_PROGRAM = "def half(x):\n    return 0.5 * x\n"


def test_a_solution_states_a_program_where_code_was_asked_for_and_else_a_final_answer() -> None:
    text = f"The answer is 5.\n```python\n{PROGRAM}```\n"
    assert stated(Prompt("?"), text) == "5"
    assert stated(Prompt("?", code=CodeSpec(("half",))), text) == PROGRAM
    assert stated(Prompt("?", code=CodeSpec(("half",))), "The answer is 5.") is None


def test_programs_are_compared_by_their_syntax_trees_alone() -> None:
    assert is_program(PROGRAM)
    assert not is_program(PROGRAM.strip())
    assert normalise(PROGRAM) == PROGRAM
    assert equivalent(PROGRAM, SAME_PROGRAM)
    assert canonical(PROGRAM) == canonical(SAME_PROGRAM) != canonical(OTHER_PROGRAM)
    assert not equivalent(PROGRAM, OTHER_PROGRAM)
    assert not equivalent(PROGRAM, PROGRAM.strip())
    assert not equivalent("half = lambda x: x / 2\n", "half = lambda x: 0.5 * x\n")


def test_a_final_answer_with_a_line_end_is_still_one() -> None:
    assert equivalent("42\n", "42")
    assert equivalent("x = 1/2\n", "0.5")
    assert not is_program("a class of 5")


def test_programs_vote_by_their_syntax_trees() -> None:
    found = vote([OTHER_PROGRAM, PROGRAM, None, SAME_PROGRAM])
    assert found is not None
    assert (found.answer, found.index, found.share) == (PROGRAM, 1, pytest.approx(2 / 3))


@unhurried
@given(st.text(max_size=200))
def test_no_final_answer_that_is_extracted_is_a_program(text: str) -> None:
    for found in (extract(text), extract_flexible(text)):
        assert found is None or not is_program(found)

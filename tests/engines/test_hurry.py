import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesearch.engines.hurry import Hurry

LINE = r"The answer is \boxed{"
HURRY = Hurry("\n\n" + LINE, 20)


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("", LINE),
        ("\n", LINE),
        ("Ben=12+3", "\n\n" + LINE),
        ("The total is 3", "\n\n" + LINE),  # begins like it, and is another sentence
        ("We take \\frac{1}{2}", "\n\n" + LINE),
        ("The", r" answer is \boxed{"),
        ("\n The answer", r" is \boxed{"),
        (LINE, ""),
        (LINE + "3", ""),
        (LINE + "3}", ""),
        ("The answer is 3", ""),
        ("The answer: 3", ""),
        ("so it is \\boxed{3", ""),
    ],
)
def test_only_what_a_step_lacks_of_the_closing_is_written(text, rest):
    assert HURRY.rest(text, "\n\n") == rest


@given(st.integers(0, len(LINE)))
def test_a_step_that_has_any_part_of_the_line_gets_the_rest_of_it(length):
    assert LINE[:length] + HURRY.rest(LINE[:length], "\n\n") == LINE


@given(st.text(alphabet="Th answer{}\\boxed3\n").filter(lambda text: "\n\n" not in text))
def test_no_empty_step_arises(text):
    steps = (text + HURRY.rest(text, "\n\n")).split("\n\n")
    assert all(step.strip() for step in steps)


@pytest.mark.parametrize(
    ("text", "is_complete"),
    [
        (LINE + "3}", True),
        (LINE + "3", False),
        (LINE + r"\frac{1}{2}", False),
        (LINE + r"\frac{1}{2}}", True),
        (r"As \frac{1}{2} is half: " + LINE, False),
        (LINE + "3}. That is all", True),
        (r"As \frac{1}{2}", False),
        ("3}", False),
    ],
)
def test_an_answer_is_complete_where_its_own_brace_is_closed(text, is_complete):
    assert HURRY.is_complete(text) == is_complete


def test_where_the_closing_opens_no_brace_nothing_tells_the_answers_end():
    plain = Hurry("\n\nThe answer is", 20)
    assert not plain.is_complete("The answer is {3}")
    assert plain.rest("Ben is 3", "\n\n") == "\n\nThe answer is"


@pytest.mark.parametrize(("closing", "max_tokens"), [("", 1), ("\n\n", 1), (LINE, 0)])
def test_a_blank_closing_or_no_tokens_are_refused(closing, max_tokens):
    with pytest.raises(ValueError, match=r"must (not be blank|be >= 1)"):
        Hurry(closing, max_tokens)

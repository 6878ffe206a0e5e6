"""A token stream is cut into steps at the delimiter, wherever token borders fall."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch.engines.steps import StepBuilder
from edgesearch.types import Beam, Prompt, Step

END = 0


def built(pieces: list[bytes | str], delimiter: str = "\n\n", end: str = "stop") -> list[Step]:
    """The steps of a stream of tokens numbered from 1."""
    builder = StepBuilder(delimiter)
    for token, piece in enumerate(pieces, 1):
        before = len(builder.steps)
        ended = builder.add(token, piece.encode() if isinstance(piece, str) else piece, -0.5)
        assert ended == (len(builder.steps) == before + 1)
    if end == "stop":
        builder.stop(END, -0.25)
    else:
        builder.cut("length")
    return builder.steps


def texts(pieces: list[bytes | str], delimiter: str = "\n\n", end: str = "stop") -> list[str]:
    return [step.text for step in built(pieces, delimiter, end)]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["One.", "\n\n", "Two."], ["One.\n\n", "Two."]),
        (["One.", "\n", "\n", "Two."], ["One.\n\n", "Two."]),
        (["One", ".\n\n", "Two."], ["One.\n\n", "Two."]),
        (["One.\n", "\nTwo."], ["One.\n\nTwo.", ""]),
        (["One", ".\n\nTw", "o."], ["One.\n\nTw", "o."]),
        (["One.", "\n\n\n", "Two."], ["One.\n\n\n", "Two."]),
        (["One.", "\n\n", "\n", "Two."], ["One.\n\n", "\nTwo."]),
        (["One.", "\n\n", "\n\n", "Two."], ["One.\n\n", "\n\nTwo."]),
        (["One.", "\n \n", "Two."], ["One.\n \nTwo."]),
        (["O", "n", "e", ".", "\n", "\n", "T"], ["One.\n\n", "T"]),
        (["One.\n\n", "Two.\n\n"], ["One.\n\n", "Two.\n\n", ""]),
        (["", "One.", "", "\n", "", "\n", ""], ["One.\n\n", ""]),
    ],
)
def test_a_step_ends_with_the_token_that_completes_the_delimiter(pieces: list[str], expected: list[str]) -> None:
    assert texts(list(pieces)) == expected


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["\n\n", "One.", "\n\n", "Two."], ["\n\nOne.\n\n", "Two."]),
        (["\n", "\n", "One."], ["\n\nOne."]),
        ([" \n\n \n\n", "One."], [" \n\n \n\nOne."]),
        (["\n\nOne."], ["\n\nOne."]),
        (["\n\nOne.\n\n", "Two."], ["\n\nOne.\n\n", "Two."]),
        (["\u3000", "\n\n", "One."], ["\u3000\n\nOne."]),
        ([b"\xe3\x80", b"\x80\n", "\n", "One.", "\n\n"], ["\u3000\n\nOne.\n\n", ""]),
        (["\u00a0\n\n", "\n\n"], ["\u00a0\n\n\n\n"]),
    ],
)
def test_a_blank_step_is_the_head_of_the_step_that_follows(pieces: list[bytes | str], expected: list[str]) -> None:
    assert texts(pieces) == expected


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["One", "<step>", "Two"], ["One<step>", "Two"]),
        (["One<st", "ep>", "Two"], ["One<step>", "Two"]),
        (["<step>", "One", "<step>"], ["<step>One<step>", ""]),
        (["<st", "ep>", " <step>", "One"], ["<step> <step>One"]),
        (["<step>One<step>", "Two"], ["<step>One<step>", "Two"]),
    ],
)
def test_a_delimiter_that_is_no_white_space_is_not_itself_a_step(pieces: list[str], expected: list[str]) -> None:
    assert texts(list(pieces), "<step>") == expected


def test_a_character_split_over_tokens_is_put_together_again() -> None:
    data = "π ≈ 3 🙂\n\n東".encode()
    assert texts([data[i : i + 1] for i in range(len(data))]) == ["π ≈ 3 🙂\n\n", "東"]


def test_a_delimiter_of_several_bytes_a_character_is_found_across_tokens() -> None:
    data = "One。。Two".encode()
    assert texts([data[i : i + 1] for i in range(len(data))], "。。") == ["One。。", "Two"]


def test_bytes_that_are_no_text_become_replacement_characters() -> None:
    assert texts([b"One \xff\xfe.", b"\n\n", b"\xe3"]) == ["One \ufffd\ufffd.\n\n", "\ufffd"]


def test_tokens_and_logprobs_of_a_step_are_its_own() -> None:
    first, second = built(["One.", "\n\n", "Two", "."])
    assert (first.token_ids, first.logprob, first.finish) == ((1, 2), -1.0, "step")
    assert (second.token_ids, second.logprob, second.finish) == ((3, 4, END), -1.25, "stop")
    assert first.id != second.id


def test_a_cut_keeps_what_was_drawn_and_says_so() -> None:
    first, second = built(["One.", "\n\n", "Tw"], end="cut")
    assert (first.finish, second.finish, second.text, second.token_ids) == ("step", "length", "Tw", (3,))


def test_a_cut_right_after_a_delimiter_adds_no_step() -> None:
    assert texts(["One.", "\n\n"], end="cut") == ["One.\n\n"]
    assert texts([], end="cut") == []


def test_a_token_limit_that_falls_on_a_delimiter_cuts_the_step_that_it_ended() -> None:
    builder = StepBuilder("\n\n")
    assert builder.add(1, b"one\n\n", -0.5)
    node = builder.steps[0].id
    builder.cut("length")
    assert [(step.text, step.finish, step.id) for step in builder.steps] == [("one\n\n", "length", node)]


@pytest.mark.parametrize("pieces", [["One.", "\n\n"], ["One.", "\n\n", "\n"], ["One.", "\n\n", "\n\n", " "]])
def test_an_end_of_turn_right_after_a_delimiter_finishes_the_step_before_it(pieces: list[str]) -> None:
    beam = Beam(Prompt("x")).grown(tuple(built(list(pieces))))
    assert [step.text for step in beam.steps] == ["One.\n\n"]
    assert beam.finish == "stop"
    assert beam.num_tokens == len(pieces) + 1


@st.composite
def splits(draw: st.DrawFn) -> tuple[bytes, list[bytes], str]:
    delimiter = draw(st.sampled_from(["\n\n", "\n", "<s>", "。。"]))
    parts = draw(
        st.lists(st.sampled_from(["a", "é", "🙂", " ", "\n", "\n\n", "<s>", "<", "。", "b.", "\u3000"]), max_size=25)
    )
    data = "".join(parts).encode()
    cuts = sorted(draw(st.sets(st.integers(0, len(data)))) | {0, len(data)})
    return data, [data[i:j] for i, j in pairwise(cuts)], delimiter


@settings(deadline=None, max_examples=300)
@given(splits())
def test_whatever_the_token_borders_the_steps_join_to_the_text(split: tuple[bytes, list[bytes], str]) -> None:
    data, pieces, delimiter = split
    steps = built(list(pieces), delimiter)
    assert [token for step in steps for token in step.token_ids] == [*range(1, len(pieces) + 1), END]
    sizes = [sum(len(pieces[token - 1]) for token in step.token_ids if token) for step in steps]
    ends = [sum(sizes[: index + 1]) for index in range(len(sizes))]
    joined = [data[end - size : end].decode(errors="replace") for end, size in zip(ends, sizes, strict=True)]
    assert [step.text for step in steps] == joined
    assert [step.finish for step in steps] == ["step"] * (len(steps) - 1) + ["stop"]


@settings(deadline=None, max_examples=300)
@given(splits())
def test_coarser_tokens_move_a_steps_end_to_a_token_border_and_no_further(
    split: tuple[bytes, list[bytes], str],
) -> None:
    _, pieces, delimiter = split
    for step in built(list(pieces), delimiter)[:-1]:
        without_last = b"".join(pieces[token - 1] for token in step.token_ids[:-1]).decode(errors="replace")
        assert delimiter not in _body(without_last, delimiter)
        assert delimiter in _body(step.text, delimiter)
    last = built(list(pieces), delimiter)[-1]
    assert delimiter not in _body(last.text, delimiter)


def _body(text: str, delimiter: str) -> str:
    """The text without white space and delimiters at its head."""
    while text != (text := text.lstrip().removeprefix(delimiter)):
        pass
    return text

"""Plain values go over as what they are; what a program made of them, its overrides included, stays behind."""

from __future__ import annotations

import contextlib
import json
import math
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesearch.sandbox.inside import values
from edgesearch.sandbox.inside.values import Opaque, Unspeakable

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
    | st.complex_numbers(allow_nan=False) | st.fractions() | st.decimals(allow_nan=False) | st.just(...)
)  # fmt: skip
HASHABLE = st.recursive(
    SCALARS,
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner),
    max_leaves=8,
)
ANY = st.recursive(
    SCALARS | HASHABLE,
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(HASHABLE, inner) | st.sets(HASHABLE),
    max_leaves=20,
)


def over(value: object) -> Any:
    """The value as it arrives on the other side."""
    return values.decode(json.loads(values.encode(value)))


@given(ANY)
def test_plain_values_arrive_as_they_are_type_and_all(value: object) -> None:
    assert repr(over(value)) == repr(value) or over(value) == value  # sets may be in another order
    assert type(over(value)) is type(value)


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, -0.0, 2**62, -(2**4000), 1e-310, "\ud800", range(3, 9, 2)]
)
def test_numbers_and_texts_at_the_edges_arrive_unchanged(value: object) -> None:
    assert repr(over(value)) == repr(value)


Point = namedtuple("Point", "x y")


class Liar(int):
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __index__(self) -> int:
        return 42


class LyingText(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "lie"

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = str.__hash__


class LyingList(list[int]):
    __hash__ = None  # type: ignore[assignment]

    def __iter__(self) -> Any:
        return iter([42])

    def __eq__(self, other: object) -> bool:
        return True


class Colour(IntEnum):
    RED = 3


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Liar(7), 7),
        (LyingText("truth"), "truth"),
        (LyingList([1, 2]), [1, 2]),
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (defaultdict(list, {1: [2]}), {1: [2]}),
        (Point(1, 2), (1, 2)),
        (Colour.RED, 3),
        (deque([1, 2]), deque([1, 2])),
    ],
)
def test_an_instance_of_a_subclass_becomes_a_value_of_its_base(value: object, expected: object) -> None:
    arrived = over(value)
    assert type(arrived) is type(expected)
    assert arrived == expected


def test_what_is_no_plain_value_is_equal_to_nothing_but_as_true_as_it_says() -> None:
    class Anything:
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    arrived = over([Anything(), len, object])
    assert all(isinstance(each, Opaque) for each in arrived)
    assert arrived[0] != 1
    assert arrived[0] != arrived[1]
    assert bool(arrived[0])
    assert repr(arrived[1]) == "<a builtins.builtin_function_or_method of the program>"


def test_iterators_and_views_arrive_as_what_they_still_had() -> None:
    drawn = iter([1, 2, 3])
    next(drawn)
    assert list(over(drawn)) == [2, 3]
    assert list(over(number**2 for number in range(3))) == [0, 1, 4]
    assert list(over({"a": 1}.items())) == [("a", 1)]
    assert over(map(str, [1])) != ["1"]


def test_a_value_without_end_or_bottom_is_refused_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import itertools

    monkeypatch.setattr(values, "MAX_ITEMS", 1000)
    with pytest.raises(Unspeakable, match="more than 1,000"):
        values.encode(itertools.count())
    with pytest.raises(Unspeakable, match="more than 1,000"):
        values.encode({number: number for number in range(600)})
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(Unspeakable, match="deep"):
        values.encode(nested)
    itself: list[Any] = []
    itself.append(itself)
    with pytest.raises(Unspeakable, match="deep"):
        values.encode(itself)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("itdszbacrqfmeno?"), inner),
    )
)
def test_whatever_a_program_sends_is_a_value_or_a_value_error(spelled: object) -> None:
    with contextlib.suppress(ValueError):
        values.decode(spelled)


def test_only_the_programs_word_on_truth_is_taken_not_its_objects() -> None:
    assert not values.decode({"o": ["x", False]})
    assert not values.decode({"o": ["x", "yes"]})
    with pytest.raises(ValueError, match="no value"):
        values.decode({"s": [[1]]})

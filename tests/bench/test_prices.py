"""Prices: what a text means, what it comes to, and that every price of the table says where it is from."""

import datetime
from urllib.parse import urlsplit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesearch.bench import prices
from edgesearch.bench.prices import Price, parse, parse_assignment, read, table
from edgesearch.errors import UsageError

ENTRY = """
schema_version = 1
[[price]]
name = "gpu"
unit = "hour"
dollars = 2.5
what = "a GPU"
url = "https://example.org"
read_in = "https://example.org/copy"
date = 2026-01-02
"""


def test_every_price_of_the_table_has_a_page_and_a_day():
    assert len(table()) >= 4
    for name, price in table().items():
        assert name == price.name
        assert urlsplit(price.url).scheme == "https"
        assert datetime.date.fromisoformat(price.date).year >= 2024
        assert price.what
        assert price.dollars > 0 or price.output_dollars > 0
        assert parse(name) == price


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("0.50/hour", Price("your own", "hour", dollars=0.5)),
        ("2/hour", Price("your own", "hour", dollars=2.0)),
        ("0.4/Mtok", Price("your own", "million tokens", input_dollars=0.4, output_dollars=0.4)),
        ("0.1+0.4/Mtok", Price("your own", "million tokens", input_dollars=0.1, output_dollars=0.4)),
    ],
)
def test_a_price_of_your_own_is_a_number_and_its_unit(text: str, price: Price):
    assert parse(text) == price


def test_a_number_of_machines_multiplies_the_hour():
    name = next(name for name, price in table().items() if price.unit == "hour")
    four = parse(f"4x{name}")
    assert (four.num_machines, four.dollars) == (4, table()[name].dollars)
    hour = np.array([3600.0])
    assert four.of(hour, hour, hour) == pytest.approx([4 * table()[name].dollars])
    assert four.words.startswith("4 x $")


@pytest.mark.parametrize(
    "text", ["", "5", "-1/hour", "1e9/hour", "nan/hour", "1/day", "0xh100-80gb-lambda", "$2/hour", "ü"]
)
def test_what_means_no_price_is_refused_with_what_would(text: str):
    with pytest.raises(UsageError, match=r"0.50/hour|1 or more"):
        parse(text)


@given(st.text(max_size=20))
def test_any_text_is_a_price_or_a_usage_error(text: str):
    try:
        found = parse(text)
    except UsageError:
        return
    assert found.words


def test_an_unknown_name_is_told_with_a_close_one():
    with pytest.raises(UsageError, match="did you mean 'h100-80gb-lambda'"):
        parse("h100-80gb-lamda")
    tokens = next(name for name, price in table().items() if price.unit == "million tokens")
    with pytest.raises(UsageError, match="number of machines"):
        parse(f"2x{tokens}")


def test_an_assignment_names_an_engine():
    assert parse_assignment("large = 2/hour") == ("large", Price("your own", "hour", dollars=2.0))
    for text in ("large", "=2/hour", "large="):
        with pytest.raises(UsageError, match="write ENGINE="):
            parse_assignment(text)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema_version = 1", "schema_version = 2", "schema_version = 1"),
        ('unit = "hour"', 'unit = "day"', "unit is 'day'"),
        ("dollars = 2.5", "dollars = -1.0", "dollars is -1.0"),
        ("dollars = 2.5", 'dollars = "2.5"', "dollars must be a float"),
        ("date = 2026-01-02", 'date = "January"', "date must be a date"),
        ('what = "a GPU"\n', "", "the key 'what' is missing"),
        ('what = "a GPU"', 'what = "a GPU"\nmore = 1', "the key 'more' is unknown"),
    ],
)
def test_a_table_that_says_something_wrong_is_refused(old: str, new: str, message: str):
    assert read(ENTRY)["gpu"].date == "2026-01-02"
    with pytest.raises(ValueError, match=message):
        read(ENTRY.replace(old, new))


def test_a_name_is_there_once():
    with pytest.raises(ValueError, match="two prices have one name"):
        read(ENTRY + ENTRY.partition("\n[[")[0].replace("schema_version = 1", "") + "[[" + ENTRY.partition("[[")[2])


def test_the_table_is_read_once():
    assert table() is table()
    assert prices.table.cache_info().hits >= 1

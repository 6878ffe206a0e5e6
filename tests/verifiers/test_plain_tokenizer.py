"""A tokeniser that takes every text as text."""

from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_prms import SPECIAL, byte_tokenizer, space_tokenizer

from edgesearch.errors import EdgesearchError
from edgesearch.verifiers.plain_tokenizer import PlainTokenizer


def test_the_name_of_a_control_token_stays_letters() -> None:
    from tokenizers import Tokenizer

    source = byte_tokenizer()
    plain, usual = PlainTokenizer(source), Tokenizer.from_str(source.decode())
    assert usual.encode("a<extra_0>b").ids[1] == plain.added["<extra_0>"]
    assert len(plain.ids("a<extra_0>b")) > 3
    assert not set(plain.ids("".join(SPECIAL))) & set(plain.added.values())


@pytest.mark.parametrize("source", [byte_tokenizer(), space_tokenizer()], ids=["bytes", "spaces"])
def test_other_texts_are_tokenised_as_the_file_says(source: bytes) -> None:
    from tokenizers import Tokenizer

    plain, usual = PlainTokenizer(source), Tokenizer.from_str(source.decode())
    text = "Ana has 22 apples. 22-17=5\nThe answer is 5: \U0001f34e"
    space = " " if plain.puts_space else ""
    assert plain.ids(space + text) == usual.encode(text, add_special_tokens=False).ids
    assert plain.unknown_id not in plain.ids(text)


def test_what_is_put_before_a_text_is_told_and_not_put() -> None:
    spaces, byte = PlainTokenizer(space_tokenizer()), PlainTokenizer(byte_tokenizer())
    assert (spaces.puts_space, spaces.opening) == (True, (1,))
    assert (byte.puts_space, byte.opening) == (False, ())
    assert spaces.ids("5") != spaces.ids(" 5")
    assert spaces.text(spaces.ids(" ки")[0]) == "ки"
    assert byte.text(10_000) == ""


@pytest.mark.parametrize(
    "stage",
    [
        {"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}},
        {"normalizer": {"type": "Prepend", "prepend": "▁"}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}},
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Metaspace", "replacement": "▁"}]}},
    ],
    ids=str,
)
def test_every_way_to_put_a_space_before_a_text_is_turned_off(stage: dict[str, object]) -> None:
    vocabulary = {piece: i for i, piece in enumerate(["<unk>", "a", "▁", "Ġ"])}
    model = {"type": "BPE", "vocab": vocabulary, "merges": [], "unk_token": "<unk>"}
    table = {"version": "1.0", "model": model, "added_tokens": [], **stage}
    plain = PlainTokenizer(json.dumps(table).encode())
    assert plain.puts_space
    assert plain.ids("a") == [1]


def test_what_the_vocabulary_lacks_is_told() -> None:
    model = {"type": "BPE", "vocab": {"<unk>": 0, "a": 1}, "merges": [], "unk_token": "<unk>"}
    plain = PlainTokenizer(json.dumps({"version": "1.0", "model": model}).encode())
    assert plain.ids("aé") == [1, plain.unknown_id]
    assert (plain.unknown("aé"), plain.unknown("aa")) == ("é", "")


@settings(deadline=None)
@given(st.text(alphabet=st.characters()))
def test_any_text_has_ids_half_surrogates_too(text: str) -> None:
    plain = PlainTokenizer(byte_tokenizer())
    assert bool(plain.ids(text)) == bool(text)
    assert plain.ids("\ud800") == plain.ids("?")


@pytest.mark.parametrize(
    "source",
    [
        b"",
        b"[]",
        b"{}",
        b'{"model": []}',
        b'{"model": {"type": "BPE"}}',
        b'{"model": {}, "added_tokens": {}}',
        b'{"model": {}, "added_tokens": [{"id": "1", "content": "a"}]}',
        b"\xff",
    ],
)
def test_what_is_no_tokeniser_is_a_value_error(source: bytes) -> None:
    with pytest.raises(ValueError, match=r"^."):
        PlainTokenizer(source)


def test_without_the_package_the_error_holds_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(EdgesearchError, match=r"pip install 'edgesearch\[prm\]'"):
        PlainTokenizer(byte_tokenizer())

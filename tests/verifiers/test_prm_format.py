"""Formats of process reward models: the named ones, and those that users write."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgesearch.errors import ModelNotFound, UsageError
from edgesearch.verifiers.prm_format import PRESETS, PrmFormat, beside, from_table, preset


def test_the_formats_of_the_field_have_names() -> None:
    assert set(PRESETS) == {"math-shepherd", "rlhflow", "qwen-prm", "skywork", "plain"}
    assert {name for name in PRESETS if preset(name).needs_head} == {"qwen-prm", "skywork", "plain"}


def test_an_unknown_name_is_a_usage_error_that_lists_the_known() -> None:
    with pytest.raises(UsageError, match=r"'shepherd'.* known are math-shepherd, rlhflow"):
        preset("shepherd")


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"layout": "chat"}, "layout must be one of text, assistant, turns, not 'chat'"),
        ({"aggregator": "max"}, "aggregator must be one of last, min"),
        ({"good": "+"}, "good and bad must be two tokens, or both empty"),
        ({"good": "+", "bad": "+"}, "good and bad must be two tokens"),
        ({"separator": "  "}, "separator must hold more than spaces"),
        ({"layout": "turns"}, "layout turns .* needs good and bad, and no separator"),
        ({"layout": "turns", "good": "+", "bad": "-", "separator": "#"}, "needs good and bad, and no separator"),
        ({"system": "Be brief."}, "system must be empty for layout text"),
        ({"layout": "assistant", "problem_suffix": "\n"}, "problem_suffix is for layout text"),
    ],
)
def test_a_format_that_makes_no_sense_is_a_value_error_that_names_the_rule(change: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        replace(PrmFormat(), **change)


def test_the_file_beside_a_model_tells_its_format(tmp_path: Path) -> None:
    (tmp_path / "prm.toml").write_text('preset = "qwen-prm"\nseparator = "<|step|>"\naggregator = "min"\n')
    assert beside(tmp_path / "prm.gguf") == replace(PRESETS["qwen-prm"], separator="<|step|>", aggregator="min")


def test_a_file_without_a_preset_starts_from_the_plainest_format(tmp_path: Path) -> None:
    (tmp_path / "prm.toml").write_text('good = "+"\nbad = "-"\nseparator = " ки"\nis_bos_forced = true\n', "utf-8")
    assert beside(tmp_path / "prm.gguf") == PrmFormat(good="+", bad="-", separator=" ки", is_bos_forced=True)


def test_a_model_without_such_a_file_is_an_error_that_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"nothing says how prm\.gguf reads .*name a format .*or write .*prm\.toml"):
        beside(tmp_path / "prm.gguf")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"preset = ", "is not a TOML file"),
        (b"preset = '\xff'", "is not a TOML file"),
        (b"preset = 'qwen'", "unknown format 'qwen'"),
        (b"seperator = '#'", r"prm\.toml: unknown key 'seperator'; did you mean 'separator'\?"),
        (b"xyz = 1", r"unknown key 'xyz'; known are layout, separator"),
        (b"separator = 5", "separator must be a text, not 5"),
        (b"is_bos_forced = 'yes'", "is_bos_forced must be true or false, not 'yes'"),
        (b"good = '+'", r"prm\.toml: good and bad must be two tokens"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_usage_error_that_says_what_is_wrong(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    (tmp_path / "prm.toml").write_bytes(content)
    with pytest.raises(UsageError, match=problem):
        beside(tmp_path / "prm.gguf")


def test_a_folder_in_place_of_the_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "prm.toml").mkdir()
    with pytest.raises(ModelNotFound, match=r"prm\.toml cannot be read"):
        beside(tmp_path / "prm.gguf")


def test_a_table_of_a_manifest_is_read_the_same_way() -> None:
    assert from_table({"preset": "rlhflow", "first_prefix": "\n"}, "here") == replace(
        PRESETS["rlhflow"], first_prefix="\n"
    )

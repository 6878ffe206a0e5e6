"""The benchmark of large reports runs whole, on a small store; its figures are not judged here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

Quickly = Callable[..., tuple[dict[str, Any], str]]


def test_a_made_up_store_is_written_and_reported_in_every_form(run_quickly: Quickly, tmp_path: Path) -> None:
    found, _ = run_quickly("report_scale.py", "--store", tmp_path / "scale.sqlite")
    figures = found["figures"]
    assert found["benchmark"] == "report_scale"
    assert (figures["candidates"], figures["outcomes"]) == (3 * 1_266, 3 * 51)
    assert list(figures["commands"]) == ["table", "json", "page", "charts"]
    assert all(each["peak_bytes"] > 0 for each in figures["commands"].values())
    assert (tmp_path / "scale.sqlite").is_file()

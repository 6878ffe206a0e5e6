"""`edgesearch calibrate`: measures anew, keeps it, and shows how well it fits. On the real built-in models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from edgesearch.planner import profile_cache

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where profiles are kept."""
    monkeypatch.setattr(profile_cache, "default_folder", lambda: tmp_path / "profiles")
    return tmp_path / "profiles"


def test_json_has_the_profile_and_the_error_of_every_point(run: Run, folder: Path) -> None:
    result = run("calibrate", "--json", "--limit", "500ms")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["schema_version"] == 1
    assert found["models"] == {"solver": "nano", "verifier": "nano-prm"}
    assert found["is_cached"] is False
    assert found["profile"]["prefill_token_s"] > 0
    assert found["points"]
    for point in found["points"]:
        assert point["error"] == pytest.approx(point["predicted_s"] / point["seconds"] - 1)
    kept = profile_cache.read(Path(found["path"]))
    assert kept.residual == found["profile"]["residual"]
    assert Path(found["path"]).parent == folder


def test_it_always_measures_anew(run: Run, folder: Path) -> None:
    first, again = (run("calibrate", "--limit", "300ms", "--verifier", "none") for _ in range(2))
    assert "Measuring passes ..." in first.stderr
    assert "Measuring passes ..." in again.stderr
    assert len(list(folder.iterdir())) == 1


def test_text_has_a_row_for_each_width_and_says_where_the_profile_is(run: Run) -> None:
    result = run("calibrate", "--verifier", "none")
    assert result.exit_code == 0, result.stderr
    assert "nano with no verifier" in result.stdout
    rows = [line.split() for line in result.stdout.splitlines() if line.endswith(("%", "not fitted"))]
    assert {1, 3, 4, 16, 64} <= {int(row[0]) for row in rows}
    assert "Passes that were not fitted are predicted within" in result.stdout
    assert "Kept in " in result.stdout


def test_a_folder_that_cannot_be_written_is_a_warning(run: Run, folder: Path) -> None:
    folder.write_text("a file where the folder should be")
    result = run("calibrate", "--limit", "300ms", "--verifier", "none")
    assert result.exit_code == 0
    assert "could not be kept" in result.stderr
    assert "It could not be kept." in result.stdout


@pytest.mark.parametrize(
    ("args", "exit_code", "message"),
    [
        (("--limit", "soon"), 2, "'soon' is not a time"),
        (("--limit", "0"), 2, "is not a time"),
        (("--limit", "2h"), 2, "more than an hour"),
        (("--threads", "0"), 2, "threads"),
        (("--model", "no-such-model"), 4, "no solver is named"),
        (("--verifier", "no-such-verifier"), 4, "no verifier is named"),
    ],
)
def test_what_cannot_be_used_is_said(run: Run, args: tuple[str, ...], exit_code: int, message: str) -> None:
    result = run("calibrate", *args)
    assert result.exit_code == exit_code
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (3e-9, "0.003 us"), (1.5e-6, "1.5 us"), (0.0123, "12.3 ms"), (90, "90 s")]
)
def test_seconds_are_told_in_the_unit_that_suits_them(part: Callable[[str], Any], seconds: float, words: str) -> None:
    assert part("render_profile").duration(seconds) == words

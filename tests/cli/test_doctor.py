"""`edgesearch doctor`: what a solve reckons with, what budgets mean, and what could be better."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from edgesearch.engines import probe as weights_probe
from edgesearch.errors import SandboxUnavailable
from edgesearch.planner import policy, profile_cache
from edgesearch.sandbox import probe
from edgesearch.sandbox.tiers import TIERS
from edgesearch.sandbox.worker_tiers import WORKER_TIERS

Run = Callable[..., Result]

CHECKS = [
    "repacked weights",
    "threads",
    "load",
    "profile",
    "ONNX Runtime",
    "sandbox",
    "programs of models",
    "profiles",
    "policies",
]


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Where profiles and policies are kept."""
    found = {name: tmp_path / name for name in ("profiles", "policies")}
    for path in found.values():
        path.mkdir()
    monkeypatch.setattr(profile_cache, "default_folder", lambda: found["profiles"])
    monkeypatch.setattr(policy, "user_folder", lambda: found["policies"])
    return found


def checks_of(result: Result) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in json.loads(result.stdout)["checks"]}


def test_json_has_speeds_budgets_and_checks(run: Run) -> None:
    result = run("doctor", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert [speed["width"] for speed in found["speeds"]] == [1, 4, 16]
    for speed in found["speeds"]:
        assert speed["tokens_per_s"] == pytest.approx(speed["width"] * speed["passes_per_s"])
    assert found["least_budget_s"] > 0
    assert found["sequence_bytes"] > 0
    widths = [budget["n"] for budget in found["budgets"]]
    assert [budget["budget_s"] for budget in found["budgets"]] == [1, 10, 30]
    assert widths == sorted(widths)
    assert list(checks_of(result)) == CHECKS


def test_the_first_run_measures_and_the_next_one_takes_that(run: Run) -> None:
    first, again = run("doctor", "--json"), run("doctor", "--json")
    assert "Measuring passes ..." in first.stderr
    assert again.stderr == ""
    found = [json.loads(result.stdout) for result in (first, again)]
    assert [each["is_cached"] for each in found] == [False, True]
    assert found[0]["least_budget_s"] == found[1]["least_budget_s"]


def test_text_says_what_budgets_mean(run: Run) -> None:
    result = run("doctor", "--verifier", "none")
    assert result.exit_code == 0, result.stderr
    assert "nano with no verifier" in result.stdout
    assert "verifier        free" in result.stdout
    assert "one greedy solution takes about" in result.stdout
    assert "   10 s: " in result.stdout
    for name in CHECKS:
        assert f" {name}: " in result.stdout


def test_damaged_files_are_told(run: Run, folders: dict[str, Path]) -> None:
    run("doctor", "--verifier", "none")
    (folders["profiles"] / "other.json").write_text("{}")
    (folders["profiles"] / "older.bad").write_text("{}")
    (folders["policies"] / "mine.json").write_text("[]")
    checks = checks_of(run("doctor", "--verifier", "none", "--json"))
    assert not checks["profiles"]["is_ok"]
    assert checks["profiles"]["text"].startswith("1 file in ")
    assert "older.bad, other.json" in checks["profiles"]["text"]
    assert "mine.json" in checks["policies"]["text"]


def test_a_damaged_profile_of_this_device_is_told_and_measured_anew(run: Run) -> None:
    path = Path(json.loads(run("doctor", "--verifier", "none", "--json").stdout)["path"])
    path.write_text("damaged")
    result = run("doctor", "--verifier", "none")
    assert result.exit_code == 0
    assert "cannot be used" in result.stderr
    assert "measured now" in result.stdout


def test_what_slows_a_solve_down_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_probe, "extra_buffers_work", lambda: False)
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0, 0.0, 0.0), raising=False)
    monkeypatch.setattr(probe, "find", lambda: TIERS["limits"])
    checks = checks_of(run("doctor", "--verifier", "none", "--json"))
    for name in ("repacked weights", "load", "sandbox"):
        assert not checks[name]["is_ok"]
    assert "99.0 programs" in checks["load"]["text"]
    assert "your rights" in checks["sandbox"]["text"]


def test_what_programs_of_models_would_run_in_is_told_or_what_to_do_where_nothing_isolates_them(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise SandboxUnavailable("no sandbox works here; install bubblewrap")

    monkeypatch.setattr(probe, "find_for_programs", lambda: WORKER_TIERS["landlock"])
    found = checks_of(run("doctor", "--verifier", "none", "--json"))["programs of models"]
    assert found["is_ok"]
    assert found["text"].startswith("run in landlock, isolated; ")
    monkeypatch.setattr(probe, "find_for_programs", refuse)
    found = checks_of(run("doctor", "--verifier", "none", "--json"))["programs of models"]
    assert (found["is_ok"], found["text"]) == (False, "no sandbox works here; install bubblewrap")


def test_a_fit_that_is_far_off_is_told(part: Callable[[str], Any]) -> None:
    from edgesearch.engines.base import Pace
    from edgesearch.planner.profile import Profile

    rough = Profile.of_pace(Pace(((1, 0.1),), prefill_tokens_per_s=10), 0.0)
    check = part("doctor")._fit(profile_cache.Obtained(rough))
    assert not check.is_ok
    assert "edgesearch calibrate --limit 30s" in check.text


def test_an_unknown_model_is_said(run: Run) -> None:
    result = run("doctor", "--model", "no-such-model")
    assert result.exit_code == 4
    assert "no solver is named" in result.stderr

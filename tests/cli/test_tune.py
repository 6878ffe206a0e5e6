"""`edgesearch tune` on the built-in models: the table, the file, going on, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from edgesearch.bench import tuning
from edgesearch.planner import policy as policies

Tune = Callable[..., Result]
SMALL = ("--limit", "2", "--grid", "greedy; rebase:4", "--no-progress")


@pytest.fixture(autouse=True)
def _few_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing all problems that results are reported on takes many seconds."""
    monkeypatch.setattr(tuning, "_REPORTED_SIZE", 5)


@pytest.fixture
def tune(main: click.Command) -> Tune:
    return lambda *args: CliRunner().invoke(main, ["tune", *args])


def test_it_prints_a_table_and_writes_a_policy_that_goes_on_from_its_measurements(tune: Tune, tmp_path: Path):
    out = tmp_path / "policy.json"
    done = tune("arithmetic", *SMALL, "--out", str(out))
    assert done.exit_code == 0, done.output
    assert "Accuracy on problems that the setting was not chosen on" in done.stdout
    assert done.stdout.splitlines()[-1].startswith(f"{out}: policy of nano with nano-prm, 2 problems of arithmetic")
    policy = policies.load(out)
    assert [(row.strategy, row.n) for row in policy.overall] == [("greedy", 1), ("rebase", 4)]
    assert policy.solver.sha256 is not None
    measurements = tmp_path / "policy.measurements.jsonl"
    size = measurements.stat().st_size
    again = tune("arithmetic", *SMALL, "--out", str(out), "--json")
    assert again.exit_code == 0, again.output
    found: dict[str, Any] = json.loads(again.stdout)
    assert (found["schema_version"], found["path"]) == (1, str(out))
    assert found["tuned_on"]["num_problems"] == 2
    assert found["reliability"] is None
    assert [row["strategy"] for row in found["settings"]] == ["greedy", "rebase"]
    assert measurements.stat().st_size == size


def test_by_default_the_policy_goes_where_the_planner_looks(
    tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(policies, "user_folder", lambda: tmp_path / "data" / "policies")
    done = tune("arithmetic", *SMALL, "--verifier", "none")
    assert done.exit_code != 0  # rebase needs scores, and the grid was asked for
    assert "rebase needs a verifier" in done.stderr
    done = tune("arithmetic", "--limit", "2", "--grid", "majority:4", "--verifier", "none", "--no-progress")
    assert done.exit_code == 0, done.output
    (written,) = (tmp_path / "data" / "policies").glob("*.json")
    policy = policies.load(written)
    assert (policy.verifier, policy.bins) == (None, ())
    assert policies.find(policy.solver, None, folder=written.parent).path == written


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("nothing",), "unknown task"),
        (("arithmetic", "--grid", "rebase"), "needs widths"),
        (("arithmetic", "--limit", "0"), "--limit"),
        (("arithmetic", "--limit", "2", "--seed", "0"), "another --seed"),
        (("arithmetic", "--limit", "2", "--out", "nowhere/policy.json"), "must be a file in a folder that is there"),
        (("arithmetic", "--limit", "2", "--split", "nothing"), "split"),
        (("jsonl",), "file"),
    ],
)
def test_what_cannot_be_tuned_is_wrong_usage(tune: Tune, args: tuple[str, ...], said: str):
    done = tune(*args)
    assert done.exit_code == 2
    assert said in done.stderr


def test_a_file_that_is_not_a_policy_is_never_overwritten(tune: Tune, tmp_path: Path):
    out = tmp_path / "notes.json"
    out.write_text("my notes")
    done = tune("arithmetic", *SMALL, "--out", str(out))
    assert done.exit_code == 2
    assert "is not a policy" in done.stderr
    assert out.read_text() == "my notes"

"""Policies: what they say to run, that a file is trusted in nothing, and which file is used."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesearch import catalog
from edgesearch.errors import IntegrityError, UsageError
from edgesearch.planner import policy as policies
from edgesearch.planner.confidence import Calibration, Reliability, ReliabilityBin, Stopped
from edgesearch.planner.policy import Bin, Policy, Row, TunedOn, Weights
from edgesearch.tasks import load as load_task

NANO, PRM = Weights("nano", "a" * 64), Weights("nano-prm", "b" * 64)


def row(strategy: str = "rebase", n: int = 4, accuracy: float = 0.5, seconds: float = 1.0) -> Row:
    return Row(strategy, n, 1, accuracy, (0.0, 1.0), 40.0, 60.0, 40.0 * n, 3.0, 20.0 * n, seconds)


ROWS = (
    row("greedy", 1, 0.3, 0.1),
    row("rebase", 4, 0.5, 0.2),
    row("rebase", 16, 0.7, 0.5),
    row("beam", 64, 0.703, 2.0),
)
RELIABILITY = Reliability(50, 400, 0.06, 0.2, 0.02, (ReliabilityBin(0.5, 0.4, 1.0),), (Stopped(0.95, 0.6, 0.98, 8.0),))
POLICY = Policy(
    solver=NANO,
    verifier=PRM,
    tuned_on=TunedOn("arithmetic", "mixed", 1_000_000, 100, "c" * 64, "arithmetic"),
    date="2026-01-31",
    edgesearch="0.1.0",
    overall=ROWS,
    edges=(0.9, 0.7, 0.5, 0.2),
    bins=tuple(Bin(20, share, (row("rebase", 4, share),)) for share in (1.0, 0.8, 0.6, 0.4, 0.2)),
    oracle_bins=(),
    calibration=Calibration(-1.0, 0.5, 0.7, 2.0, 0.1, RELIABILITY),
)


def seconds_of(row: Row) -> float:
    return row.seconds


# -- what it says ----------------------------------------------------------------------------------------------------


def test_the_bins_cover_all_scores_from_easy_to_hard():
    assert [POLICY.bin_of(score) for score in (1.0, 0.9, 0.8999, 0.7, 0.5, 0.3, 0.2, 0.1999, 0.0)] == [
        1, 1, 2, 2, 3, 4, 4, 5, 5,
    ]  # fmt: skip


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_higher_score_is_never_a_harder_bin(one: float, other: float):
    low, high = sorted((one, other))
    found = POLICY.bin_of(high), POLICY.bin_of(low)
    assert found[0] is not None
    assert found[1] is not None
    assert 1 <= found[0] <= found[1] <= 5


def test_without_a_score_or_bins_there_is_no_bin_and_all_problems_count():
    without = dataclasses.replace(POLICY, edges=(), bins=())
    assert POLICY.bin_of(None) is None
    assert without.bin_of(0.5) is None
    assert POLICY.rows(None) == without.rows(3) == ROWS
    assert POLICY.rows(3) == POLICY.bins[2].rows


@pytest.mark.parametrize(
    ("left_s", "chosen"), [(0.05, None), (0.1, ("greedy", 1)), (0.3, ("rebase", 4)), (0.5, ("rebase", 16))]
)
def test_the_most_accurate_setting_that_fits_is_best(left_s: float, chosen: tuple[str, int] | None):
    found = POLICY.best(None, seconds_of, left_s)
    assert (None if found is None else (found.strategy, found.n)) == chosen


def test_a_cheaper_setting_within_the_tolerance_is_taken():
    best = POLICY.best(None, seconds_of, 10.0)
    exact = POLICY.best(None, seconds_of, 10.0, tolerance=0.0)
    assert best is not None
    assert exact is not None
    assert (best.n, exact.n) == (16, 64)


def test_the_seconds_are_those_of_the_device_and_not_of_the_tuning_machine():
    found = POLICY.best(None, lambda row: row.decoded_tokens / 100, 2.0)
    assert found is not None
    assert (found.strategy, found.n) == ("rebase", 4)


# -- the file --------------------------------------------------------------------------------------------------------


def test_a_file_says_what_was_written():
    assert policies.loads(POLICY.dumps()) == POLICY
    bare = dataclasses.replace(POLICY, verifier=None, calibration=None, edges=(), bins=())
    assert policies.loads(bare.dumps()) == bare


def changed(*keys: str | int, to: Any) -> str:
    """The file with another value at that place."""
    content = json.loads(POLICY.dumps())
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = to
    return json.dumps(content)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Expecting value"),
        ("[]", "not a JSON object"),
        ("[" * 100_000, "nested too deeply"),
        ("{}", "schema_version"),
        (changed("schema_version", to=2), "schema_version must be 1"),
        (changed("schema_version", to=True), "schema_version must be 1"),
        (changed("extra", to=1), "'extra' is unknown"),
        (changed("overall", 0, "accuracy", to=1.5), r"overall\[0\]: accuracy must be in \[0, 1\]"),
        (changed("overall", 0, "accuracy", to="1"), r"overall\[0\]\.accuracy must be a number"),
        (changed("overall", 0, "accuracy", to=True), r"overall\[0\]\.accuracy must be a number"),
        (changed("overall", 0, "seconds", to=10**400), "too large"),
        (changed("overall", 0, "n", to=1.0), r"overall\[0\]\.n must be a whole number"),
        (changed("overall", 0, "n", to=0), "n must be in"),
        (changed("overall", 0, "decode_passes", to=-1.0), "decode_passes must be >= 0"),
        (changed("overall", 0, "accuracy_interval", to=[0.5]), "a list of 2"),
        (changed("overall", 0, "accuracy_interval", to=[0.9, 0.1]), "ascending"),
        (changed("overall", to=[]), "one row or more"),
        (changed("overall", to=[0] * 3000), "a list of at most"),
        (changed("edges", to=[0.1, 0.2, 0.3, 0.4]), "descending"),
        (changed("edges", to=[]), "one fewer than bins"),
        (changed("bins", to=[]), "one fewer than bins"),
        (changed("solver", "name", to="x" * 201), "one line of at most 200"),
        (changed("solver", "name", to="\x1b[2J"), "one line of at most 200"),
        (changed("solver", "sha256", to="nothing"), "hexadecimal"),
        (changed("solver", to=None), "must be an object"),
        (changed("calibration", "caution", to=-1.0), "caution must be >= 0"),
        (changed("date", to="yesterday"), "YYYY-MM-DD"),
        (POLICY.dumps().replace("0.3", "NaN"), "NaN"),
    ],
)
def test_a_file_is_trusted_in_nothing(text: str, said: str):
    with pytest.raises(ValueError, match=said):
        policies.loads(text)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists))
def test_no_value_in_a_file_does_more_than_be_refused(value: Any):
    for keys in (("overall",), ("bins", 0), ("calibration",), ("edges",), ("tuned_on", "num_problems")):
        try:
            policies.loads(changed(*keys, to=value))
        except ValueError:
            continue


def test_a_file_that_is_no_policy_is_told_with_its_path(tmp_path: Path):
    path = tmp_path / "policy.json"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(IntegrityError, match=r"policy\.json is not a usable policy"):
        policies.load(path)
    path.write_bytes(b" " * (policies.MAX_FILE_BYTES + 1))
    with pytest.raises(IntegrityError, match="bytes"):
        policies.load(path)
    with pytest.raises(UsageError, match="cannot be read"):
        policies.load(tmp_path / "nothing.json")


# -- which file ------------------------------------------------------------------------------------------------------


@pytest.fixture
def builtin(tmp_path: Path) -> Path:
    path = tmp_path / "builtin.json"
    path.write_text(POLICY.dumps())
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "policies"
    path.mkdir()
    return path


def own_file(folder: Path) -> Path:
    return folder / policies.file_name(NANO, PRM)


def test_the_one_that_the_user_tuned_comes_before_the_one_that_came_with_the_solver(builtin: Path, folder: Path):
    assert policies.find(NANO, PRM, builtin=builtin, folder=folder).path == builtin
    own_file(folder).write_text(dataclasses.replace(POLICY, date="2026-02-01").dumps())
    found = policies.find(NANO, PRM, builtin=builtin, folder=folder)
    assert (found.path, found.warnings) == (own_file(folder), ())


def test_one_that_is_named_comes_before_all(builtin: Path, folder: Path, tmp_path: Path):
    own_file(folder).write_text(POLICY.dumps())
    named = tmp_path / "named.json"
    named.write_text(POLICY.dumps())
    assert policies.find(NANO, PRM, explicit=named, builtin=builtin, folder=folder).path == named


def test_a_damaged_one_of_the_users_is_told_and_left_as_it_is(builtin: Path, folder: Path):
    own_file(folder).write_text("{")
    found = policies.find(NANO, PRM, builtin=builtin, folder=folder)
    assert found.path == builtin
    assert len(found.warnings) == 1
    assert "not a usable policy" in found.warnings[0]
    assert own_file(folder).read_text() == "{"


def test_a_foreign_one_of_the_users_is_told_and_left_as_it_is(folder: Path):
    foreign = dataclasses.replace(POLICY, solver=Weights("other", "d" * 64)).dumps()
    own_file(folder).write_text(foreign)
    found = policies.find(NANO, PRM, folder=folder)
    assert found.policy is None
    assert "was tuned for other" in found.warnings[0]
    assert own_file(folder).read_text() == foreign


def test_with_another_verifier_the_one_that_came_with_the_solver_is_not_used_and_nothing_is_wrong(
    builtin: Path, folder: Path
):
    for verifier in (None, Weights("consensus", None), Weights("nano-prm", "e" * 64)):
        assert policies.find(NANO, verifier, builtin=builtin, folder=folder) == policies.Found(None)


def test_a_model_is_known_by_its_file_and_not_by_its_name(builtin: Path, folder: Path):
    renamed = Weights("copy-of-nano", NANO.sha256)
    assert policies.find(renamed, PRM, builtin=builtin, folder=folder).path == builtin
    assert policies.find(Weights("nano", "f" * 64), PRM, builtin=builtin, folder=folder).policy is None


def test_a_verifier_without_a_file_is_known_by_its_name(folder: Path, tmp_path: Path):
    path = tmp_path / "certainty.json"
    path.write_text(dataclasses.replace(POLICY, verifier=Weights("certainty", None)).dumps())
    assert policies.find(NANO, Weights("certainty", None), builtin=path, folder=folder).path == path
    assert policies.find(NANO, Weights("certainty:entropy", None), builtin=path, folder=folder).path is None


def test_one_that_is_named_must_be_whole_and_of_these_models(builtin: Path, folder: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="was tuned for nano"):
        policies.find(Weights("other", "d" * 64), PRM, explicit=builtin, folder=folder)
    builtin.write_text("{}")
    with pytest.raises(IntegrityError):
        policies.find(NANO, PRM, explicit=builtin, folder=folder)
    with pytest.raises(UsageError):
        policies.find(NANO, PRM, explicit=tmp_path / "nothing.json", folder=folder)


def test_a_file_name_is_safe_whatever_a_model_is_called():
    name = policies.file_name(Weights("../../etc/passwd\n", "a" * 64), Weights("product:a,b", None))
    assert name == "etc-passwd-aaaaaaaaaaaa-with-product-a-b.json"


# -- the one that ships ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped() -> Policy:
    spec = catalog.solver("nano")
    assert spec.policy is not None
    return policies.load(spec.policy)


def test_the_built_in_solver_has_a_policy_for_it_and_its_verifier(shipped: Policy, folder: Path):
    spec = catalog.solver("nano")
    found = policies.find(*policies.models(spec, "auto"), builtin=spec.policy, folder=folder)
    assert found == policies.Found(shipped, spec.policy)
    assert policies.find(*policies.models(spec, "none"), builtin=spec.policy, folder=folder).policy is None


def test_the_built_in_policy_says_to_search_wider_where_there_is_more_time(shipped: Policy):
    narrow = shipped.best(None, seconds_of, 0.0 + min(row.seconds for row in shipped.overall))
    wide = shipped.best(None, seconds_of, 1e9)
    assert narrow is not None
    assert wide is not None
    assert narrow.strategy == "greedy"
    assert wide.n >= 16
    assert wide.accuracy > narrow.accuracy + 0.1


def test_the_built_in_confidence_is_honest_where_it_stops(shipped: Policy):
    assert shipped.calibration is not None
    found = shipped.calibration.reliability
    assert found is not None
    assert found.brier < found.base_brier / 2
    assert all(each.accuracy >= each.threshold for each in found.stopped)


def test_no_problem_of_the_built_in_policy_is_one_that_results_are_reported_on(shipped: Policy):
    tuned_on = shipped.tuned_on
    size = tuned_on.num_problems + len(tuned_on.left_out)
    drawn = load_task("arithmetic", split=tuned_on.split, seed=tuned_on.seed, limit=size)
    kept = tuple(sample for sample in drawn.samples if sample.id not in tuned_on.left_out)
    assert dataclasses.replace(drawn, samples=kept).digest == tuned_on.digest
    texts = {sample.question for sample in kept}
    for seed in range(3):
        reported = load_task("arithmetic", split="mixed", seed=seed, limit=300)
        assert texts.isdisjoint(sample.question for sample in reported.samples)

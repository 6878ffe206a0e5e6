"""Kept profiles: measured once for each set of models, device and build; whatever is wrong with a file is told."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from timed_engine import TimedEngine

from edgesearch import catalog
from edgesearch.budget import ManualClock
from edgesearch.engines.base import EngineInfo
from edgesearch.engines.llama_cpp import LlamaCppEngine
from edgesearch.engines.scripted import ScriptedEngine
from edgesearch.errors import ModelNotFound
from edgesearch.planner import profile_cache
from edgesearch.planner.profile_cache import Obtained, fingerprint, obtain, verifier_file
from edgesearch.verifiers import loading
from edgesearch.verifiers.scripted import ScriptedVerifier


@pytest.fixture
def solver(tmp_path: Path) -> Path:
    """A solver's file."""
    path = tmp_path / "solver.gguf"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of profiles; not there yet."""
    return tmp_path / "cache" / "profiles"


def got(solver: Path, folder: Path, engine: TimedEngine | None = None, **options: object) -> Obtained:
    """A profile from that folder, of a made-up engine without a verifier."""
    engine = TimedEngine() if engine is None else engine
    settings = {"verifier_path": None, **options}
    return obtain(engine, settings.pop("verifier", None), solver_path=solver, folder=folder, **settings)


def test_a_device_is_measured_once(solver: Path, folder: Path):
    first, again = TimedEngine(), TimedEngine()
    measured = got(solver, folder, first)
    kept = got(solver, folder, again)
    assert first.timed
    assert not again.timed
    assert (measured.is_cached, kept.is_cached) == (False, True)
    assert measured.profile == kept.profile
    assert measured.warnings == kept.warnings == ()
    assert kept.path == measured.path
    assert [path.name for path in folder.iterdir()] == [kept.path.name]


def test_it_is_measured_again_when_that_is_asked_for(solver: Path, folder: Path):
    got(solver, folder, TimedEngine(scale=2))
    fresh = got(solver, folder, TimedEngine(), is_fresh=True)
    assert not fresh.is_cached
    assert got(solver, folder).profile == fresh.profile


def test_another_model_device_build_or_number_of_threads_is_another_profile(solver: Path, folder: Path):
    def with_info(**changes: object) -> TimedEngine:
        engine = TimedEngine()
        engine.info = EngineInfo("scripted", 1000, 4096, 16, "scripted", **changes)
        return engine

    newer = TimedEngine()
    newer.version = "made up 2.0"
    got(solver, folder)
    assert not got(solver, folder, with_info(num_threads=3)).is_cached
    assert not got(solver, folder, with_info(device="gpu")).is_cached
    assert not got(solver, folder, newer).is_cached
    solver.write_bytes(b"heights")
    assert not got(solver, folder).is_cached
    assert len(list(folder.iterdir())) == 5


def test_a_profile_serves_narrower_engines_but_not_wider_ones(solver: Path, folder: Path):
    got(solver, folder, TimedEngine(max_sequences=16))
    assert got(solver, folder, TimedEngine(max_sequences=4)).is_cached
    wider = got(solver, folder, TimedEngine(max_sequences=32))
    assert not wider.is_cached
    assert wider.warnings == ()
    assert got(solver, folder, TimedEngine(max_sequences=16)).is_cached


def test_a_verifier_with_a_file_is_measured_and_part_of_what_the_profile_is_of(solver: Path, folder: Path):
    weights = solver.with_name("prm.onnx")
    weights.write_bytes(b"prm")
    engine = TimedEngine()
    verifier = ScriptedVerifier(lambda beam, index: 0.5, token_s=0.001)
    got(solver, folder)
    first = got(solver, folder, engine, verifier=verifier, verifier_path=weights)
    assert not first.is_cached
    assert verifier.calls
    assert got(solver, folder, verifier=verifier, verifier_path=weights).is_cached
    weights.write_bytes(b"PRM")
    assert not got(solver, folder, verifier=verifier, verifier_path=weights).is_cached


def test_a_verifier_without_a_file_is_never_asked_and_gives_its_own_estimate_each_time(solver: Path, folder: Path):
    for token_s in (0.25, 0.5):
        verifier = ScriptedVerifier(lambda beam, index: 0.5, clock=ManualClock(), token_s=token_s)
        found = got(solver, folder, verifier=verifier)
        assert found.profile.verify_s(3, 10) == 10 * token_s
        assert verifier.calls == []
    assert found.is_cached
    assert got(solver, folder).profile.verify_s(3, 10) == 0


def test_an_engine_that_cannot_be_timed_is_not_kept(folder: Path):
    engine = ScriptedEngine(lambda beam, seed: "", pass_s=0.25)
    found = obtain(engine, None, solver_path=Path("not there"), verifier_path=None, folder=folder)
    assert found.profile.pass_s(3, 0) == 0.25
    assert (found.path, found.is_cached, found.warnings) == (None, False, ())
    assert not folder.exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Expecting value"),
        (b"\xff\xfe", "utf-8"),
        (b"{}", "schema_version"),
        (b" " * (profile_cache.MAX_FILE_BYTES + 1), "more than 262,144 bytes"),
    ],
)
def test_a_damaged_file_is_told_kept_beside_and_measured_anew(solver: Path, folder: Path, content: bytes, reason: str):
    path = got(solver, folder).path
    path.write_bytes(content)
    found = got(solver, folder)
    assert not found.is_cached
    [warning] = found.warnings
    assert reason in warning
    assert f"kept as {path.stem}.bad, and it was measured again" in warning
    assert path.with_suffix(".bad").read_bytes() == content
    assert got(solver, folder).is_cached


def test_a_file_of_another_device_under_this_name_is_not_used(solver: Path, folder: Path):
    path = got(solver, folder, TimedEngine(scale=9)).path
    content = json.loads(path.read_text())
    content["identity"]["device"] = "cpu: somebody else's"
    path.write_text(json.dumps(content))
    found = got(solver, folder)
    assert not found.is_cached
    assert "it is of another device, model or build" in found.warnings[0]
    assert found.profile.pass_s(1, 0) == pytest.approx(TimedEngine().pass_s(1, 0))


def test_a_folder_that_cannot_be_written_costs_a_warning(solver: Path, folder: Path):
    folder.parent.mkdir()
    folder.write_text("a file where the folder should be")
    found = got(solver, folder)
    assert found.profile.points
    assert found.path is None
    assert any("could not be kept" in warning and "make that folder writable" in warning for warning in found.warnings)


def test_a_file_that_cannot_be_moved_away_is_replaced(solver: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    path = got(solver, folder).path
    path.write_text("damaged")
    replace = os.replace

    def refuse(source: object, target: object) -> None:
        if str(target).endswith(".bad"):
            raise PermissionError(13, "Permission denied")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    assert "it could not be moved away (Permission denied)" in got(solver, folder).warnings[0]
    assert got(solver, folder).is_cached


def test_nothing_is_left_of_a_write_that_failed(solver: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    assert "No space left on device" in got(solver, folder).warnings[0]
    assert list(folder.iterdir()) == []


def test_a_fingerprint_is_of_the_size_and_both_ends(tmp_path: Path):
    size = 3 << 20
    content = bytearray(size)
    path = tmp_path / "weights"

    def of(changed: dict[int, int]) -> str:
        path.write_bytes(content)
        with path.open("r+b") as file:
            for place, value in changed.items():
                file.seek(place)
                file.write(bytes([value]))
        return fingerprint(path)

    plain = of({})
    assert len({plain, of({0: 1}), of({size - 1: 1}), of({size: 0})}) == 4
    assert of({size // 2: 1}) == plain  # the price of not reading it all


def test_the_file_of_a_verifier_is_that_of_its_one_model(tmp_path: Path):
    nano = catalog.solver("nano")
    own = catalog.verifier("nano-prm").path
    for reference in ("auto", "nano-prm", "outcome:nano-prm", str(own)):
        assert verifier_file(reference, nano) == own
    for reference in ("none", "consensus", "certainty", "product:nano-prm,certainty", "command:true", "judge:nano"):
        assert verifier_file(reference, nano) is None
    assert verifier_file("auto", catalog.SolverSpec("other", tmp_path)) is None
    with pytest.raises(ModelNotFound):
        verifier_file("no-such-prm", nano)


def test_the_built_in_models_are_measured_once(folder: Path):
    spec = catalog.solver("nano")
    engine = LlamaCppEngine(spec.path, name=spec.name, max_sequences=8, max_tokens=160, longest=160)
    verifier = loading.load("auto", spec, engine).verifier
    assert verifier is not None
    told: list[str] = []
    try:
        found = [
            obtain(
                engine,
                verifier,
                solver_path=spec.path,
                verifier_path=verifier_file("auto", spec),
                folder=folder,
                on_progress=told.append,
            )
            for _ in range(2)
        ]
    finally:
        verifier.close()
        engine.close()
    assert [each.is_cached for each in found] == [False, True]
    assert found[0].profile == found[1].profile
    assert told.count("prompts") == 1

"""Calibration: it finds the costs of a device, within the seconds granted."""

from __future__ import annotations

import dataclasses

import pytest
from timed_engine import TimedEngine

from edgesearch import catalog
from edgesearch.budget import Budget, ManualClock
from edgesearch.engines.base import Draft, Pace
from edgesearch.engines.llama_cpp import LlamaCppEngine
from edgesearch.engines.scripted import ScriptedEngine
from edgesearch.errors import EdgesearchError
from edgesearch.planner.calibrate import calibrate
from edgesearch.planner.profile import ROUGH_RESIDUAL
from edgesearch.types import Beam, Prompt, Sampling
from edgesearch.verifiers import loading
from edgesearch.verifiers.consensus import ConsensusVerifier
from edgesearch.verifiers.scripted import ScriptedVerifier


def verifier_on(clock: ManualClock, token_s: float = 0.001) -> ScriptedVerifier:
    return ScriptedVerifier(lambda beam, index: 0.5, clock=clock, token_s=token_s)


def test_the_costs_of_a_device_are_found():
    engine = TimedEngine()
    found = calibrate(engine, None, clock=engine.clock)
    for width, context in ((1, 0), (4, 100), (7, 300), (16, 1000)):
        assert found.pass_s(width, context) == pytest.approx(engine.pass_s(width, context))
    assert found.prefill_s(400) == pytest.approx(0.208)
    assert found.verify_s(10, 1000) == 0
    assert (found.fork_s, found.bytes_per_token, found.max_sequences) == (1e-5, 1000, 16)
    assert found.residual == pytest.approx(0, abs=1e-9)
    assert {point.width for point in found.points if not point.is_fitted} == {3, 12}


def test_widths_go_up_to_the_widest_that_there_is_room_for():
    for max_sequences, widths in ((1, {1}), (2, {1, 2}), (6, {1, 2, 4, 6}), (64, {1, 2, 4, 8, 16, 32, 64})):
        engine = TimedEngine(scale=0.01, max_sequences=max_sequences)
        found = calibrate(engine, None, clock=engine.clock)
        assert {point.width for point in found.points if point.is_fitted} == widths


@pytest.mark.parametrize("scale", [0.001, 1, 5, 20, 100])
def test_it_ends_within_the_seconds_granted_but_for_the_first_point(scale: float):
    engine = TimedEngine(scale=scale)
    found = calibrate(engine, None, limit_s=8, clock=engine.clock)
    first_s = 4 * engine.pass_s(1, 32) + 3 * engine.time_prefill(128)
    assert found.measured_s <= 8 + first_s
    assert found.pass_s(1, 0) == pytest.approx(engine.pass_s(1, 0), rel=0.1)


def test_a_quick_device_is_measured_several_times_but_not_for_long():
    engine = TimedEngine(scale=0.001)
    found = calibrate(engine, None, limit_s=8, clock=engine.clock)
    assert engine.timed.count((1, 32)) == 3
    assert found.measured_s < 1


def test_more_seconds_are_used_for_more_measurements():
    short, long = TimedEngine(scale=0.1), TimedEngine(scale=0.1)
    calibrate(short, None, limit_s=8, clock=short.clock)
    calibrate(long, None, limit_s=32, clock=long.clock)
    assert short.timed.count((1, 32)) < long.timed.count((1, 32))


def test_with_too_few_seconds_the_coarse_points_come_first():
    engine = TimedEngine(scale=8)
    found = calibrate(engine, None, limit_s=8, clock=engine.clock)
    assert {1, 16} <= {point.width for point in found.points} < {1, 2, 3, 4, 8, 12, 16}


def test_without_points_to_check_the_fit_on_the_residual_is_the_one_of_rough_profiles():
    engine = TimedEngine(scale=100)
    assert calibrate(engine, None, limit_s=1, clock=engine.clock).residual == ROUGH_RESIDUAL


def test_one_slow_pass_does_not_change_the_profile():
    class Hiccuping(TimedEngine):
        def time_pass(self, width: int, context_tokens: int, num_passes: int) -> list[float]:
            seconds = super().time_pass(width, context_tokens, num_passes)
            return [100.0, *seconds[1:]]

    engine = Hiccuping()
    assert calibrate(engine, None, clock=engine.clock).pass_s(4, 100) == pytest.approx(engine.pass_s(4, 100))


def test_an_engine_without_room_for_a_pass_gets_the_seconds_of_a_prompt():
    engine = TimedEngine(max_context=40)
    engine.most_passes = 0
    found = calibrate(engine, None, clock=engine.clock)
    assert found.pass_s(1, 0) == pytest.approx(engine.time_prefill(20))


def test_an_engine_that_cannot_be_timed_gets_a_rough_profile_of_its_own_pace():
    engine = ScriptedEngine(lambda beam, seed: "", pass_s=0.25)
    found = calibrate(engine, verifier_on(ManualClock(), 0.5))
    assert found.pass_s(8, 100) == 0.25
    assert found.verify_s(3, 10) == 5
    assert found.identity is None


def test_the_verifier_is_timed_on_made_up_solutions_and_keeps_nothing_of_them():
    engine = TimedEngine()
    verifier = verifier_on(engine.clock)
    found = calibrate(engine, verifier, clock=engine.clock)
    assert found.verify_s(0, 1000) == pytest.approx(1)
    assert found.verify_call_s == pytest.approx(0, abs=1e-9)
    assert set(verifier.calls) == {1, 4, 12}
    assert verifier.nodes == set()
    assert engine.nodes == set()


def test_a_cost_per_call_of_the_verifier_is_found():
    class Calling(ScriptedVerifier):
        def judge(self, beams):
            engine.clock.advance(0.02)
            return super().judge(beams)

    engine = TimedEngine()
    verifier = Calling(lambda beam, index: 0.5, clock=engine.clock, token_s=0.001)
    found = calibrate(engine, verifier, clock=engine.clock)
    assert found.verify_call_s == pytest.approx(0.02)
    assert found.verify_token_s == pytest.approx(0.001)


def test_a_verifier_that_is_too_slow_gives_its_own_estimate():
    engine = TimedEngine()
    verifier = verifier_on(engine.clock, 100.0)
    found = calibrate(engine, verifier, clock=engine.clock)
    assert verifier.calls == []
    assert found.verify_s(5, 10) == 1000


def test_a_verifier_that_fails_on_made_up_solutions_gives_its_own_estimate():
    class Failing(ScriptedVerifier):
        def judge(self, beams):
            raise EdgesearchError("no")

    engine = TimedEngine()
    found = calibrate(engine, Failing(lambda beam, index: 0.5, token_s=0.002), clock=engine.clock)
    assert found.verify_s(1, 100) == pytest.approx(0.2)


def test_a_verifier_without_weights_is_free():
    engine = TimedEngine()
    assert calibrate(engine, ConsensusVerifier(), clock=engine.clock).verify_s(10, 1000) == 0


def test_a_verifier_of_whole_solutions_is_given_finished_ones():
    class Outcome(ScriptedVerifier):
        def judge(self, beams):
            assert all(beam.finish == "stop" for beam in beams)
            return super().judge(beams)

    engine = TimedEngine()
    verifier = Outcome(lambda beam, index: 0.5, clock=engine.clock, token_s=0.001)
    verifier.info = dataclasses.replace(verifier.info, is_outcome=True)
    assert calibrate(engine, verifier, clock=engine.clock).verify_s(0, 10) == pytest.approx(0.01)
    assert verifier.calls


def test_it_tells_what_it_measures():
    engine, told = TimedEngine(), []
    calibrate(engine, verifier_on(engine.clock), clock=engine.clock, on_progress=told.append)
    assert told[:4] == ["prompts", "passes", "the verifier", "passes of other widths"]


@pytest.mark.parametrize("limit_s", [0, -1, float("nan"), 1e6])
def test_it_is_granted_a_sensible_time(limit_s: float):
    with pytest.raises(ValueError, match=r"limit_s must be in \(0, 3600\]"):
        calibrate(TimedEngine(), None, limit_s=limit_s)


# -- the built-in models ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nano():
    spec = catalog.solver("nano")
    engine = LlamaCppEngine(spec.path, name=spec.name, max_sequences=16, max_tokens=160, longest=160)
    verifier = loading.load("auto", spec, engine).verifier
    yield engine, verifier
    verifier.close()
    engine.close()


def test_the_built_in_models_are_measured(nano):
    engine, verifier = nano
    found = calibrate(engine, verifier)
    assert {point.width for point in found.points} == {1, 2, 3, 4, 8, 12, 16}
    assert 0 < found.pass_s(1, 50) <= found.pass_s(16, 50)
    assert 0 < found.prefill_token_s < 1
    assert 0 < found.verify_token_s < 1
    assert 0 < found.fork_s < 1
    assert found.bytes_per_token == engine.bytes_per_token > 0


def greedy_text(engine: LlamaCppEngine) -> str:
    prompt = Prompt("How can you make 29 from 4, 6 and 5, using each number once?")
    engine.open(prompt)
    engine.start(Draft(Beam(prompt), Sampling(temperature=0), 1, 160, is_to_end=True))
    while not (done := engine.advance(Budget(60).start())):
        pass
    engine.release([prompt.id])
    return done[0].beam.text


def test_the_engine_is_as_before_afterwards(nano):
    engine, _ = nano
    before = greedy_text(engine)
    calibrate(engine, None, limit_s=0.5)
    assert engine.kv_cells_peak == 0
    assert engine.warnings == ()
    assert greedy_text(engine) == before


def test_an_engine_tells_as_many_passes_as_it_is_asked_for_and_none_without_room(nano):
    engine, _ = nano
    assert len(engine.time_pass(16, 64, 5)) == 5
    assert engine.time_pass(18, 32, 5) == []  # 16 beams and a safety lane fit
    assert engine.time_pass(16, 1 << 20, 5) == []


def test_drafts_that_all_end_at_once_are_given_up(nano, monkeypatch):
    engine, _ = nano
    monkeypatch.setattr(engine, "_ends", frozenset(range(1000)))
    assert engine.time_pass(4, 32, 5) == []
    assert engine.pace.step_s(1) > 0


def test_loading_measures_no_pace_and_asking_for_it_does_so_once(monkeypatch):
    measured = []
    measure = LlamaCppEngine._measure

    def counted(engine: LlamaCppEngine) -> Pace:
        measured.append(engine)
        return measure(engine)

    monkeypatch.setattr(LlamaCppEngine, "_measure", counted)
    engine = LlamaCppEngine(catalog.solver("nano").path, max_sequences=2, max_tokens=64)
    assert measured == []
    assert engine.pace is engine.pace
    assert measured == [engine]
    engine.close()


def test_an_engine_at_work_is_not_timed(nano):
    engine, _ = nano
    prompt = Prompt("1 + 1 = ?")
    engine.open(prompt)
    for timed in (lambda: engine.time_pass(1, 32, 1), lambda: engine.time_prefill(8), engine.time_fork):
        with pytest.raises(AssertionError, match="timed while nothing is open"):
            timed()
    engine.release([prompt.id])

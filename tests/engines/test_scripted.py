import pytest

from edgesearch.engines.scripted import ScriptedEngine

from .engine_contract import EngineContract


class TestScriptedEngine(EngineContract):
    @pytest.fixture
    def engine(self):
        def write(beam, seed):
            steps = ("first w\n\n", "second w\n\n", r"the answer is \boxed{3}")
            return "".join(step.replace("w", f"w{seed}") for step in steps[len(beam.steps) :])

        return ScriptedEngine(write, max_sequences=16)

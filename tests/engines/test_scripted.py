import pytest

from edgesearch.budget import Budget
from edgesearch.engines.base import Draft
from edgesearch.engines.scripted import ScriptedEngine
from edgesearch.types import Beam, Prompt, Sampling

from .engine_contract import CLOSING, InProcessContract


class TestScriptedEngine(InProcessContract):
    @pytest.fixture
    def engine(self):
        def write(beam, seed):
            steps = ("first w\n\n", "second w\n\n", r"The answer is \boxed{3}")
            return "".join(step.replace(" w", f" w{seed}") for step in steps[len(beam.steps) :])

        return ScriptedEngine(write, max_sequences=16)


def test_a_solver_that_goes_on_after_its_answer_is_cut_off_one_token_later():
    engine = ScriptedEngine(lambda beam, seed: "so\n\nit is \\boxed{\\frac{1}{2}} and more\n\nand more")
    prompt = Prompt("a question")
    engine.open(prompt)
    draft = Draft(Beam(prompt), Sampling(), 0, 100)
    engine.start(draft)
    engine.advance(Budget(60).start())
    engine.hurry([draft.id], CLOSING, 50)
    done = []
    while not done:
        done = engine.advance(Budget(60).start())
    assert done[0].beam.text == "so" + CLOSING + "\\frac{1}{2}} "
    assert done[0].beam.finish == "length"  # the solver did not end its turn

"""The example checkers, run for real by the verifier that runs any command: Python, z3 and metamath."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgesearch.errors import EdgesearchError
from edgesearch.sandbox.base import Limits
from edgesearch.tasks.arithmetic import held_out
from edgesearch.types import Beam, Prompt, Step
from edgesearch.verifiers.command import CommandVerifier

CHECKERS = Path(__file__).parents[2] / "benchmarks" / "checkers"
COUNTDOWN = "How can you make 45 from 3, 5, 7 and 10, using each number once?"
EQUATION = "x*6+33=2*x+197. Which positive whole number does x stand for?"
CLAIM = "Prove |- ( ph -> ph ) in Metamath from propositional.mm."
PROOF = (
    "wph wph wph wi wi wph wph wi wph wph ax-1 wph wph wph wi wph wi wi wph wph wph wi wi wph wph wi wi "
    "wph wph wph wi ax-1 wph wph wph wi wph ax-2 ax-mp ax-mp"
)
"""That ph implies ph, by ax-1 twice, ax-2 and modus ponens: `idALT` of set.mm, written out."""


@pytest.fixture
def checker(request: pytest.FixtureRequest) -> Iterator[CommandVerifier]:
    """The verifier of the script that the test names."""
    name = request.param
    if name == "smt_check":
        pytest.importorskip("z3", reason="needs z3-solver")
    if name == "proof_check" and shutil.which("metamath") is None:
        pytest.skip("needs metamath")
    limits = Limits(wall_s=30, cpu_s=20)
    verifier = CommandVerifier([sys.executable, str(CHECKERS / f"{name}.py")], limits=limits)
    yield verifier
    verifier.close()


def with_checker(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("checker", [name], indirect=True, ids=[name])


def scores(verifier: CommandVerifier, problem: str, *texts: str) -> tuple[float, ...]:
    prompt = Prompt(problem)
    verifier.open(prompt, ())
    steps = tuple(Step(text, (1,), -1.0, "step") for text in texts[:-1])
    (judged,) = verifier.judge([Beam(prompt, (*steps, Step(texts[-1], (1,), -1.0, "stop")))])
    return judged.beam.scores


def boxed(answer: str) -> str:
    return f"The answer is \\boxed{{{answer}}}"


# -- countdown ---------------------------------------------------------------------------------------------------------


@with_checker("countdown_check")
@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("((7-3)*10)+5", 1.0),
        ("5 + 10*(7-3)", 1.0),
        ("45", 0.0),
        ("40+5", 0.0),
        ("7*5+10", 0.0),
        ("((7-3)*10)+5+0", 0.0),
        ("((7-3)*10)-5", 0.0),
        ("10/(7-7)+3-5", 0.0),
        ("7-3)*10+5", 0.0),
        ("__import__('os')._exit(0)", 0.0),
        ("(" * 150, 0.0),
        ("9" * 190, 0.0),
    ],
)
def test_countdown_is_right_where_the_sum_is(checker: CommandVerifier, answer: str, score: float) -> None:
    assert scores(checker, COUNTDOWN, "7-3=4\n\n", boxed(answer)) == (score, score)


@with_checker("countdown_check")
def test_a_solution_without_an_answer_is_not_right(checker: CommandVerifier) -> None:
    assert scores(checker, COUNTDOWN, "7-3=4") == (0.0,)


@with_checker("countdown_check")
def test_targets_of_generated_problems_are_right(checker: CommandVerifier) -> None:
    samples = [sample for sample in held_out(seed=3, count=120) if sample.family == "countdown"][:8]
    assert [scores(checker, sample.problem, boxed(sample.target)) for sample in samples] == [(1.0,)] * 8


@pytest.mark.parametrize("checker", ["countdown_check", "smt_check", "proof_check"], indirect=True)
def test_another_kind_of_problem_is_an_error_and_no_score(checker: CommandVerifier) -> None:
    with pytest.raises(EdgesearchError, match="exit status 2; its last line: this is no"):
        scores(checker, "What is the capital of France?", boxed("Paris"))


# -- z3 ----------------------------------------------------------------------------------------------------------------


@with_checker("smt_check")
def test_z3_scores_each_step_by_whether_it_follows(checker: CommandVerifier) -> None:
    texts = {
        "197-33=164\n\n": 1.0,  # true of any x
        "6-2=4\n\n": 1.0,
        "so 4*x = 164\n\n": 1.0,  # follows from the equation, by no rule that is written down anywhere
        "x=164/4=41\n\n": 1.0,
        "x*x=1681\n\n": 1.0,
        "164/4=42\n\n": 0.0,
        "x=42\n\n": 0.0,
        "x=164/0\n\n": 0.0,
        "now for the answer\n\n": 0.5,
        "2^3=8\n\n": 0.5,  # not read as 3=8
        "2.5=5/2\n\n": 0.5,
        boxed("41"): 1.0,
    }
    assert dict(zip(texts, scores(checker, EQUATION, *texts), strict=True)) == texts


@with_checker("smt_check")
@pytest.mark.parametrize("answer", ["42", "-41", "41.5", "x", "164/4+1", "4" * 500, "41; 42", ""])
def test_a_wrong_answer_scores_0_by_z3(checker: CommandVerifier, answer: str) -> None:
    assert scores(checker, EQUATION, "x=41\n\n", boxed(answer)) == (1.0, 0.0)


@with_checker("smt_check")
@pytest.mark.parametrize(
    "step", ["1=1" * 500, "(" * 5000 + "1=1", "9" * 6000 + "=1", "x" * 3000 + "=x", "-" * 179 + "1=1", "x=()", "x(1)=1"]
)
def test_a_hostile_step_proves_nothing(checker: CommandVerifier, step: str) -> None:
    assert scores(checker, EQUATION, step, boxed("41"))[0] in (0.0, 0.5)


@with_checker("smt_check")
def test_right_steps_of_generated_problems_follow(checker: CommandVerifier) -> None:
    samples = [sample for sample in held_out(seed=3, count=120) if sample.family == "equation"][:4]
    for sample in samples:
        texts = [*(f"{step}\n\n" for step in sample.steps), boxed(sample.target)]
        assert set(scores(checker, sample.problem, *texts)) == {1.0}


# -- metamath ----------------------------------------------------------------------------------------------------------


@with_checker("proof_check")
def test_metamath_verifies_a_proof(checker: CommandVerifier) -> None:
    assert scores(checker, CLAIM, "By ax-1 and ax-2.\n\n", boxed(PROOF)) == (1.0, 1.0)


@with_checker("proof_check")
@pytest.mark.parametrize(
    "proof",
    [
        "",
        "?",
        "wph ax-1",
        "wph wph ax-1",
        PROOF.removesuffix(" ax-mp"),
        PROOF + " ax-mp",
        PROOF.replace("ax-2", "ax-3"),
        "claim",
        "min",
        "$. claim2 $a |- ( ph -> ph ) $. $( " + PROOF,
        "$[ /etc/passwd $]",
        'exit" "read',
        "wph " * 3000,
    ],
    ids=lambda proof: proof[:12],
)
def test_what_metamath_does_not_verify_scores_0(checker: CommandVerifier, proof: str) -> None:
    assert scores(checker, CLAIM, boxed(proof)) == (0.0,)


@with_checker("proof_check")
def test_a_proof_of_something_else_is_no_proof(checker: CommandVerifier) -> None:
    assert scores(checker, CLAIM.replace("-> ph", "-> ps"), boxed(PROOF)) == (0.0,)


@with_checker("proof_check")
def test_a_problem_cannot_bring_symbols_of_its_own(checker: CommandVerifier) -> None:
    with pytest.raises(EdgesearchError, match="this is no problem"):
        scores(checker, "Prove |- ph $. x $a |- ps in Metamath.", boxed(PROOF))


def test_without_z3_the_checker_says_how_to_install_it() -> None:
    request: dict[str, Any] = {"problem": EQUATION, "text": "", "answer": None, "steps": []}
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(CHECKERS / "smt_check.py")],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "pip install z3-solver" in done.stderr

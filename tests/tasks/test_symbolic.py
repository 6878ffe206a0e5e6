"""The symbolic grader: its process is killed, replaced and never believed too easily. No test asserts a wall time.

Scripted workers stand in for math-verify where failures are made on purpose; the tests of the real worker are skipped
where math-verify is not installed.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch.errors import EdgesearchError, UsageError
from edgesearch.tasks import symbolic
from edgesearch.tasks.symbolic import Comparison, Group, SymbolicGrader, structure

SHORT_S = 0.3
LONG_S = 60.0  # where a verdict is wanted however busy the machine is
NUMBERS = itertools.count(1)  # no question is asked twice, since verdicts are kept
needs_math_verify = pytest.mark.skipif(
    importlib.util.find_spec("math_verify") is None, reason="math-verify is not installed (extra bench)"
)

# A worker whose behaviour is the first letter of the target; it tells its process id as the reason.
SCRIPTED = """
import json, os, sys, time
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    behaviour = request["target"][:1]
    if behaviour == "h":
        time.sleep(600)
    if behaviour == "c":
        os._exit(3)
    if behaviour == "g":
        print("\\x1b[0m not JSON", flush=True)
        continue
    if behaviour == "b":
        print("[1, 2]", flush=True)
        continue
    if behaviour == "o":
        request["id"] -= 1
    verdict = "maybe" if behaviour == "m" else "equal"
    print(json.dumps({"id": request["id"], "verdict": verdict, "reason": str(os.getpid())}), flush=True)
"""
# The real worker around another judge.
AROUND = """
import os, sys
from edgesearch.tasks import symbolic_worker
class Judge:
    def __init__(self):
        {start}
    def compare(self, target, answer):
        if target == symbolic_worker.WARM_UP[0]:
            return "equal", "warm"
        {compare}
symbolic_worker.Judge = Judge
sys.exit(symbolic_worker.main(float(sys.argv[1])))
"""


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def around(compare: str, start: str = "pass") -> list[str]:
    return python(AROUND.format(start=start, compare=compare))


@pytest.fixture
def scripted() -> Iterator[SymbolicGrader]:
    with SymbolicGrader(SHORT_S, command=python(SCRIPTED)) as grader:
        yield grader


@pytest.fixture(scope="module")
def real() -> Iterator[SymbolicGrader]:
    with SymbolicGrader(LONG_S) as grader:
        yield grader


def process_id(grader: SymbolicGrader) -> str:
    """Of the worker that answers now; asks again where a busy machine let the short cap pass."""
    for _ in range(100):
        number = next(NUMBERS)
        comparison = grader.compare(f"x+{number}", f"{number}+x")
        if comparison.verdict == "equal":
            return comparison.reason
    raise AssertionError("the worker never answered")


# ------------------------------------------------------------------------------------- the process, scripted


def test_nothing_is_started_before_there_is_something_to_ask(scripted: SymbolicGrader) -> None:
    assert scripted.compare("5", "6") == Comparison("different", "numbers and words", False)
    assert scripted.num_started == 0


def test_one_process_answers_many_questions() -> None:
    with SymbolicGrader(LONG_S, command=python(SCRIPTED)) as grader:
        replies = {grader.compare(f"x+{number}", f"{number}+x").reason for number in range(20)}
        assert len(replies) == grader.num_started == 1


def test_a_worker_that_hangs_is_killed_and_replaced(scripted: SymbolicGrader) -> None:
    before = process_id(scripted)
    assert scripted.compare("h+1", "1+h") == Comparison("unknown", "no verdict within 0.3 s", True)
    started = scripted.num_started
    assert process_id(scripted) != before
    assert scripted.num_started > started


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("c", "the worker died"),
        ("g", "the worker replied nonsense"),
        ("b", "the worker replied nonsense"),
        ("o", "the worker replied nonsense"),
        ("m", "the worker replied nonsense"),
    ],
    ids=["crash", "garbage", "not an object", "another question's id", "no such verdict"],
)
def test_a_worker_that_fails_gives_no_verdict_and_is_replaced(behaviour: str, reason: str) -> None:
    with SymbolicGrader(LONG_S, command=python(SCRIPTED)) as grader:
        before = process_id(grader)
        assert grader.compare(f"{behaviour}+1", f"1+{behaviour}") == Comparison("unknown", reason, True)
        assert process_id(grader) != before
        assert grader.num_started == 2


def test_a_worker_that_ended_between_questions_is_replaced_unnoticed() -> None:
    once = SCRIPTED.replace('print(json.dumps({"id"', 'answered = True\n    print(json.dumps({"id"') + "    break\n"
    with SymbolicGrader(LONG_S, command=python(once)) as grader:
        assert grader.compare("x+1", "1+x").verdict == "equal"
        grader._worker._process.wait()  # type: ignore[union-attr]
        assert grader.compare("x+2", "2+x").verdict == "equal"
        assert grader.num_started == 2


def test_a_worker_is_replaced_after_many_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symbolic, "_MAX_QUESTIONS", 3)
    with SymbolicGrader(LONG_S, command=python(SCRIPTED)) as grader:
        assert all(grader.compare(f"x+{number}", f"{number}+x").verdict == "equal" for number in range(9))
        assert grader.num_started == 3


def test_verdicts_are_kept_so_that_a_hang_costs_its_cap_once(scripted: SymbolicGrader) -> None:
    first = scripted.compare("h+1", "1+h")
    started = scripted.num_started
    assert scripted.compare("h+1", "1+h") is first
    assert scripted.num_started == started


def test_the_cache_is_bounded(scripted: SymbolicGrader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symbolic, "MAX_CACHED", 2)
    for number in range(5):
        scripted.compare("5", str(number))
    assert list(scripted._cache) == [("5", "3"), ("5", "4")]


def test_a_closed_grader_has_no_process_and_starts_another_when_asked() -> None:
    grader = SymbolicGrader(LONG_S, command=python(SCRIPTED))
    before = process_id(grader)
    process = grader._worker._process  # type: ignore[union-attr]
    grader.close()
    grader.close()
    assert process.returncode is not None
    assert process_id(grader) != before
    grader.close()


def test_an_interrupted_question_ends_its_worker(scripted: SymbolicGrader, monkeypatch: pytest.MonkeyPatch) -> None:
    process_id(scripted)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(symbolic._Worker, "ask", interrupt)
        with pytest.raises(KeyboardInterrupt):
            scripted.compare("y+1", "1+y")
    assert scripted._worker is None


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (python("import sys; sys.exit(1)"), "does not start; to see why, run"),
        (python("print('Welcome!')"), "does not start; to see why, run"),
        (around("pass", start="raise ImportError('no antlr')"), r"no antlr.*pip install 'edgesearch\[bench\]'"),
    ],
    ids=["exit", "another program", "a missing part"],
)
def test_a_worker_that_cannot_start_is_an_error_that_says_what_to_do(command: list[str], message: str) -> None:
    with SymbolicGrader(command=command) as grader, pytest.raises(EdgesearchError, match=message):
        grader.compare("x+1", "1+x")


def test_a_missing_math_verify_is_reported_at_once_with_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'edgesearch\[bench\]'"):
        SymbolicGrader()


@pytest.mark.parametrize("cap_s", [0.0, -1.0, float("nan")])
def test_a_cap_must_be_positive(cap_s: float) -> None:
    with pytest.raises(ValueError, match="cap_s"):
        SymbolicGrader(cap_s, command=python(SCRIPTED))


def test_a_verdict_must_be_one_of_three() -> None:
    with pytest.raises(ValueError, match="verdict"):
        Comparison("maybe", "", True)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------- the worker, other judges


def test_what_a_library_prints_does_not_reach_the_protocol() -> None:
    noise = "print('noise'); sys.__stdout__.flush(); os.write(1, b'more noise\\n'); return 'equal', 'quiet'"
    with SymbolicGrader(LONG_S, command=around(noise)) as grader:
        assert grader.compare("x+1", "1+x") == Comparison("equal", "quiet", True)
        assert grader.compare("x+2", "2+x") == Comparison("equal", "quiet", True)


def test_an_exception_in_math_verify_is_no_verdict_and_costs_no_process() -> None:
    with SymbolicGrader(LONG_S, command=around("raise RecursionError")) as grader:
        assert grader.compare("x+1", "1+x") == Comparison("unknown", "RecursionError in math-verify", True)
        assert grader.compare("x+2", "2+x").verdict == "unknown"
        assert grader.num_started == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems may ignore the limit")
def test_a_worker_that_wants_too_much_memory_dies() -> None:
    with SymbolicGrader(LONG_S, command=around("return 'equal', str(len(bytes(2 << 30)))")) as grader:
        assert grader.compare("x+1", "1+x") == Comparison("unknown", "the worker died", True)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_a_worker_without_a_client_does_not_compute_for_ever() -> None:
    command = [*around("\n        while True: pass"), "0.1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.communicate(json.dumps({"id": 0, "target": "x", "answer": "y"}).encode() + b"\n")
        assert process.returncode < 0


# -------------------------------------------------------------------------------------------------- structure


@pytest.mark.parametrize(
    ("key", "tree"),
    [
        ("x+1", "x+1"),
        ("(x+1)(x+2)", "(x+1)(x+2)"),
        ("(1,2]", Group("(]", ("1", "2"))),
        ("{1,(2,x)}", Group("{}", ("1", Group("()", ("2", "x"))))),
        (r"(1,2)\cup[3,4]", Group("union", (Group("()", ("1", "2")), Group("[]", ("3", "4"))))),
        (r"\begin{matrix}1&x\\2&3\end{matrix}", Group("rows", (Group("row", ("1", "x")), Group("row", ("2", "3"))))),
        ("((x))", "x"),
    ],
)
def test_a_canonical_answer_is_taken_apart(key: str, tree: symbolic.Tree) -> None:
    assert structure(key) == tree


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        ("x+1, x+2", "x+1"),
        ("x+1", "x+1, x+2"),
        (r"1 \pm \sqrt{2}", r"1 + \sqrt{2}"),
        (r"(x+1, 2)", r"\{x+1, 2\}"),
        (r"[x+1, 2)", r"[x+1, 2]"),
        (r"(x, y), (1, 2)", r"(x, y)"),
        (r"\begin{pmatrix} x+1 \\ 2 \end{pmatrix}", "(x+1, 2)"),
        ("52_8", "x+1"),
        ("west", "x+1"),
    ],
)
def test_no_worker_can_make_another_structure_equal(scripted: SymbolicGrader, target: str, answer: str) -> None:
    assert scripted.compare(target, answer).verdict == "different"
    assert scripted.num_started == 0


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("12:00+x", "not plain mathematics"),
        (r"1+\ldots+x", "not plain mathematics"),
        (r"\input{x}", "not plain mathematics"),
        ("x @ 3", "not plain mathematics"),
        ("5 red apples", "words"),
        ("x+52_8", "a subscript"),
        ("1 2", "numbers with only a space"),
        ("x+1e5", "an exponent"),
        (r"2\frac12\pi", "a mixed number"),
        ("x2", "a digit after a letter"),
        ("1/2x", "a slash before a product"),
        (r"1/2\pi", "a slash before a product"),
        (r"\sqrt\pi+1", "a command without its braces"),
        ("2X+x", "letters in both cases"),
    ],
)
def test_what_math_verify_would_misread_is_not_asked(scripted: SymbolicGrader, answer: str, reason: str) -> None:
    comparison = scripted.compare("x+2", answer)
    assert comparison.verdict == "unknown"
    assert comparison.reason.startswith(reason)
    assert scripted.num_started == 0


@pytest.mark.parametrize("answer", [r"1/2\cdot x", r"\log_2 8", "x_12", r"1/\sqrt{2}", "sin(x)", "sqrt(2)+x", "4!"])
def test_plain_mathematics_is_asked(scripted: SymbolicGrader, answer: str) -> None:
    assert scripted.compare("y+17", answer).is_asked


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=40), st.text(max_size=40))
def test_a_comparison_never_raises_and_knows_the_same_text(a: str, b: str) -> None:
    for pair in ((a, b), (a, a)):
        question = symbolic._question(*pair)
        assert not isinstance(question, Comparison) or question.verdict in ("equal", "different", "unknown")
    assert symbolic._question(a, a) == Comparison("equal", "the same text", False)


# --------------------------------------------------------------------------------------------- the real worker


@needs_math_verify
@pytest.mark.parametrize(
    ("target", "answer", "verdict"),
    [
        (r"\frac{1}{\sqrt2}", r"\frac{\sqrt2}{2}", "equal"),
        (r"\sin^2 x + \cos^2 x", "1", "equal"),
        (r"\sqrt{2}", r"\sqrt{3}", "different"),
        ("x+1", "y+1", "different"),
        (r"\{\sqrt2, x, x\}", r"\{x, 2/\sqrt{2}, x\}", "equal"),
        (r"\{x, \sqrt{x^2}\}", r"\{x, x+0\}", "unknown"),
        ("f(x)+1", "g(x)+1", "unknown"),
        (r"(1,2) \cup (3,\sqrt{16})", r"(3,4) \cup (1,2)", "equal"),
        ("x^2 < -1", "x^2 < -2", "unknown"),
        ("(x-1)^2 = 0", "(x-1)(x-1)(x-1) = 0", "unknown"),
        (r"\sin x = 0", r"\cos x = 0", "unknown"),
        ("x > 2", r"\{3\}", "different"),
        ("x+y > 2", r"(2,\infty)", "different"),
        ("x < 2", r"(x+y,\infty)", "different"),
        (r"\frac{2^5}{7}", "4.571429", "equal"),
        (r"\frac{2^5}{7}", "4.571431", "different"),
        (r"\frac{2^5}{4}", "8.0000001", "different"),
        (r"\sqrt{-2}", "1.414214", "different"),
    ],
)
def test_the_real_worker_says(real: SymbolicGrader, target: str, answer: str, verdict: str) -> None:
    comparison = real.compare(target, answer)
    assert comparison.is_asked
    assert comparison.verdict == verdict == real.compare(answer, target).verdict


HOSTILE = {
    "a tower without braces": "10**10**10",
    "a tower": "9^{9^{9^{9}}}",
    "Math-Verify issue 65": r"\dfrac{5^{\left(5^{\left(5^{\left(5^5\right)}\right)} - 4\right)} - 5}{16}",
    "pytorch/torchtitan pull 4442": r"2003^{2002^{2001}}",
    "nested fractions": r"\frac{1}{1+" * 60 + "x" + "}" * 60,
    "nested braces": "{" * 480 + "x" + "}" * 480,
    "brackets": "(" * 400 + "x" + ")" * 400,
    "100 kB": "x+" * 50_000 + "1",
    "factorials": "(((99!)!)!)!",
    "an integral": r"\int_0^1\int_0^1 \frac{\sin(x^y)^x}{\ln(x+y^2)^{\pi}} dx dy",
    "a sum": r"\sum_{k=1}^{10^{12}} \frac{1}{k!+\sin k}",
    "powers": "x" + "^x" * 400,
    "minus signs": "-" * 900 + "1",
    "a lone surrogate": "\ud800x+1",
    "a zero character": "x\0+1",
}


@needs_math_verify
def test_no_hostile_answer_passes_or_outlives_the_cap() -> None:
    with SymbolicGrader(SHORT_S) as grader:
        verdicts = {name: grader.compare("x^2+17", answer).verdict for name, answer in HOSTILE.items()}
        assert "equal" not in verdicts.values()
        assert verdicts["a tower"] == verdicts["Math-Verify issue 65"] == verdicts["factorials"] == "unknown"
        assert grader.num_started > 3


@needs_math_verify
def test_a_hostile_target_is_the_same_as_a_hostile_answer() -> None:
    with SymbolicGrader(SHORT_S) as grader:
        assert grader.compare(HOSTILE["a tower"], "x+1").verdict == "unknown"
        started = grader.num_started
        grader.compare("x+1", "x+2")
        assert grader.num_started == started + 1


@needs_math_verify
def test_a_file_in_the_working_folder_does_not_take_a_library_s_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("math_verify", "sympy", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not this one')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with SymbolicGrader(LONG_S) as grader:
        assert grader.compare("x+1", "1+x").verdict == "equal"


@needs_math_verify
def test_equality_is_symmetric_where_it_is_asked(real: SymbolicGrader) -> None:
    answers = [
        "x+1",
        "1+x",
        "2x",
        r"\frac{x}{2}",
        "0.5x",
        r"\sqrt2",
        "x > 2",
        "2 < x",
        r"\frac{1}{2}x",
        "x = y",
        "y-x=0",
    ]
    for a, b in itertools.combinations(answers, 2):
        assert real.compare(a, b).verdict == real.compare(b, a).verdict, (a, b)

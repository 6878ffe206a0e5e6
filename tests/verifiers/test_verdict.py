"""What a checker's exit status and output mean, and what is no verdict."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesearch.sandbox.base import Completed
from edgesearch.verifiers.fallback import NoVerdict
from edgesearch.verifiers.verdict import Verdict, read_verdict


def done(code: int | None, stdout: str | bytes = b"", stderr: bytes = b"", **flags: bool) -> Completed:
    output = stdout.encode() if isinstance(stdout, str) else stdout
    return Completed(
        code, output, stderr, 0.1, 2.0, flags.get("is_timed_out", False), flags.get("is_output_cut", False)
    )


@pytest.mark.parametrize(
    ("completed", "scores"),
    [
        (done(0), (1.0, 1.0)),
        (done(0, stderr=b"a warning"), (1.0, 1.0)),
        (done(0, " \n"), (1.0, 1.0)),
        (done(1), (0.0, 0.0)),
        (done(0, '{"score": 0.25}'), (0.25, 0.25)),
        (done(1, '{"score": 0.25}', b"not quite"), (0.25, 0.25)),
        (done(0, '{"score": 1, "reason": "fine", "more": [1]}\n'), (1.0, 1.0)),
        (done(0, '{"step_scores": [0.5, 0.75]}'), (0.5, 0.75)),
        (done(0, '{"score": 0, "step_scores": [0.5, 0.75]}'), (0.5, 0.0)),
        (done(0, '{"score": 1, "step_scores": null}'), (1.0, 1.0)),
    ],
    ids=lambda value: value.stdout.decode() or str(value.exit_code) if isinstance(value, Completed) else None,
)
def test_a_verdict_is_read(completed: Completed, scores: tuple[float, ...]) -> None:
    assert read_verdict(completed, 2).of_steps(2) == scores


@pytest.mark.parametrize(
    ("completed", "message"),
    [
        (done(2), "^exit status 2$"),
        (done(2, '{"score": 1}'), "^exit status 2$"),
        (done(2, stderr=b"first\nno equation\n"), "exit status 2; its last line: no equation"),
        (done(127), "exit status 127"),
        (done(-11), "signal SIGSEGV"),
        (done(None, is_timed_out=True), "stopped after 2.0 s"),
        (done(None, '{"score": 1}', is_timed_out=True), "stopped after 2.0 s"),
        (done(None, "x" * 100, is_output_cut=True), "wrote more than its limit"),
        (done(1, stderr=b"Traceback (most recent call last):\nNameError: z\n"), "crash; its last line: NameError: z"),
        (done(0, "right"), "not one JSON object"),
        (done(0, '{"score": 1} {"score": 1}'), "not one JSON object"),
        (done(0, "[0.5]"), "not one JSON object"),
        (done(0, "0.5"), "not one JSON object"),
        (done(0, b"\xff\xfe\xff"), "not one JSON object"),
        (done(0, "[" * 100_000), "not one JSON object"),
        (done(0, '{"score": ' + "9" * 5000 + "}"), "not one JSON object"),
        (done(0, "{}"), "has no score"),
        (done(0, '{"reason": "right"}'), "has no score"),
        (done(0, '{"score": NaN}'), "NaN is no score"),
        (done(0, '{"score": Infinity}'), "Infinity is no score"),
        (done(0, '{"score": 1.01}'), r"score must be in \[0, 1\], not 1.01"),
        (done(0, '{"score": -0.1}'), r"score must be in \[0, 1\], not -0.1"),
        (done(0, '{"score": 1e999}'), r"score must be in \[0, 1\], not inf"),
        (done(0, '{"score": true}'), r"score must be in \[0, 1\], not True"),
        (done(0, '{"score": "1"}'), r"score must be in \[0, 1\], not 1"),
        (done(0, '{"score": null}'), r"score must be in \[0, 1\], not None"),
        (done(0, '{"score": 1, "step_scores": [1]}'), "list of 2 scores"),
        (done(0, '{"score": 1, "step_scores": []}'), "list of 2 scores"),
        (done(0, '{"score": 1, "step_scores": "11"}'), "list of 2 scores"),
        (done(0, '{"score": 1, "step_scores": [1, 2]}'), r"step_scores must be in \[0, 1\], not 2"),
        (done(0, '{"score": 1, "step_scores": [NaN, 1]}'), "NaN is no score"),
    ],
)  # fmt: skip
def test_what_is_no_verdict_says_why(completed: Completed, message: str) -> None:
    with pytest.raises(NoVerdict, match=message):
        read_verdict(completed, 2)


@given(stdout=st.binary(max_size=60) | st.text(max_size=60).map(str.encode), code=st.integers(-64, 255))
def test_no_output_is_read_as_anything_but_a_verdict_or_a_failure(stdout: bytes, code: int) -> None:
    try:
        verdict = read_verdict(done(code, stdout), 3)
    except NoVerdict:
        return
    assert code in (0, 1)
    assert all(0 <= score <= 1 for score in verdict.of_steps(3))


@given(score=st.floats(0, 1), steps=st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_every_verdict_that_json_can_spell_is_read_back(score: float, steps: list[float]) -> None:
    told = json.dumps({"score": score, "step_scores": steps})
    assert read_verdict(done(0, told), len(steps)) == Verdict(score, tuple(steps))


def test_what_a_program_repeats_of_a_text_cannot_steer_a_terminal() -> None:
    with pytest.raises(NoVerdict) as caught:
        read_verdict(done(3, stderr="\x1b]0;owned\x07\u202eevil".encode() + b"y" * 5000), 1)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 300

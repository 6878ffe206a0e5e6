"""`edgesearch solve`: what it prints where, how it exits, and what it asks of the library."""

from __future__ import annotations

import inspect
import json
import math
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from fake_pipeline import WARNING, FakePipeline, Loader, solution

from edgesearch import search
from edgesearch.errors import EndpointError, IntegrityError, ModelNotFound, OutOfMemory
from edgesearch.loading import load_endpoint
from edgesearch.types import ModelNames, PlanUsed, StrategyUsed, Usage, WaveUsed

Run = Callable[..., Result]
Start = Callable[..., "subprocess.Popen[bytes]"]

KEYS = [
    "schema_version",
    "answer",
    "text",
    "finish",
    "confidence",
    "is_calibrated",
    "agreement",
    "proof",
    "tests",
    "budget_s",
    "wall_s",
    "load_s",
    "strategy",
    "models",
    "usage",
    "warnings",
    "steps",
    "num_candidates",
    "early_stop",
    "plan",
    "seed",
]
USAGE_KEYS = [
    "prompt_tokens",
    "prefilled_tokens",
    "reused_tokens",
    "decoded_tokens",
    "verified_tokens",
    "verifier_prompt_tokens",
    "solver_flops",
    "verifier_flops",
    "decode_passes",
    "verifier_calls",
    "kv_cells",
    "peak_bytes",
]


PLAN = PlanUsed(
    (
        WaveUsed(StrategyUsed("rebase", 8, 1, "last"), "it tells how hard it is", 0.0, 0.1),
        *(WaveUsed(StrategyUsed("weighted", 32, 1, "last"), "more", at_s, 0.5) for at_s in (0.1, 0.6)),
    ),
    least_s=0.25,
    difficulty=3,
    policy="mine",
)


def lines_of(*objects: object) -> str:
    return "".join(json.dumps(each) + "\n" for each in objects)


# ------------------------------------------------------------------------------------- the answer and the notes


def test_stdout_holds_the_answer_alone_and_stderr_the_rest(run: Run) -> None:
    result = run("solve", "What is 6 times 7?")
    assert result.exit_code == 0
    assert result.stdout == "42\n"
    assert "Loading nano" in result.stderr
    assert "it is the widest that fits" in result.stderr
    assert "beam n=16 m=4 last, 1.50 s of 10 s, confidence 0.75 of the vote, 1 candidate" in result.stderr


def test_piped_output_holds_no_escape_codes(run: Run) -> None:
    assert "\x1b" not in run("solve", "hi", "--show-steps", "-v").output


def test_force_color_colours_and_no_color_wins(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" in run("solve", "hi").stdout
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run("solve", "hi").stdout


def test_quiet_leaves_only_warnings_on_stderr(run: Run) -> None:
    result = run("solve", "hi", "-q")
    assert result.stdout == "42\n"
    assert result.stderr == f"Warning: {WARNING}\n"


def test_no_progress_keeps_the_summary(run: Run) -> None:
    result = run("solve", "hi", "--no-progress")
    assert "Loading" not in result.stderr
    assert "confidence 0.75" in result.stderr


def test_quiet_and_verbose_together_are_refused(run: Run) -> None:
    assert run("solve", "hi", "-q", "-v").exit_code == 2


def test_verbose_tells_models_and_counters(run: Run) -> None:
    stderr = run("solve", "hi", "-v").stderr
    assert "solver fake, verifier fake-prm, loaded in 0.50 s" in stderr
    assert "20 tokens decoded" in stderr


def test_verbose_names_the_exact_check_if_there_is_one(run: Run, loader: Loader) -> None:
    loader.pipeline.result = solution(models=ModelNames("fake", "fake-prm", check="arithmetic"))
    assert "verifier fake-prm, arithmetic check, loaded" in run("solve", "hi", "-v").stderr


@pytest.mark.parametrize(
    ("proof", "confidence", "said"),
    [(True, 1.0, "confidence 1.00 (proven right),"), (False, 0.0, "confidence 0.00 (proven wrong),")],
)
def test_a_proof_is_told_with_the_confidence(
    run: Run, loader: Loader, proof: bool, confidence: float, said: str
) -> None:
    loader.pipeline.result = solution(proof=proof, confidence=confidence)
    result = run("solve", "hi")
    assert (result.exit_code, result.stdout) == (0, "42\n")
    assert said in result.stderr


def test_json_tells_the_check_and_the_proof(run: Run, loader: Loader) -> None:
    found = json.loads(run("solve", "hi", "--json").stdout)
    assert (found["models"]["check"], found["proof"]) == (None, None)
    loader.pipeline.result = solution(models=ModelNames("fake", "fake-prm", check="arithmetic"), proof=True)
    found = json.loads(run("solve", "hi", "--json").stdout)
    assert (found["models"]["check"], found["proof"]) == ("arithmetic", True)


def test_answers_are_checked_unless_no_check_is_given(run: Run, loader: Loader) -> None:
    run("solve", "hi")
    run("solve", "hi", "--no-check")
    run("solve", "hi", "--verifier", "other-prm")
    assert loader.checks == [True, False, True]


@pytest.mark.parametrize(
    ("is_calibrated", "said"), [(True, "confidence 0.75, 1 candidate"), (False, "confidence 0.75 of the vote, 1 cand")]
)
def test_a_share_of_the_vote_is_not_told_as_a_probability(
    run: Run, loader: Loader, is_calibrated: bool, said: str
) -> None:
    loader.pipeline.result = solution(is_calibrated=is_calibrated, agreement=0.75)
    assert said in run("solve", "hi").stderr
    found = json.loads(run("solve", "hi", "--json").stdout)
    assert (found["confidence"], found["is_calibrated"], found["agreement"]) == (0.75, is_calibrated, 0.75)


@pytest.mark.parametrize(
    ("early_stop", "said"),
    [
        (None, ""),
        ("proof", ""),
        ("dominance", "nothing left could change the vote"),
        ("settled", "more samples would hardly change the vote"),
        ("confidence", "as sure as asked for"),
        ("no_time", "no further solution could end in time"),
    ],
)
def test_seconds_that_were_given_back_are_told_with_the_reason(
    run: Run, loader: Loader, early_stop: str | None, said: str
) -> None:
    loader.pipeline.result = solution(early_stop=early_stop)
    stderr = run("solve", "hi").stderr
    assert stderr.endswith(f", stopped early: {said}\n" if said else "1 candidate\n")
    assert json.loads(run("solve", "hi", "--json").stdout)["early_stop"] == early_stop


def test_json_tells_the_waves_of_a_planned_solve_and_why_they_were_run(run: Run, loader: Loader) -> None:
    loader.pipeline.result = solution(plan=PLAN)
    plan = json.loads(run("solve", "hi", "--json").stdout)["plan"]
    assert [wave["strategy"]["n"] for wave in plan["waves"]] == [8, 32, 32]
    assert plan["reason"] == plan["waves"][0]["reason"] == "it tells how hard it is"
    assert (plan["least_s"], plan["difficulty"], plan["policy"]) == (0.25, 3, "mine")


def test_explain_tells_the_plan_in_one_line_also_where_all_else_is_quiet(run: Run, loader: Loader) -> None:
    loader.pipeline.result = solution(plan=PLAN, early_stop="settled")
    [line] = [line for line in run("solve", "hi", "-q", "--explain").stderr.splitlines() if "Warning" not in line]
    assert line == (
        "plan: rebase n=8, then 2 x weighted n=32 (it tells how hard it is); ended after 1.50 s: more samples would "
        "hardly change the vote; difficulty 3 of 5 by the first drafts; one solution should take 0.25 s; policy: mine"
    )
    assert "plan: " not in run("solve", "hi").stderr


def test_show_steps_prints_each_step_with_its_score_and_the_answer_last(run: Run) -> None:
    lines = run("solve", "hi", "--show-steps").stdout.splitlines()
    assert lines == ["0.50  6 times 7 is 42.", "0.75  The answer is \\boxed{42}.", "42"]


def test_a_step_without_a_score_shows_a_dash(run: Run, loader: Loader) -> None:
    loader.pipeline.result = solution(scores=())
    assert run("solve", "hi", "--show-steps").stdout.splitlines()[0] == "   -  6 times 7 is 42."


def test_model_text_cannot_drive_the_terminal(run: Run, loader: Loader) -> None:
    loader.pipeline.result = solution("4\x1b[2J2\n\u202e!", steps=("a\x07b\x1b]0;x\x07",))
    result = run("solve", "hi", "--show-steps")
    assert not {"\x1b", "\x07", "\u202e"} & set(result.output)
    assert result.stdout.splitlines()[-1] == "4[2J2 !"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_any_model_name_and_any_stream_encoding_go_together(start: Start, encoding: str) -> None:
    for flag, expected in (("--json", b"{"), ("--show-steps", b"0.50")):
        model = "mod\xe8le-\U0001f600"
        program = start("solve", "hi", flag, "--model", model, env={**os.environ, "PYTHONIOENCODING": encoding})
        stdout, stderr = program.communicate()
        assert program.returncode == 0
        assert stdout.startswith(expected)
        assert b"Loading mod" in stderr


def test_stdout_in_latin_1_takes_any_answer(main: click.Command, loader: Loader) -> None:
    loader.pipeline.result = solution("√2")
    result = CliRunner(charset="latin-1").invoke(main, ["solve", "hi"], obj={"load": loader})
    assert result.stdout == "\\u221a2\n"


def test_the_pipeline_is_closed_after_success_and_after_failure(run: Run, loader: Loader) -> None:
    run("solve", "hi")
    assert loader.pipeline.is_closed
    loader.pipeline.is_closed = False
    run("solve", "overflow")
    assert loader.pipeline.is_closed


# ------------------------------------------------------------------------------------------------ what is asked


def test_every_flag_reaches_the_library(run: Run, loader: Loader) -> None:
    args = "--budget 500ms --model m --verifier v --strategy majority --n 8 --m 2 --aggregator min --max-tokens 9"
    args += " --option depth=3 --option word=a=b --stop-early 0.9 --confidence 0.9 --policy p.json"
    result = run("solve", "hi", *args.split(), "--temperature", "0.5", "--seed", "7", "--threads", "2")
    assert result.exit_code == 0
    assert loader.calls == [("m", "v", 8, 2)]
    assert loader.policies == ["p.json"]
    expected = {
        "budget_s": 0.5, "strategy": "majority", "n": 8, "m": 2, "aggregator": "min", "max_tokens": 9,
        "temperature": 0.5, "options": {"depth": "3", "word": "a=b"}, "early_stop": 0.9,
        "confidence": 0.9, "seed": 7, "is_traced": False,
    }  # fmt: skip
    assert loader.pipeline.calls == [expected]


def test_what_no_flag_says_is_left_to_the_library(run: Run, loader: Loader) -> None:
    run("solve", "hi")
    assert loader.calls == [("nano", "auto", None, None)]
    assert loader.policies == [None]
    expected = {
        "budget_s": 10.0, "strategy": "auto", "n": None, "m": 4, "aggregator": None, "max_tokens": None,
        "temperature": None, "options": {}, "early_stop": None, "confidence": 0.95,
        "seed": 0, "is_traced": False,
    }  # fmt: skip
    assert loader.pipeline.calls == [expected]


def test_the_kinds_of_verifiers_are_listed_with_a_line_each(run: Run) -> None:
    result = run("solve", "--list-verifiers")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["auto", "none"]
    assert any(line.startswith("certainty[:") for line in lines)
    assert all("  " in line for line in lines)


def test_an_option_given_twice_is_refused(run: Run) -> None:
    result = run("solve", "hi", "--option", "k=1", "--option", "k=2")
    assert result.exit_code == 2
    assert "k is given twice" in result.stderr


def test_the_strategies_are_listed_with_a_line_and_their_options_each(run: Run) -> None:
    result = run("solve", "--list-strategies")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == search.names()
    assert any(line.startswith("beam ") and "(granularity=1, deduplicate=false)" in line for line in lines)


@pytest.mark.parametrize(("text", "seconds"), [("10", 10), ("2m", 120), ("1h", 3600), (".5s", 0.5)])
def test_a_budget_is_a_duration(run: Run, loader: Loader, text: str, seconds: float) -> None:
    run("solve", "hi", "--budget", text)
    assert loader.pipeline.calls[0]["budget_s"] == seconds


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        *(("--budget", value) for value in ["0", "-1", "abc", "", "nan", "inf", "1e9", "25h", "10 s s"]),
        *(("--n", value) for value in ["0", "-1", "4097", "10000", "1.5", "x"]),
        *(("--m", value) for value in ["0", "4097"]),
        *(("--temperature", value) for value in ["-1", "nan", "inf", "101"]),
        *(("--max-tokens", value) for value in ["0", "-5"]),
        *(("--option", value) for value in ["depth", "=3", ""]),
        *(("--stop-early", value) for value in ["0.5", "0", "1.1", "nan", "x"]),
        *(("--confidence", value) for value in ["0.5", "0", "1.1", "nan", "x"]),
        *(("--threads", value) for value in ["0", "5000"]),
        *(("--seed", value) for value in ["-1", str(2**64)]),
        ("--aggregator", "median"),
        ("--strategy", "dfs"),
    ],
)
def test_a_flag_out_of_range_is_a_usage_error_before_anything_loads(
    run: Run, loader: Loader, flag: str, value: str
) -> None:
    result = run("solve", "hi", flag, value)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("Error: ") == 1
    assert loader.calls == []


def test_a_width_out_of_range_is_told_the_range(run: Run) -> None:
    assert "1<=x<=4096" in run("solve", "hi", "--n", "10000").stderr


def test_an_unknown_strategy_is_told_the_known_ones(run: Run) -> None:
    assert "best_of_n" in run("solve", "hi", "--strategy", "bset_of_n").stderr


# ------------------------------------------------------------------------------------------------------- endpoints


Connected = list[tuple[tuple[str, ...], dict[str, object]]]
URL = "http://127.0.0.1:8000/v1"


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch, loader: Loader) -> Connected:
    """What was asked of `load_endpoint`, which gives the fake pipeline."""
    asked: Connected = []

    def connect(*place: str, **options: object) -> FakePipeline:
        asked.append((place, options))
        return loader.pipeline

    monkeypatch.setattr("edgesearch.loading.load_endpoint", connect)
    return asked


def test_every_flag_about_an_endpoint_reaches_the_library(run: Run, loader: Loader, connected: Connected) -> None:
    flags = "--api-key-env KEY --like nano --verifier v --mode chat --template t --concurrency 32 --n 8 --no-check"
    result = run("solve", "hi", "--endpoint", URL, "--model", "org/big", *flags.split())
    assert (result.exit_code, result.stdout) == (0, "42\n")
    assert "Connecting to the endpoint's org/big" in result.stderr
    options = {
        "like": "nano", "verifier": "v", "mode": "chat", "template": "t", "api_key_env": "KEY", "concurrency": 32,
        "max_n": 8, "check": False, "sandbox": "auto",
    }  # fmt: skip
    assert connected == [((URL, "org/big"), options)]
    assert loader.calls == []


def test_what_no_flag_says_of_an_endpoint_is_what_the_library_does_by_itself(run: Run, connected: Connected) -> None:
    run("solve", "hi", "--endpoint", URL, "--model", "big")
    ((_, options),) = connected
    assert options.pop("verifier") == "auto"  # and not none, as in Python: a command shows what it fell back to
    defaults = inspect.signature(load_endpoint).parameters
    assert options == {name: defaults[name].default for name in options}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--endpoint", URL], "--endpoint needs --model"),
        (["--endpoint", URL, "--model", "big", "--threads", "2"], "the server decodes"),
        *(
            ([flag, value], f"{flag} is about a server; name one with --endpoint URL")
            for flag, value in [
                ("--api-key-env", "KEY"), ("--like", "nano"), ("--template", "chatml"), ("--mode", "completions"),
                ("--concurrency", "8"),
            ]
        ),
    ],
)  # fmt: skip
def test_flags_about_where_the_model_runs_must_fit_together(
    run: Run, loader: Loader, connected: Connected, flags: list[str], message: str
) -> None:
    result = run("solve", "hi", *flags)
    assert result.exit_code == 2
    assert message in result.stderr
    assert (loader.calls, connected) == ([], [])


@pytest.mark.parametrize(("flag", "value"), [("--concurrency", "0"), ("--concurrency", "1025"), ("--mode", "stream")])
def test_a_flag_about_an_endpoint_out_of_range_is_a_usage_error(
    run: Run, connected: Connected, flag: str, value: str
) -> None:
    assert run("solve", "hi", "--endpoint", URL, "--model", "big", flag, value).exit_code == 2
    assert connected == []


# -------------------------------------------------------------------------------------------- where problems come from


def test_a_dash_reads_standard_input(run: Run, loader: Loader) -> None:
    run("solve", "-", stdin="@ is 1.\nWhat is @ plus 1?\n")
    assert loader.pipeline.problems[0].text == "@ is 1.\nWhat is @ plus 1?\n"


def test_an_at_sign_reads_a_file_and_drops_its_byte_order_mark(run: Run, loader: Loader, tmp_path: Path) -> None:
    (tmp_path / "problem.txt").write_bytes("\ufeffWieviel ist π?\r\n".encode())
    assert run("solve", f"@{tmp_path / 'problem.txt'}").exit_code == 0
    assert loader.pipeline.problems[0].text == "Wieviel ist π?\r\n"


def test_a_problem_may_start_with_a_minus_after_a_double_dash(run: Run, loader: Loader) -> None:
    assert run("solve", "--json", "--", "-5 + 3 = ?").exit_code == 0
    assert loader.pipeline.problems[0].text == "-5 + 3 = ?"


def test_control_tokens_in_a_problem_stay_text(run: Run, loader: Loader) -> None:
    run("solve", "<|im_end|> hi")
    assert loader.pipeline.problems[0].text == "<|im_end|> hi"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b" \n\t \n", "empty"),
        (b"caf\xe9", "UTF-8"),
        ("hi".encode("utf-16"), "UTF-8"),
        (b"a\x00b", "0x00"),
        (b"\x7fELF\x02\x01\x01", "0x7f"),
        (b"x" * 1_000_001, "1,000,000 bytes"),
    ],
    ids=["empty", "blank", "latin-1", "utf-16", "nul", "binary", "large"],
)
def test_what_is_not_a_problem_in_text_is_refused_in_one_sentence(
    run: Run, loader: Loader, tmp_path: Path, data: bytes, words: str
) -> None:
    (tmp_path / "bad").write_bytes(data)
    for result in (run("solve", "-", stdin=data), run("solve", f"@{tmp_path / 'bad'}")):
        assert result.exit_code == 2
        assert result.stderr.startswith("Error: ")
        assert result.stderr.count("\n") == 1
        assert words in result.stderr
    assert loader.calls == []


@pytest.mark.parametrize("text", ["", "  ", "\n", "a\udce9b"])
def test_an_argument_that_is_no_problem_is_refused(run: Run, text: str) -> None:
    assert run("solve", text).exit_code == 2


@pytest.mark.parametrize("name", ["", "missing.txt", ".", "x" * 5000])
def test_a_file_that_cannot_be_read_is_a_usage_error(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("solve", f"@{name}")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


def test_no_problem_at_all_is_told_the_three_ways_to_give_one(run: Run) -> None:
    result = run("solve")
    assert result.exit_code == 2
    assert "@FILE" in result.stderr


def test_a_closed_standard_input_is_a_usage_error(start: Start) -> None:
    if os.name != "posix":
        pytest.skip("closes a file descriptor the POSIX way")
    for args in (["-"], ["--jsonl", "-"]):
        program = start("solve", *args, stdin=None, preexec_fn=lambda: os.close(0))
        assert b"standard input is closed" in program.communicate()[1]
        assert program.returncode == 2


def test_a_problem_in_utf_8_is_read_whatever_the_locale(start: Start) -> None:
    ascii_only = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    program = start("solve", "Wie viel ist \u03c0?", env=ascii_only)
    assert program.communicate()[0] == b"42\n"


# ------------------------------------------------------------------------------------------------------------- JSON


def test_json_is_one_object_with_the_promised_keys(run: Run) -> None:
    result = run("solve", "hi", "--json", "--seed", "3")
    found = json.loads(result.stdout)
    assert list(found) == KEYS
    assert list(found["usage"]) == USAGE_KEYS
    assert found["schema_version"] == 1
    assert (found["answer"], found["finish"], found["confidence"], found["seed"]) == ("42", "stop", 0.75, 3)
    assert found["strategy"] == {"name": "beam", "n": 16, "m": 4, "aggregator": "last", "options": {}}
    assert (found["models"]["solver"], found["models"]["verifier"]) == ("fake", "fake-prm")
    assert list(found["models"]) == ["solver", "verifier", "solver_device", "verifier_device", "check"]
    assert found["steps"][1] == {"text": "The answer is \\boxed{42}.", "score": 0.75}
    assert found["num_candidates"] == 1


def test_json_holds_the_warnings_and_stderr_does_not_repeat_them(run: Run) -> None:
    result = run("solve", "hi", "--json")
    assert json.loads(result.stdout)["warnings"] == [WARNING]
    assert WARNING not in result.stderr


def test_json_never_holds_nan_or_lone_surrogates(run: Run, loader: Loader) -> None:
    loader.pipeline.result = solution(
        "4\ud8002", confidence=math.nan, scores=(math.nan, math.inf), usage=Usage(solver_flops=math.inf)
    )
    result = run("solve", "hi", "--json")
    found = json.loads(result.stdout, parse_constant=pytest.fail)
    assert found["answer"] == "4\ufffd2"
    assert found["confidence"] is None
    assert [step["score"] for step in found["steps"]] == [None, None]
    assert found["usage"]["solver_flops"] is None


def test_a_failure_under_json_is_an_object_as_well_as_a_sentence(run: Run) -> None:
    result = run("solve", "overflow", "--json")
    assert result.exit_code == 7
    assert json.loads(result.stdout) == {
        "schema_version": 1,
        "error": {
            "message": "the problem has 5,000 tokens, the model's context 4,096; use a longer context",
            "exit_code": 7,
        },
    }
    assert "Error: the problem has 5,000 tokens" in result.stderr


def test_wrong_usage_under_json_is_an_object_too(run: Run) -> None:
    for args in (["--n", "0"], ["--budget", "0"], ["--nonsense"]):
        result = run("solve", "hi", "--json", *args)
        assert json.loads(result.stdout)["error"]["exit_code"] == result.exit_code == 2


def test_a_problem_that_spells_json_asks_for_none(run: Run) -> None:
    assert run("solve", "--n", "0", "--", "--json").stdout == ""


# ------------------------------------------------------------------------------------------------ unanswered, errors


def test_unanswered_exits_with_3_and_says_what_to_do(run: Run) -> None:
    result = run("solve", "unanswered", "--budget", "2s")
    assert result.exit_code == 3
    assert result.stdout == ""
    assert "Error: no answer within 2 s; try more, as in --budget 4s" in result.stderr


def test_unanswered_under_json_still_prints_the_object(run: Run) -> None:
    result = run("solve", "unanswered", "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["answer"] is None


def test_solutions_cut_at_the_token_limit_point_to_max_tokens(run: Run) -> None:
    assert "--max-tokens" in run("solve", "long").stderr


def test_the_steps_of_an_unanswered_problem_never_look_like_an_answer(run: Run) -> None:
    result = run("solve", "long", "--show-steps")
    assert result.stdout == ""
    assert "6 times 7 is 42." in result.stderr


@pytest.mark.parametrize(
    "error", [ModelNotFound("no"), IntegrityError("no"), OutOfMemory("no"), EndpointError("no"), MemoryError()]
)
def test_a_failed_load_exits_with_its_own_code_and_no_traceback(run: Run, loader: Loader, error: Exception) -> None:
    loader.error = error
    result = run("solve", "hi")
    assert result.exit_code == getattr(error, "exit_code", 8)
    assert "Error: " in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unexpected_error_is_one_sentence_that_asks_for_a_report(run: Run) -> None:
    result = run("solve", "crash", "-q")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "RuntimeError: something broke" in result.stderr
    assert "EDGESEARCH_DEBUG=1" in result.stderr


def test_debugging_shows_the_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESEARCH_DEBUG", "1")
    result = run("solve", "crash")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr


# ------------------------------------------------------------------------------------------------------------ --jsonl


def test_jsonl_solves_each_line_in_one_process(run: Run, loader: Loader) -> None:
    text = lines_of({"id": "a", "problem": "hi"}, {"id": 7, "problem": "ho", "budget": "2s"}) + "\n"
    result = run("solve", "--jsonl", "-", "--budget", "5s", stdin=text)
    assert result.exit_code == 0
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [each["id"] for each in found] == ["a", 7]
    assert [each["budget_s"] for each in found] == [5.0, 2.0]
    assert list(found[0]) == ["id", *KEYS]
    assert len(loader.calls) == 1


def test_jsonl_reads_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "problems.jsonl").write_text(lines_of({"id": "a", "problem": "hi", "budget": 1.5}))
    result = run("solve", "--jsonl", str(tmp_path / "problems.jsonl"))
    assert json.loads(result.stdout)["budget_s"] == 1.5


BAD_LINES = {
    "not JSON": (b"{oops", None),
    "not an object": (b"[1]", None),
    "too deep": (b"[" * 100_000, None),
    "not UTF-8": (b'{"id": "x", "problem": "caf\xe9"}', None),
    "no id": (b'{"problem": "hi"}', None),
    "an id that is a list": (b'{"id": [], "problem": "hi"}', None),
    "no problem": (b'{"id": "x"}', "x"),
    "a problem that is a number": (b'{"id": "x", "problem": 5}', "x"),
    "an empty problem": (b'{"id": "x", "problem": " "}', "x"),
    "a lone surrogate": (b'{"id": "x", "problem": "\\ud800"}', "x"),
    "a NUL": (b'{"id": "x", "problem": "\\u0000"}', "x"),
    "a budget of zero": (b'{"id": "x", "problem": "hi", "budget": 0}', "x"),
    "a budget that is no duration": (b'{"id": "x", "problem": "hi", "budget": "soon"}', "x"),
    "a budget that is no number": (b'{"id": "x", "problem": "hi", "budget": NaN}', "x"),
    "a budget beyond floats": (b'{"id": "x", "problem": "hi", "budget": 1' + b"0" * 400 + b"}", "x"),
    "a budget that is a list": (b'{"id": "x", "problem": "hi", "budget": [1]}', "x"),
    "a budget that is true": (b'{"id": "x", "problem": "hi", "budget": true}', "x"),
    "a line without end": (b'{"id": "x", "problem": "' + b"y" * 9_000_000, None),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_becomes_an_error_and_the_run_goes_on(run: Run, name: str) -> None:
    data, expected_id = BAD_LINES[name]
    result = run("solve", "--jsonl", "-", stdin=data + b'\n{"id": "good", "problem": "hi"}\n')
    bad, good = (json.loads(line) for line in result.stdout.splitlines())
    assert (bad["id"], bad["line"], bad["error"]["exit_code"]) == (expected_id, 1, 2)
    assert good["answer"] == "42"
    assert result.exit_code == 1
    assert "1 line could not be solved" in result.stderr


@pytest.mark.parametrize(("problem", "exit_code"), [("overflow", 7), ("memory", 8)])
def test_a_line_that_fails_in_the_library_keeps_its_exit_code(run: Run, problem: str, exit_code: int) -> None:
    text = lines_of({"id": "x", "problem": problem}, {"id": "good", "problem": "hi"})
    result = run("solve", "--jsonl", "-", stdin=text)
    bad, good = (json.loads(line) for line in result.stdout.splitlines())
    assert bad["error"]["exit_code"] == exit_code
    assert good["answer"] == "42"
    assert result.exit_code == 1


def test_an_unanswered_line_is_no_error(run: Run) -> None:
    result = run("solve", "--jsonl", "-", stdin=lines_of({"id": "x", "problem": "unanswered"}))
    assert json.loads(result.stdout)["answer"] is None
    assert result.exit_code == 0


def test_jsonl_and_a_problem_together_are_refused(run: Run) -> None:
    assert run("solve", "hi", "--jsonl", "-", stdin="").exit_code == 2


@pytest.mark.parametrize("name", ["missing.jsonl", "."])
def test_a_jsonl_file_that_cannot_be_read_is_a_usage_error(run: Run, loader: Loader, name: str) -> None:
    assert run("solve", "--jsonl", name).exit_code == 2
    assert loader.calls == []


def test_each_line_is_answered_before_the_next_one_is_read(start: Start) -> None:
    program = start("solve", "--jsonl", "-", "-q", stdin=subprocess.PIPE)
    assert program.stdin is not None
    assert program.stdout is not None
    for number in range(2):
        program.stdin.write(lines_of({"id": number, "problem": "hi"}).encode())
        program.stdin.flush()
        assert json.loads(program.stdout.readline())["id"] == number
    program.communicate()
    assert program.returncode == 0


# ------------------------------------------------------------------------------------------------------------- signals


@pytest.fixture
def interruptible() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(("signum", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_search_and_prints_the_best_so_far(
    run: Run, loader: Loader, signum: signal.Signals, exit_code: int
) -> None:
    loader.pipeline.during = lambda: signal.raise_signal(signum)
    result = run("solve", "hi")
    assert result.exit_code == exit_code
    assert result.stdout == "42\n"
    assert signal.getsignal(signum) in (signal.default_int_handler, signal.SIG_DFL)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_search_without_an_answer_says_so(run: Run, loader: Loader) -> None:
    loader.pipeline.during = lambda: signal.raise_signal(signal.SIGINT)
    result = run("solve", "unanswered", "--json")
    assert result.exit_code == 130
    assert json.loads(result.stdout)["answer"] is None
    assert "interrupted before there was an answer" in result.stderr


@pytest.mark.usefixtures("interruptible")
def test_a_signal_ends_a_jsonl_run_after_the_line_it_interrupts(run: Run, loader: Loader) -> None:
    loader.pipeline.during = lambda: signal.raise_signal(signal.SIGINT)
    result = run("solve", "--jsonl", "-", stdin=lines_of(*({"id": n, "problem": "hi"} for n in range(3))))
    assert result.exit_code == 130
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.usefixtures("interruptible")
def test_a_signal_while_loading_ends_the_command(run: Run, loader: Loader) -> None:
    def load(*args: object, **options: object) -> None:
        signal.raise_signal(signal.SIGINT)
        time.sleep(20)

    loader.__class__ = type("Loading", (Loader,), {"__call__": load})
    result = run("solve", "hi")
    assert result.exit_code == 130
    assert result.stderr.endswith("Interrupted.\n")


def wait_for(program: subprocess.Popen[bytes], text: bytes) -> None:
    """Reads stderr until a line holds the text."""
    assert program.stderr is not None
    for line in program.stderr:
        if text in line:
            return
    pytest.fail(f"{text!r} never came")


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
@pytest.mark.parametrize(("signum", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_process_that_is_interrupted_prints_the_best_so_far(
    start: Start, signum: signal.Signals, exit_code: int
) -> None:
    program = start("solve", "wait", "--budget", "1h")
    wait_for(program, b"it is the widest that fits")
    program.send_signal(signum)
    stdout, _ = program.communicate(timeout=10)
    assert (program.returncode, stdout) == (exit_code, b"42\n")


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
def test_a_second_signal_ends_a_stuck_process_at_once(start: Start) -> None:
    program = start("solve", "stuck")
    wait_for(program, b"it is the widest that fits")
    program.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        program.wait(timeout=0.3)
    program.send_signal(signal.SIGINT)
    assert program.wait(timeout=5) == 130


@pytest.mark.skipif(os.name != "posix", reason="breaks a POSIX pipe")
def test_a_reader_that_goes_away_is_no_error_message(start: Start) -> None:
    program = start("solve", "hi", "--json", "-q")
    assert program.stdout is not None
    program.stdout.close()
    assert program.stderr is not None
    assert program.stderr.read() == b""
    assert program.wait() == 1


@pytest.mark.skipif(os.name != "posix", reason="breaks a POSIX pipe")
def test_notes_that_nobody_reads_never_cost_the_answer(start: Start) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    program = start("solve", "hi", stderr=writer)
    os.close(writer)
    assert program.communicate()[0] == b"42\n"
    assert program.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_sentence(start: Start) -> None:
    with open("/dev/full", "wb") as full:
        program = start("solve", "hi", "-q", "--json", stdout=full)
        stderr = program.communicate()[1].decode()
    assert stderr.count("\n") == 1
    assert "No space left" in stderr
    assert program.returncode == 1

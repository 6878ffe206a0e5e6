"""Recorded samples stand in for an engine, for the strategies that draw nothing more."""

import json
from pathlib import Path
from typing import Any

import pytest
from bench_runs import outcomes, plan_of, run, write_recipe, write_task
from code_runs import BROKEN, DOUBLE, NEGATE, TASK, FakePool, write_code_task, write_programs
from code_runs import ROWS as PROBLEMS

from edgesearch.bench.recipe import SamplesEngine
from edgesearch.bench.recorded import MAX_COMPLETION_CHARS, read
from edgesearch.errors import UsageError
from edgesearch.sandbox.pool import TrialPool
from edgesearch.tasks.base import make_sample
from edgesearch.types import CodeSpec

ENGINE = '[[engines]]\nid = "past"\nkind = "samples"\nfile = "samples.jsonl"\nverifier = "{verifier}"\n'
GRID = '[[grid]]\nengines = "past"\nstrategy = [{strategies}]\nn = [{n}]\nbudget_s = 1.0\n'


def row(task_id: str, index: int, answer: object, **more: Any) -> dict[str, Any]:
    return {"task_id": task_id, "sample_idx": index, "completion": f"The answer is \\boxed{{{answer}}}.", **more}


ROWS = [
    row("p0", 0, 5, scores=[0.9, 0.2], logprob=-3),
    row("p0", 1, 4, scores=[0.1, 0.8], logprob=-2.5),
    row("p0", 2, 5, scores=[0.3]),
    row("p1", 2, 5, scores=[0.1]),
    row("p1", 0, 4, scores=[0.7], model="ignored"),
    row("p1", 1, 4, scores=[0.6]),
    row("elsewhere", 0, 1),
]


def write(folder: Path, rows: list[Any]) -> Path:
    path = folder / "samples.jsonl"
    path.write_text("\n".join(each if isinstance(each, str) else json.dumps(each) for each in rows), encoding="utf-8")
    return path


def recipe(folder: Path, strategies: str = '"majority"', n: str = "3", verifier: str = "none") -> Path:
    write_task(folder, ["one", "two"])
    return write_recipe(folder, ENGINE.format(verifier=verifier) + GRID.format(strategies=strategies, n=n))


def test_majority_is_over_the_first_n_samples(tmp_path: Path):
    write(tmp_path, ROWS)
    run(recipe(tmp_path, n="1, 2, 3"), tmp_path / "run.sqlite")
    found = [(each.strategy and each.strategy.n, each.answer) for each in outcomes(tmp_path / "run.sqlite")]
    assert found == [(1, "5"), (1, "4"), (2, "5"), (2, "4"), (3, "5"), (3, "4")]


def test_best_of_n_and_weighted_votes_go_by_the_recorded_scores(tmp_path: Path):
    write(tmp_path, ROWS)
    run(recipe(tmp_path, '"best_of_n", "weighted"', verifier="recorded"), tmp_path / "run.sqlite")
    found = {
        (each.strategy and each.strategy.name, each.sample_id): each.answer
        for each in outcomes(tmp_path / "run.sqlite")
    }
    assert found == {
        ("best_of_n", "p0"): "4", ("best_of_n", "p1"): "4", ("weighted", "p0"): "4", ("weighted", "p1"): "4",
    }  # fmt: skip


def test_greedy_is_the_first_sample(tmp_path: Path):
    write(tmp_path, ROWS)
    run(recipe(tmp_path, '"greedy"'), tmp_path / "run.sqlite")
    assert [each.answer for each in outcomes(tmp_path / "run.sqlite")] == ["5", "4"]


def test_coverage_is_that_of_the_first_n_samples_and_their_answer_that_of_most(tmp_path: Path):
    write(tmp_path, ROWS)
    run(recipe(tmp_path, '"sample", "majority"', n="3"), tmp_path / "run.sqlite")
    found = {(each.strategy and each.strategy.name, each.sample_id): each for each in outcomes(tmp_path / "run.sqlite")}
    for sample_id in ("p0", "p1"):
        assert len(found["sample", sample_id].candidates) == 3
        assert found["sample", sample_id].answer == found["majority", sample_id].answer


def test_every_candidate_is_kept_with_what_was_recorded_and_graded(tmp_path: Path):
    write(tmp_path, ROWS)
    _, summary = run(recipe(tmp_path, verifier="recorded"), tmp_path / "run.sqlite")
    first = outcomes(tmp_path / "run.sqlite")[0]
    kept = first.candidates[1]
    assert (kept.answer, kept.is_right, kept.score, kept.step_scores, kept.logprob) == (
        "4",
        True,
        0.8,
        (0.1, 0.8),
        -2.5,
    )
    assert (kept.num_tokens, kept.finish, kept.ended_s) == (None, None, None)
    assert first.candidates[2].logprob is None
    assert (first.status, first.chosen, first.wall_s) == ("wrong", 0, 0.0)
    assert (summary.counts["correct"], summary.counts["wrong"]) == (1, 1)


def test_a_changed_file_of_samples_changes_the_keys(tmp_path: Path):
    write(tmp_path, ROWS)
    before = plan_of(recipe(tmp_path)).sources["past"].digests
    write(tmp_path, [*ROWS, row("elsewhere", 1, 2)])
    assert plan_of(recipe(tmp_path)).sources["past"].digests != before


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{not json", "line 8 is not JSON"),
        ("[1]", "line 8 is no JSON object"),
        ({"sample_idx": 0, "completion": "x"}, "line 8: task_id must be a text"),
        ({"task_id": "p0", "sample_idx": "0", "completion": "x"}, "sample_idx must be a whole number"),
        ({"task_id": "p0", "sample_idx": True, "completion": "x"}, "sample_idx must be a whole number"),
        ({"task_id": "p0", "sample_idx": 9}, "completion must be a text"),
        ({"task_id": "p0", "sample_idx": -1, "completion": "x"}, "sample_idx must be >= 0"),
        (row("p0", 9, 4, scores=[1.5]), r"scores must be a list of numbers in \[0, 1\]"),
        (row("p0", 9, 4, scores=0.5), "scores must be a list"),
        ('{"task_id": "p0", "sample_idx": 9, "completion": "x", "logprob": NaN}', "logprob must be a finite number"),
        (row("p0", 2, 4), "line 8: task_id 'p0' has sample_idx 2 twice"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: Any, message: str):
    path = write(tmp_path, [*ROWS, line])
    with pytest.raises(UsageError, match=message):
        read(SamplesEngine("past", path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": "4"}, "has 3 completions of sample 'p0', and cell .* takes 4"),
        ({"strategies": '"best_of_n"', "verifier": "nano-prm"}, "whose tokens verifier nano-prm would need"),
        ({"strategies": '"beam"', "verifier": "recorded"}, "strategy beam has to draw"),
        ({"strategies": '"best_of_n"'}, "needs a verifier that scores"),
    ],
)
def test_what_recorded_samples_cannot_do_is_told_when_planning(tmp_path: Path, options: dict[str, str], message: str):
    write(tmp_path, ROWS)
    with pytest.raises(UsageError, match=message):
        plan_of(recipe(tmp_path, **options))


def test_a_missing_score_is_told_when_planning(tmp_path: Path):
    rows = [{key: each[key] for key in each if key != "scores"} if each["sample_idx"] == 1 else each for each in ROWS]
    write(tmp_path, rows)
    with pytest.raises(UsageError, match="has no scores for a completion of sample 'p0'"):
        plan_of(recipe(tmp_path, '"best_of_n"', verifier="recorded"))


def test_a_file_that_is_not_there_or_not_text_is_told(tmp_path: Path):
    with pytest.raises(UsageError, match="cannot be read"):
        read(SamplesEngine("past", tmp_path / "gone.jsonl"))
    (tmp_path / "noise.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not UTF-8"):
        read(SamplesEngine("past", tmp_path / "noise.jsonl"))


# -- what cannot be used, line by line ---------------------------------------------------------------------------------


def test_a_completion_that_is_no_text_or_too_long_has_no_answer_and_is_told(tmp_path: Path):
    write(
        tmp_path,
        [
            row("p0", 0, "4" * MAX_COMPLETION_CHARS),
            '{"task_id": "p0", "sample_idx": 1, "completion": "\\ud800 The answer is 4."}',
            row("p1", 0, 4),
            {"task_id": "p1", "sample_idx": 1, "completion": "a\0b. The answer is 4."},
        ],
    )
    run(recipe(tmp_path, n="2"), tmp_path / "run.sqlite")
    bad, good = outcomes(tmp_path / "run.sqlite")
    assert [each.answer for each in bad.candidates] == [None, None]
    assert bad.status == "unanswered"
    assert "2 of 2 completions cannot be used: it has 1,0" in bad.warnings[0]
    assert max(len(each.text) for each in bad.candidates) < 2_000
    assert [each.answer for each in good.candidates] == ["4", "4"]
    assert (good.status, good.warnings) == ("correct", ())


def test_a_line_that_is_not_utf_8_is_a_sample_without_an_answer(tmp_path: Path):
    path = write(tmp_path, [row("p0", 0, 4), row("p1", 0, 4)])
    path.write_bytes(path.read_bytes().replace(b"answer is", b"answer \xff is", 1))
    found = read(SamplesEngine("past", path)).completions
    assert [each[0].fault.partition(" (")[0] for each in found.values()] == ["it is not UTF-8", ""]
    run(recipe(tmp_path, n="1"), tmp_path / "run.sqlite")
    assert [each.status for each in outcomes(tmp_path / "run.sqlite")] == ["unanswered", "correct"]


# -- programs ----------------------------------------------------------------------------------------------------------


def programs_recipe(folder: Path, strategy: str = "sample", n: int = 2, verifier: str = "none") -> Path:
    write_code_task(folder)
    grid = GRID.format(strategies=f'"{strategy}"', n=n)
    return write_recipe(folder, ENGINE.format(verifier=verifier) + grid, task=TASK.removeprefix("[task]\n"))


def test_programs_are_taken_out_of_completions_by_their_problems_code(tmp_path: Path):
    write_programs(tmp_path, {name: ["    return x  # RIGHT\n", "no program"] for name in (DOUBLE, NEGATE, BROKEN)})
    run(programs_recipe(tmp_path), tmp_path / "run.sqlite", open_pool=FakePool)
    first, *_ = outcomes(tmp_path / "run.sqlite")
    assert [each.answer for each in first.candidates] == [PROBLEMS[0]["prompt"] + "    return x  # RIGHT\n", None]
    assert first.status == "correct"


def test_visible_tests_choose_among_recorded_programs_and_say_where_there_are_none(tmp_path: Path):
    write_programs(
        tmp_path, {name: ["    return x\n", "    return x + x  # RIGHT\n"] for name in (DOUBLE, NEGATE, BROKEN)}
    )
    path = programs_recipe(tmp_path, "best_of_n", verifier="tests")
    run(path, tmp_path / "run.sqlite", open_pool=TrialPool)
    found = {each.sample_id: each for each in outcomes(tmp_path / "run.sqlite")}
    assert (found[DOUBLE].status, found[DOUBLE].chosen) == ("correct", 1)
    assert [each.score for each in found[DOUBLE].candidates] == [0.0, 1.0]
    assert [each.score for each in found[NEGATE].candidates] == [None, None]
    assert "the recorded programs have no scores" in found[NEGATE].warnings[0]


def test_visible_tests_are_of_no_use_for_answers(tmp_path: Path):
    write(tmp_path, ROWS)
    with pytest.raises(UsageError, match="verifier tests runs programs, and sample 'p0' asks for none"):
        plan_of(recipe(tmp_path, '"best_of_n"', verifier="tests"))


def test_the_id_of_a_program_may_be_spelled_as_another_publisher_has_it(tmp_path: Path):
    path = write_programs(tmp_path, {"MbppEval/2": ["old"], "Mbpp/3": ["three"], "MbppEval/3": ["other"]})
    found = read(SamplesEngine("past", path))
    samples = [make_sample(name, "Write f.", "assert f(1)", code=CodeSpec(("f",))) for name in ("Mbpp/2", "Mbpp/3")]
    assert [found.of(sample)[0].text for sample in samples] == ["old", "three"]
    assert found.of(make_sample("Mbpp/2", "What is 1 + 1?", "2")) == ()

"""Tasks: one contract for all of them, then each data format, hostile files, the hub, and the real data sets.

The real data are read only where the environment variable EDGESEARCH_TEST_DATA names their folder.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from types import ModuleType, SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch import tasks
from edgesearch.errors import EdgesearchError, IntegrityError, ModelNotFound, UsageError
from edgesearch.hub import HubFile
from edgesearch.tasks import (
    aime,
    amc,
    built_in,
    gsm8k,
    humaneval,
    humaneval_plus,
    jsonl,
    loading,
    math500,
    mbpp,
    mbpp_plus,
    rows,
)
from edgesearch.tasks.base import Definition, HubData, Options, Sample, Source, Task, make_sample
from edgesearch.tasks.prompts import PROMPTS, TaskPrompt, prompt
from edgesearch.tasks.rows import Row, read_rows
from edgesearch.types import Problem

AOPS = "https://artofproblemsolving.com/wiki/index.php"
MATH = {"level": 4, "subject": "Prealgebra", "solution": "..."}
PROGRAMS: list[dict[str, object]] = [
    {
        "task_id": f"HumanEval/{number}",
        "prompt": f'def {name}(x):\n    """Changes x.\n    >>> {name}(2)\n    {result}\n    """\n',
        "entry_point": name,
        "canonical_solution": f"    return {source}\n",
        "test": f"\n\ndef check(candidate):\n    assert candidate(2) == {result}\n",
    }
    for number, (name, source, result) in enumerate([("double", "2 * x", 4), ("halve", "x // 2", 1)])
]
DESCRIPTIONS: list[dict[str, object]] = [
    {
        "task_id": 2 + number,
        "prompt": "Write a function to change x.",
        "code": f"def {name}(x):\n    return {source}\n",
        "test_imports": [],
        "test_list": [f"assert {name}(2) == {result}", f"assert {name}(0) == 0"],
    }
    for number, (name, source, result) in enumerate([("double", "2 * x", 4), ("halve", "x // 2", 1)])
]
ROWS: dict[str, list[dict[str, object]]] = {
    "gsm8k": [
        {"question": "Ann has 500 apples and gets as many again. How many?", "answer": "500*2=1000\n#### 1,000"},
        {"question": "Bob owes 10. What does he have?", "answer": "He has -10.\n#### -10"},
        {"question": "Cy has 9 pens and loses 1. How many?", "answer": "9-1=<<9-1=8>>8\n#### 8"},
    ],
    "math500": [
        {"problem": r"Simplify $\sqrt{242}$.", "answer": r"11\sqrt2", "unique_id": "test/prealgebra/1302.json"} | MATH,
        {"problem": r"Evaluate $(1+2i)6-3i$.", "answer": "6+9i", "unique_id": "test/algebra/1098.json"} | MATH,
    ],
    "aime": [
        {"id": 1, "problem": "Find $xy$.", "answer": "025", "url": f"{AOPS}/2024_AIME_I_Problems/Problem_2"},
        {"id": 2, "problem": "Find $z$.", "answer": "000", "url": f"{AOPS}/2024_AIME_II_Problems/Problem_15"},
        {"id": 3, "problem": "Find $w$.", "answer": "9", "url": f"{AOPS}/2023_AIME_I_Problems/Problem_1"},
    ],
    "amc": [
        {"id": 0, "problem": "How many miles?", "answer": 27.0, "url": f"{AOPS}/2023_AMC_12A_Problems/Problem_1"},
        {"id": 1, "problem": "How many hours?", "answer": -1.0, "url": f"{AOPS}/2023_AMC_12B_Problems/Problem_1"},
        {"id": 0, "problem": "What is $m+n$?", "answer": 142.0, "url": f"{AOPS}/2022_AMC_12A_Problems/Problem_1"},
    ],
    "humaneval": PROGRAMS,
    "humaneval_plus": PROGRAMS,
    "mbpp": DESCRIPTIONS,
    "mbpp_plus": [row | {"test": "\n".join(map(str, row["test_list"]))} for row in DESCRIPTIONS],  # type: ignore[call-overload]
    "jsonl": [
        {"problem": "What is 3 + 4?", "answer": "7"},
        {"id": "q2", "question": "What is half of five?", "answer": 2.5, "level": 1, "subject": "halves"},
    ],
}
TARGETS = {
    "gsm8k": ["1000", "-10", "8"],
    "math500": [r"11\sqrt2", "6+9i"],
    "aime": ["25", "0"],
    "amc": ["27", "-1"],
    "humaneval": [
        "def check(candidate):\n    assert candidate(2) == 4\n\ncheck(double)",
        "def check(candidate):\n    assert candidate(2) == 1\n\ncheck(halve)",
    ],
    "humaneval_plus": [
        "def check(candidate):\n    assert candidate(2) == 4\n\ncheck(double)",
        "def check(candidate):\n    assert candidate(2) == 1\n\ncheck(halve)",
    ],
    "mbpp": ["assert double(2) == 4\nassert double(0) == 0", "assert halve(2) == 1\nassert halve(0) == 0"],
    "mbpp_plus": ["assert double(2) == 4\nassert double(0) == 0", "assert halve(2) == 1\nassert halve(0) == 0"],
    "jsonl": ["7", "2.5"],
}
FROM_FILES = list(ROWS)
unhurried = settings(deadline=None)  # a busy machine is not a failure


def write(folder: Path, content: str | bytes | list[dict[str, object]], name: str = "data.jsonl") -> Path:
    if isinstance(content, list):
        content = "".join(json.dumps(row) + "\n" for row in content)
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def loaded(name: str, folder: Path, **options: object) -> Task:
    if name not in ROWS:
        size = {} if options.keys() & {"ids", "limit"} else {"limit": 20}  # its own size takes a second
        return tasks.load(name, **size, **options)  # type: ignore[arg-type]
    return tasks.load(name, data=write(folder, ROWS[name]), **options)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------- the contract


@pytest.mark.parametrize("name", tasks.names())
class TestEveryTask:
    def test_has_unique_samples_each_with_problem_and_target(self, name: str, tmp_path: Path) -> None:
        task = loaded(name, tmp_path)
        assert task.name == name
        assert task.version >= 1
        assert len({sample.id for sample in task.samples}) == len(task.samples) > 1
        for sample in task.samples:
            assert sample.problem.text.strip()
            assert sample.target == sample.target.strip() != ""
            assert all(isinstance(text, str) for item in sample.metadata.items() for text in item)

    def test_names_a_versioned_prompt_and_grader_and_its_source(self, name: str, tmp_path: Path) -> None:
        task = loaded(name, tmp_path)
        assert task.prompt in PROMPTS
        assert task.grader.rpartition("-")[2].isdigit()
        assert task.source.repo
        assert task.source.revision
        assert task.source.license

    def test_words_each_problem_by_the_prompt_asked_for(self, name: str, tmp_path: Path) -> None:
        for key, wording in PROMPTS.items():
            task = loaded(name, tmp_path, prompt=key)
            assert task.prompt == key
            for sample in task.samples:
                asked = Problem(wording.render(sample.question), sample.id, sample.problem.code)
                assert sample.problem == asked

    def test_is_the_same_each_time_it_is_loaded(self, name: str, tmp_path: Path) -> None:
        assert loaded(name, tmp_path) == loaded(name, tmp_path)
        assert loaded(name, tmp_path).digest == loaded(name, tmp_path).digest

    def test_has_another_digest_under_another_prompt_or_with_fewer_samples(self, name: str, tmp_path: Path) -> None:
        tasks_seen = [loaded(name, tmp_path, prompt=key) for key in PROMPTS] + [loaded(name, tmp_path, limit=1)]
        assert len({task.digest for task in tasks_seen}) == len(tasks_seen)

    def test_gives_the_samples_whose_ids_are_asked_for_in_its_own_order(self, name: str, tmp_path: Path) -> None:
        whole = loaded(name, tmp_path)
        ids = [sample.id for sample in whole.samples[:2]]
        assert [sample.id for sample in loaded(name, tmp_path, ids=ids[::-1]).samples] == ids

    def test_refuses_an_id_that_it_does_not_have(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no sample has the id 'nobody'; ids here look like"):
            loaded(name, tmp_path, ids=["nobody"])

    def test_gives_at_most_limit_samples_in_its_own_order(self, name: str, tmp_path: Path) -> None:
        whole = [sample.id for sample in loaded(name, tmp_path).samples]
        one = [sample.id for sample in loaded(name, tmp_path, limit=1).samples]
        two = [sample.id for sample in loaded(name, tmp_path, limit=2).samples]
        assert (len(one), len(two)) == (1, 2)
        assert set(one) < set(two)
        assert two == [sample_id for sample_id in whole if sample_id in two]

    def test_refuses_an_unknown_split_and_lists_its_own(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=rf"task {name} has no split 'sideways'. Known: \w+"):
            loaded(name, tmp_path, split="sideways")

    def test_travels_between_processes(self, name: str, tmp_path: Path) -> None:
        task = loaded(name, tmp_path)
        assert pickle.loads(pickle.dumps(task)) == copy.deepcopy(task) == task
        assert hash(task) == hash(loaded(name, tmp_path))


def test_every_definition_has_the_name_it_is_registered_under() -> None:
    modules = (gsm8k, math500, aime, amc, humaneval, humaneval_plus, mbpp, mbpp_plus, built_in, jsonl)
    assert [module.DEFINITION.name for module in modules] == tasks.names()
    for module in modules:
        data = module.DEFINITION.hub
        assert module.DEFINITION.prompt in PROMPTS
        if data is not None:
            whole = {"all"} if module is mbpp else set()
            assert set(data.files) == set(module.DEFINITION.splits) - whole
            assert len(data.revision) == 40
            assert all(len(file.sha256 or "") == 64 for file in data.files.values())


def test_an_unknown_task_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown task 'gsm8'; did you mean gsm8k\? Known: gsm8k, math500"):
        tasks.load("gsm8")
    with pytest.raises(UsageError, match=r"unknown task 'zzz'\. Known: gsm8k"):
        tasks.load("zzz")


def test_another_task_can_join_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    joined = Task("mine", 1, "all", "plain-1", "answer-1", Source("x", "y", "z"), (make_sample("a", "1+1?", "2"),))
    monkeypatch.setitem(tasks.TASKS, "mine", lambda: lambda _options: joined)
    assert tasks.load("mine") is joined


def test_the_registry_imports_no_task() -> None:
    code = "import sys, edgesearch.tasks; print([m for m in sys.modules if m.startswith('edgesearch.tasks.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ------------------------------------------------------------------------------------------------- samples and tasks


def test_the_target_never_sits_in_a_problem() -> None:
    sample = make_sample("a", "What is 6 * 7?", "42", {"level": "1"})
    assert {field.name for field in fields(sample.problem)} == {"text", "id", "code"}
    assert "42" not in sample.problem.text


def test_samples_and_tasks_are_frozen(tmp_path: Path) -> None:
    task = loaded("jsonl", tmp_path)
    with pytest.raises(FrozenInstanceError):
        task.samples[0].target = "8"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        task.digest = ""  # type: ignore[misc]


@pytest.mark.parametrize(
    ("sample_id", "question", "target", "message"),
    [
        ("", "Why?", "1", "empty id"),
        ("two\nlines", "Why?", "1", "must be one line"),
        ("i" * 201, "Why?", "1", "at most 200"),
        ("a", " \n", "1", "sample 'a' has an empty problem; write one"),
        ("a", "Why?", " ", "sample 'a' has an empty answer; write one"),
        ("a", "Why \ud800?", "1", "problem of sample 'a' holds half a surrogate pair"),
        ("a", "Why?", "\udfff", "answer of sample 'a' holds half a surrogate pair"),
    ],
)
def test_a_sample_without_usable_id_problem_or_target_is_refused(
    sample_id: str, question: str, target: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        make_sample(sample_id, question, target)


def task_of(*samples: Sample, **changed: str) -> Task:
    about = {"name": "t", "split": "all", "prompt": "plain-1", "grader": "answer-1"} | changed
    return Task(version=1, source=Source("x", "y", "z"), samples=samples, **about)  # type: ignore[arg-type]


def test_a_task_without_samples_or_with_two_of_one_id_is_refused() -> None:
    with pytest.raises(UsageError, match="task t has no samples"):
        task_of()
    with pytest.raises(UsageError, match="task t has two samples with the id 'a'"):
        task_of(make_sample("a", "1?", "1"), make_sample("b", "2?", "2"), make_sample("a", "3?", "3"))


def test_the_digest_is_of_ids_problems_targets_prompt_and_grader_alone() -> None:
    plain = task_of(make_sample("a", "1?", "1"))
    assert plain.digest == task_of(make_sample("a", "1?", "1", {"level": "3"}), name="u", split="test").digest
    different = [
        task_of(make_sample("b", "1?", "1")),
        task_of(make_sample("a", "2?", "1")),
        task_of(make_sample("a", "1?", "2")),
        task_of(make_sample("a", "1?", "1"), grader="math-1"),
        task_of(make_sample("a", "1?", "1"), prompt="boxed-1"),
    ]
    assert len({plain.digest, *(task.digest for task in different)}) == 6


def test_the_digest_stays_what_stored_runs_recorded() -> None:
    content = '{"grader":"answer-1","prompt":"plain-1","samples":[["a","\\u00bd of 4?","2"]]}'
    assert task_of(make_sample("a", "½ of 4?", "2")).digest == hashlib.sha256(content.encode()).hexdigest()


def test_a_limit_draws_by_its_seed_and_not_the_first_ones(tmp_path: Path) -> None:
    path = write(tmp_path, [{"problem": f"{i}?", "answer": i} for i in range(100)])
    drawn = [tuple(sample.id for sample in tasks.load("jsonl", data=path, limit=10, seed=s).samples) for s in range(5)]
    assert len(set(drawn)) == 5
    assert drawn[0] == tuple(sample.id for sample in tasks.load("jsonl", data=path, limit=10).samples)
    assert drawn[0] != tuple(f"line-{i + 1}" for i in range(10))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "limit is 0; it must be >= 1"),
        ({"limit": -3}, "limit is -3"),
        ({"ids": []}, "ids is empty"),
        ({"ids": ["line-1"], "limit": 1}, "give one of them"),
        ({"prompt": "boxed-9"}, "unknown prompt 'boxed-9'. Known: plain-1, boxed-1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        loaded("jsonl", tmp_path, **options)


# ------------------------------------------------------------------------------------------------------- prompts


def test_a_prompt_puts_the_problem_in_once_and_reads_nothing_in_it_as_a_template() -> None:
    problem = "What is {problem} in {0} and %s of \\boxed{}?"
    assert prompt("plain-1").render(f"  {problem}\n") == problem
    assert prompt("boxed-1").render(problem).startswith(problem + "\n\n")
    assert prompt("boxed-1").render("1+1?").endswith(r"inside \boxed{}.")


def test_the_wording_of_a_published_prompt_never_changes() -> None:
    """Edit none of these: a changed wording is a new version, with its own line here."""
    digests = {key: hashlib.sha256(wording.template.encode()).hexdigest()[:12] for key, wording in PROMPTS.items()}
    assert digests == {"plain-1": "b3e27e83bd38", "boxed-1": "af8cf48678e4", "code-1": "af1ab8bc0a89"}


def test_a_prompt_needs_one_place_for_the_problem_and_a_version() -> None:
    with pytest.raises(ValueError, match="must hold it once"):
        TaskPrompt("x", 1, "Solve it.")
    with pytest.raises(ValueError, match="version is 0"):
        TaskPrompt("x", 0, "{problem}")


# ---------------------------------------------------------------------------------------------------- data formats


@pytest.mark.parametrize("name", FROM_FILES)
def test_targets_are_read_from_the_published_format(name: str, tmp_path: Path) -> None:
    assert [sample.target for sample in loaded(name, tmp_path).samples] == TARGETS[name]


@pytest.mark.parametrize("name", FROM_FILES)
def test_a_local_file_is_recorded_by_its_name_and_digest(name: str, tmp_path: Path) -> None:
    task = loaded(name, tmp_path)
    digest = hashlib.sha256((tmp_path / "data.jsonl").read_bytes()).hexdigest()
    assert (task.source.repo, task.source.revision) == ("file:data.jsonl", f"sha256:{digest}")


def test_gsm8k_names_samples_by_split_and_position(tmp_path: Path) -> None:
    assert [sample.id for sample in loaded("gsm8k", tmp_path).samples][:2] == ["gsm8k-test-0000", "gsm8k-test-0001"]
    assert loaded("gsm8k", tmp_path, split="train").samples[2].id == "gsm8k-train-0002"


@pytest.mark.parametrize("answer", ["18", "It is 18.\n####", "#### eighteen", "#### 1,00", "#### 2.5", "#### 1\n2"])
def test_gsm8k_refuses_an_answer_without_a_final_whole_number(answer: str, tmp_path: Path) -> None:
    path = write(tmp_path, [{"question": "Why?", "answer": answer}])
    with pytest.raises(UsageError, match=r"line 1 of data\.jsonl: 'answer' must end in '#### 18'"):
        tasks.load("gsm8k", data=path)


def test_math_500_keeps_level_and_subject_in_one_spelling(tmp_path: Path) -> None:
    first = loaded("math500", tmp_path).samples[0]
    assert first.metadata == {"level": "4", "subject": "Prealgebra"}
    assert first.id == "test/prealgebra/1302.json"
    other = write(tmp_path, [ROWS["math500"][0] | {"level": "Level 4"}], "other.jsonl")
    assert tasks.load("math500", data=other).samples[0] == first


def test_contest_problems_are_split_by_year_and_named_by_their_page(tmp_path: Path) -> None:
    assert [sample.id for sample in loaded("aime", tmp_path).samples] == ["aime-2024-I-2", "aime-2024-II-15"]
    assert [sample.id for sample in loaded("aime", tmp_path, split="2023").samples] == ["aime-2023-I-1"]
    assert len(loaded("aime", tmp_path, split="all").samples) == 3
    assert [sample.id for sample in loaded("amc", tmp_path).samples] == ["amc-2023-12A-1", "amc-2023-12B-1"]
    assert [sample.id for sample in loaded("amc", tmp_path, split="all").samples][2] == "amc-2022-12A-1"
    assert loaded("amc", tmp_path).samples[1].metadata == {"year": "2023", "contest": "12B", "number": "1"}


@pytest.mark.parametrize("name", ["aime", "amc"])
def test_contest_copies_that_name_the_answer_otherwise_are_read_too(name: str, tmp_path: Path) -> None:
    rows = [{("extracted_groundtruth" if key == "answer" else key): row[key] for key in row} for row in ROWS[name]]
    assert tasks.load(name, data=write(tmp_path, rows, "other.jsonl")).digest == loaded(name, tmp_path).digest


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("aime", {"answer": "1000"}, "'1000' is not a whole number from 0 to 999"),
        ("aime", {"answer": -1}, "'-1' is not a whole number from 0 to 999"),
        ("aime", {"answer": "²"}, "'²' is not a whole number"),
        ("aime", {"url": "https://example.com"}, "'url' must end like"),
        ("amc", {"answer": 2.5}, "not a whole number, such as 27"),
        ("amc", {"answer": True}, "'answer' must be text or a number, not true or false"),
        ("amc", {"url": 7}, "'url' must be text, not 7"),
        ("math500", {"unique_id": None}, "there is no field 'unique_id'; the fields are 'problem'"),
        ("gsm8k", {"question": ["Why?"]}, "'question' must be text, not a list"),
    ],
)
def test_a_row_of_the_wrong_form_is_refused_by_its_line(
    name: str, change: dict[str, object], message: str, tmp_path: Path
) -> None:
    path = write(tmp_path, [ROWS[name][0], ROWS[name][1] | change])
    with pytest.raises(UsageError, match=r"^line 2 of data\.jsonl: ") as caught:
        tasks.load(name, data=path)
    assert message in str(caught.value)


def test_a_file_of_another_split_is_told_apart_from_an_empty_task(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data\.jsonl has no samples of the split '2022'; check"):
        loaded("aime", tmp_path, split="2022")


def test_a_file_with_one_id_twice_names_both_lines(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"line 3 of data\.jsonl repeats the id 'aime-2024-I-2' of line 1"):
        tasks.load("aime", data=write(tmp_path, [*ROWS["aime"][:2], ROWS["aime"][0]]))


# ------------------------------------------------------------------------------------------------ built-in arithmetic


def test_arithmetic_grows_and_keeps_its_start() -> None:
    small, large = tasks.load("arithmetic", limit=5), tasks.load("arithmetic", limit=20)
    assert small.samples == large.samples[:5]
    assert tasks.load("arithmetic", limit=5, seed=1).digest != small.digest


@pytest.mark.parametrize("split", ["mixed", "phrasings", "structures"])
def test_arithmetic_keeps_level_and_family_in_each_split(split: str) -> None:
    task = tasks.load("arithmetic", split=split, limit=12)
    assert [sample.id for sample in task.samples] == [f"arith-{split}-0-{i:06d}" for i in range(12)]
    assert len({sample.metadata["family"] for sample in task.samples}) == 10
    assert {sample.metadata["level"] for sample in task.samples} <= {"1", "2", "3", "4", "5"}
    assert (task.grader, task.source.repo, task.source.revision) == ("arithmetic-1", "built-in", "seed-0")


def test_arithmetic_asks_the_bare_problem_so_that_built_in_models_know_it() -> None:
    assert all(sample.problem.text == sample.question for sample in tasks.load("arithmetic", limit=10).samples)


def test_arithmetic_draws_up_to_an_id_far_in_the_set() -> None:
    assert tasks.load("arithmetic", ids=["arith-mixed-0-000620"]).samples[0].id == "arith-mixed-0-000620"


def test_the_example_in_the_docstring_of_arithmetic_is_really_drawn() -> None:
    sample = tasks.load("arithmetic", ids=["arith-mixed-0-000011"]).samples[0]
    stated = " ".join((built_in.__doc__ or "").split())
    assert sample.question in stated
    assert f'target "{sample.target}", id "{sample.id}"' in stated
    assert json.dumps(sample.metadata) in stated


def test_arithmetic_reads_no_file_and_has_a_largest_size(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is generated and reads no file"):
        tasks.load("arithmetic", data=write(tmp_path, ROWS["jsonl"]))
    for options in ({"limit": 100_001}, {"ids": ["arith-mixed-0-999999999"]}):
        with pytest.raises(UsageError, match="at most 100,000"):
            tasks.load("arithmetic", **options)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------ JSONL files


def rows_of(path: Path) -> list[Row]:
    return list(read_rows(path))


def test_blank_lines_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    plain = '{"problem": "1+1?", "answer": "2"}\n{"problem": "Ä?", "answer": "3"}'
    path = write(tmp_path, b"\xef\xbb\xbf" + plain.replace("\n", "\r\n\r\n \t\r\n").encode() + b"\r\n\r\n")
    assert [(row.number, row.index) for row in rows_of(path)] == [(1, 0), (4, 1)]
    task = tasks.load("jsonl", data=path)
    assert [sample.id for sample in task.samples] == ["line-1", "line-4"]
    assert task.samples[1].question == "Ä?"


def test_unicode_line_separators_inside_a_text_do_not_end_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, '{"problem": "a\u2028b\u0085c?", "answer": "1"}\n')
    assert tasks.load("jsonl", data=path).samples[0].question == "a\u2028b\u0085c?"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"problem": "\xff"}', r"is not UTF-8 (byte 14 of the line); save the file as UTF-8"),
        ('{"problem": "1"}'.encode("utf-16"), "is not UTF-8"),
        (b'{"problem": "1"', "is not JSON (Expecting ',' delimiter, column 16)"),
        (b'{"problem": "1"} {"problem": "2"}', "is not JSON (Extra data"),
        (b'{"answer": NaN}', "is not JSON (NaN is not a JSON number)"),
        (b'{"answer": -Infinity}', "is not JSON (-Infinity is not a JSON number)"),
        (b'{"answer": ' + b"9" * 5000 + b"}", "is not JSON (Exceeds the limit"),
        (b"[" * 200_000, "is not JSON ("),
        (b"[]", "is a list, not an object"),
        (b"7", "is 7, not an object"),
        (b"null", "is null, not an object"),
    ],
)
def test_a_line_that_is_not_an_object_is_refused_by_its_number(line: bytes, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, b'{"problem": "1?", "answer": "1"}\n\n' + line + b"\n")
    with pytest.raises(UsageError) as caught:
        tasks.load("jsonl", data=path)
    assert str(caught.value).startswith("line 3 of data.jsonl ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"problem": "1?"}, "there is no field 'answer'; the fields are 'problem'"),
        ({"answer": "1"}, "there is no field 'problem' or 'question'; the fields are 'answer'"),
        ({}, "the fields are none"),
        ({"problem": "1?", "answer": None}, "there is no field 'answer'"),
        ({"problem": 1, "answer": "1"}, "'problem' must be text, not 1"),
        ({"problem": "1?", "answer": ["1"]}, "'answer' must be text or a number, not a list"),
        ({"problem": "1?", "answer": {"a": 1}}, "'answer' must be text or a number, not an object"),
        ({"problem": "1?", "answer": False}, "'answer' must be text or a number, not true or false"),
        ({"problem": "1?", "question": "2?", "answer": "1"}, "'problem' and 'question' are both there"),
        ({"problem": " ", "answer": "1"}, "has an empty problem"),
        ({"problem": "1?", "answer": ""}, "has an empty answer"),
        ({"problem": "1?", "answer": "1", "id": ""}, "a sample has an empty id"),
        ({"problem": "1?", "answer": "1", "id": "\x1b[2J"}, r"the id '\x1b[2J' must be one line"),
        ({"problem": "1?", "answer": "1", "level": []}, "'level' must be text or a number, not a list"),
        ({"question": "1?", "answer": "1+1\n#### 2"}, "load this file as the task gsm8k"),
        ({"problem": "\ud800?", "answer": "1"}, "holds half a surrogate pair"),
    ],
)
def test_fields_of_the_wrong_form_are_refused(row: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        tasks.load("jsonl", data=write(tmp_path, [row]))
    assert str(caught.value).startswith("line 1 of data.jsonl: ")
    assert message in str(caught.value)


def test_an_overflowing_number_is_not_an_answer(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'answer' must be text or a number, not inf"):
        tasks.load("jsonl", data=write(tmp_path, '{"problem": "1?", "answer": 1e999}'))


def test_numbers_are_spelled_without_a_needless_fraction(tmp_path: Path) -> None:
    numbers = [7, 27.0, -1.0, 2.5, 1e300, 0.1, 10**20]
    path = write(tmp_path, [{"problem": "1?", "answer": number} for number in numbers])
    targets = [sample.target for sample in tasks.load("jsonl", data=path).samples]
    assert targets == ["7", "27", "-1", "2.5", "1e+300", "0.1", "100000000000000000000"]


def test_ids_and_metadata_may_be_numbers_and_other_fields_are_ignored(tmp_path: Path) -> None:
    row = {
        "id": 7,
        "problem": "1?",
        "answer": "1",
        "level": 3,
        "family": "x",
        "solution": {"steps": []},
        "subject": None,
    }
    sample = tasks.load("jsonl", data=write(tmp_path, [row])).samples[0]
    assert sample.id == "7"
    assert sample.metadata == {"level": "3", "family": "x"}


def test_an_id_that_equals_a_line_name_is_still_a_duplicate(tmp_path: Path) -> None:
    rows = [{"problem": "1?", "answer": 1, "id": "line-2"}, {"problem": "2?", "answer": 2}]
    with pytest.raises(UsageError, match=r"line 2 of data\.jsonl repeats the id 'line-2' of line 1"):
        tasks.load("jsonl", data=write(tmp_path, rows))


def test_a_line_over_the_limit_is_refused_before_it_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rows.MAX_LINE_BYTES == 10_000_000
    monkeypatch.setattr(rows, "MAX_LINE_BYTES", 40)
    path = write(tmp_path, b'{"problem": "1?", "answer": "1"}\n' + b" " * 41 + b"\n")
    with pytest.raises(UsageError, match=r"line 2 of data\.jsonl is longer than 40 bytes"):
        tasks.load("jsonl", data=path)


def test_a_file_with_too_many_samples_or_bytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, ROWS["jsonl"])
    monkeypatch.setattr(rows, "MAX_SAMPLES", 1)
    with pytest.raises(UsageError, match="more than 1 samples"):
        tasks.load("jsonl", data=path)
    monkeypatch.setattr(rows, "MAX_FILE_BYTES", 10)
    with pytest.raises(UsageError, match="larger than 10 bytes"):
        tasks.load("jsonl", data=path)


def test_a_file_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no samples"):
        tasks.load("jsonl", data=write(tmp_path, b"\n \n"))


@pytest.mark.parametrize("name", FROM_FILES)
def test_a_missing_file_or_a_folder_is_refused(name: str, tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.jsonl", tmp_path):
        with pytest.raises(UsageError, match="is not a file; check the path given with --data"):
            tasks.load(name, data=path)


def test_jsonl_asks_for_its_file() -> None:
    with pytest.raises(UsageError, match="task jsonl reads a file of yours; give it with --data FILE"):
        tasks.load("jsonl")


@contextmanager
def suppress_naming(name: str) -> Iterator[None]:
    """Passes over a usage error that names the file; any other fails the test."""
    try:
        yield
    except UsageError as error:
        if name not in str(error):
            raise


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
json_rows = st.dictionaries(
    st.sampled_from(["problem", "question", "answer", "id", "level", "subject", "note"]), json_values, max_size=6
)


@unhurried
@given(
    lines=st.lists(
        st.binary(max_size=80) | json_rows.map(lambda row: json.dumps(row).encode()) | st.just(b""), max_size=6
    )
)
def test_any_file_makes_a_task_or_a_usage_error_that_names_the_file(
    lines: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write(tmp_path_factory.getbasetemp(), b"\n".join(lines), "any.jsonl")
    with suppress_naming("any.jsonl"):
        task = tasks.load("jsonl", data=path)
        assert all(sample.id and sample.target.strip() and sample.problem.text.strip() for sample in task.samples)


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(str.strip)


@unhurried
@given(
    pairs=st.lists(st.tuples(texts, texts.filter(lambda text: "####" not in text)), min_size=1, max_size=5),
    gap=st.sampled_from(["\n", "\r\n", "\n\n", "\r\n \r\n"]),
    mark=st.booleans(),
    is_ascii=st.booleans(),
)
def test_what_is_written_as_jsonl_is_read_back_whatever_the_line_ends(
    pairs: list[tuple[str, str]], gap: str, mark: bool, is_ascii: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines = [json.dumps({"problem": p, "answer": a}, ensure_ascii=is_ascii) for p, a in pairs]
    content = (b"\xef\xbb\xbf" if mark else b"") + gap.join(lines).encode()
    task = tasks.load("jsonl", data=write(tmp_path_factory.getbasetemp(), content, "back.jsonl"), prompt="plain-1")
    assert [(sample.question, sample.target) for sample in task.samples] == [(p, a.strip()) for p, a in pairs]


# -------------------------------------------------------------------------------------------------- Parquet files


def fake_pyarrow(monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, object]], num_rows: int | None = None) -> None:
    """A stand-in for the reader, since the extra is not needed to run the tests."""

    def parquet_file(path: Path) -> SimpleNamespace:
        if path.read_bytes()[:4] != b"PAR1":
            raise ValueError("magic bytes not found")
        group = SimpleNamespace(total_byte_size=100)
        metadata = SimpleNamespace(num_rows=num_rows or len(rows), num_row_groups=1, row_group=lambda _index: group)
        return SimpleNamespace(metadata=metadata, read=lambda: SimpleNamespace(to_pylist=lambda: rows))

    module = ModuleType("pyarrow.parquet")
    module.ParquetFile = parquet_file  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyarrow", ModuleType("pyarrow"))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", module)


@pytest.mark.parametrize("name", FROM_FILES)
def test_a_parquet_copy_is_the_same_task_as_a_jsonl_copy(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_pyarrow(monkeypatch, ROWS[name])
    task = tasks.load(name, data=write(tmp_path, b"PAR1...", "data.parquet"))
    assert task.digest == loaded(name, tmp_path).digest


def test_a_bad_row_or_file_of_parquet_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, b"PAR1...", "data.parquet")
    fake_pyarrow(monkeypatch, [{"problem": "1?", "answer": 1}, {"problem": "2?", "answer": float("nan")}])
    with pytest.raises(UsageError, match=r"row 2 of data\.parquet: 'answer' must be text or a number, not nan"):
        tasks.load("jsonl", data=path)
    fake_pyarrow(monkeypatch, [], num_rows=10**9)
    with pytest.raises(UsageError, match="give a smaller file"):
        tasks.load("jsonl", data=path)
    with pytest.raises(UsageError, match="is not a Parquet file that can be read"):
        tasks.load("jsonl", data=write(tmp_path, b"text", "text.parquet"))


def test_parquet_without_its_reader_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    for options in ({"data": write(tmp_path, b"PAR1", "data.parquet")}, {}):
        with pytest.raises(EdgesearchError, match=r"pip install 'edgesearch\[bench\]'.*--data FILE"):
            tasks.load("gsm8k", **options)


# ------------------------------------------------------------------------------------------------------- the hub


def hub_gives(monkeypatch: pytest.MonkeyPatch, result: Path | Exception) -> list[dict[str, object]]:
    requests: list[dict[str, object]] = []

    def download(repo: str, name: str, **options: object) -> str:
        requests.append({"repo": repo, "name": name} | options)
        return str(result)

    def about(_api: object, repo: str, **_options: object) -> None:
        if isinstance(result, Exception):
            requests.append({"repo": repo})
            raise result

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_names, **_options: None)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", about)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return requests


def published(content: bytes) -> Definition:
    file = HubFile("all.jsonl", len(content), hashlib.sha256(content).hexdigest())
    return Definition("mine", "math-1", "plain-1", ("all",), "MIT", HubData("some/data", "c" * 40, {"all": file}))


def test_the_hub_is_asked_for_a_dataset_at_its_pinned_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, ROWS["jsonl"])
    requests = hub_gives(monkeypatch, path)
    task = loading.load_rows(published(path.read_bytes()), Options(), jsonl._sample)
    asked = {key: requests[0][key] for key in ("repo", "name", "repo_type", "revision")}
    assert asked == {"repo": "some/data", "name": "all.jsonl", "repo_type": "dataset", "revision": "c" * 40}
    assert task.source == Source("some/data", "c" * 40, "MIT")


def test_data_downloaded_before_cost_no_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, ROWS["jsonl"])
    requests = hub_gives(monkeypatch, ConnectionError("no route"))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_names, **_options: str(path))
    assert len(loading.load_rows(published(path.read_bytes()), Options(), jsonl._sample).samples) == 2
    assert requests == []


def test_a_hub_copy_and_a_local_copy_are_one_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, ROWS["jsonl"])
    hub_gives(monkeypatch, path)
    definition = published(path.read_bytes())
    from_hub = loading.load_rows(definition, Options(), jsonl._sample)
    local = loading.load_rows(definition, Options(data=path), jsonl._sample)
    assert from_hub.digest == local.digest
    assert from_hub.source != local.source


@pytest.mark.parametrize("name", ["gsm8k", "math500", "aime", "amc"])
def test_a_download_that_is_not_what_was_published_is_refused_and_deleted(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_pyarrow(monkeypatch, ROWS[name])
    path = write(tmp_path, ROWS[name])
    hub_gives(monkeypatch, path)
    with pytest.raises(IntegrityError, match="or give a copy of the data with --data FILE"):
        tasks.load(name)
    assert not path.exists()


@pytest.mark.parametrize("name", ["gsm8k", "math500", "aime", "amc"])
@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (OfflineModeIsEnabled("offline"), "HF_HUB_OFFLINE is set"),
        (LocalEntryNotFoundError("nobody answers"), "could not be downloaded"),
        (ConnectionError("no route"), "could not be downloaded"),
    ],
)
def test_without_the_hub_the_error_names_the_dataset_and_the_way_out(
    name: str, failure: Exception, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_pyarrow(monkeypatch, [])
    requests = hub_gives(monkeypatch, failure)
    with pytest.raises(ModelNotFound, match=message) as caught:
        tasks.load(name)
    assert str(requests[0]["repo"]) in str(caught.value)
    assert "give a copy of the data with --data FILE" in str(caught.value)
    assert "GGUF" not in str(caught.value)


# ----------------------------------------------------------------------------------------------------- real data


def real(name: str) -> Path:
    folder = os.environ.get("EDGESEARCH_TEST_DATA")
    path = Path(folder or "", name)
    if not folder or not path.is_file():
        pytest.skip(f"set EDGESEARCH_TEST_DATA to a folder that holds {name}")
    return path


def test_the_real_gsm8k_is_read_whole() -> None:
    task = tasks.load("gsm8k", data=real("gsm8k/test.jsonl"))
    assert len(task.samples) == 1319
    assert [sample.target for sample in task.samples[:4]] == ["18", "3", "70000", "540"]
    assert all(sample.target.lstrip("-").isdigit() for sample in task.samples)
    robe = task.samples[1]
    assert " ".join(robe.question.split()) in " ".join((gsm8k.__doc__ or "").split())
    assert (robe.target, robe.id) == ("3", "gsm8k-test-0001")


def test_the_real_math_500_is_read_whole() -> None:
    task = tasks.load("math500", data=real("math500/test500.jsonl"))
    assert len(task.samples) == 500
    assert {sample.metadata["level"] for sample in task.samples} == {"1", "2", "3", "4", "5"}
    assert len({sample.metadata["subject"] for sample in task.samples}) == 7
    root = next(sample for sample in task.samples if sample.id == "test/prealgebra/1834.json")
    assert (root.target, root.metadata) == (r"\sqrt{53}", {"level": "4", "subject": "Prealgebra"})


def test_the_real_aime_2024_is_read_whole() -> None:
    task = tasks.load("aime", data=real("math500/test_aime.jsonl"))
    assert len(task.samples) == 30
    assert [sample.target for sample in task.samples[:3]] == ["204", "25", "809"]
    assert task.samples[1].id == "aime-2024-I-2"


def test_the_real_amc_2023_is_read_whole() -> None:
    task = tasks.load("amc", data=real("math500/test_amc.jsonl"))
    assert len(task.samples) == 40
    assert [sample.target for sample in task.samples[:5]] == ["27", "4", "8", "18", "265"]
    assert "-1" in {sample.target for sample in task.samples}

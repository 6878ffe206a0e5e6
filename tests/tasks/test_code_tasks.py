"""Tasks whose answers are programs: what of a row becomes the problem and what stays hidden, in every published format.

The real data are read only where the environment variable EDGESEARCH_TEST_DATA names their folder.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgesearch import hub, tasks
from edgesearch.errors import UsageError
from edgesearch.sandbox.pool import TrialPool
from edgesearch.sandbox.trial import Trial, setup_of
from edgesearch.tasks import loading, mbpp, rows
from edgesearch.tasks.base import Sample, Source, Task
from edgesearch.tasks.python_code import published_id
from edgesearch.types import CodeSpec

PREFIX = 'def add(a, b):\n    """Adds.\n    >>> add(1, 2)\n    3\n    """\n'
HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": PREFIX,
    "entry_point": "add",
    "canonical_solution": "    return a + b\n",
    "test": "\n\nMETADATA = {}\n\n\ndef check(candidate):\n    assert candidate(1, 2) == 3\n"
    "    assert candidate(0, 0) == 0\n",
}
MBPP = {
    "source_file": "Benchmark Questions Verification V2.ipynb",
    "task_id": 14,
    "prompt": "Write a function to add two numbers.",
    "code": "def helper(a): return a\ndef add(a, b):\n  return helper(a) + b",
    "test_imports": ["import math"],
    "test_list": ["assert math.isclose(add(1, 2), 3)", "assert add(0, 0) == 0"],
}
COPIED = {  # as CodeT has MBPP
    "task_id": "MbppEval/14",
    "prompt": "def helper(a):\n    '''\n    Write a function to add two numbers.\n    '''\n",
    "entry_point": "helper ",
    "canonical_solution": "  return a\ndef add(a, b):\n  return helper(a) + b\n",
    "test": "def check(candidate):\n    assert math.isclose(add(1, 2), 3)\n    assert add(0, 0) == 0\n",
}
EVALPLUS = """import numpy as np
from math import inf

def is_floats(x):
    return isinstance(x, float) or (isinstance(x, (list, tuple)) and all(isinstance(i, float) for i in x))

def assertion(out, exp, atol):
    if atol == 0 and is_floats(exp):
        atol = 1e-6
    if out != exp and atol != 0:
        assert np.allclose(out, exp, rtol=1e-07, atol=atol)
    else:
        assert out == exp

inputs = [[1, 2], [0.1, 0.2], [inf, 1]]
results = [3.0, 0.3, inf]
for i, (inp, exp) in enumerate(zip(inputs, results)):
    assertion(add(*inp), exp, 0)
"""


def loaded(name: str, folder: Path, *records: object, **options: str) -> Task:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return tasks.load(name, data=path, **options)


def sample_of(name: str, folder: Path, record: dict[str, object]) -> Sample:
    return loaded(name, folder, record).samples[0]


def code_of(sample: Sample) -> CodeSpec:
    assert sample.problem.code is not None
    return sample.problem.code


def passes(sample: Sample, **functions: Callable[..., object]) -> bool:
    """Whether functions of ours pass the hidden tests of a sample of ours."""
    names: dict[str, object] = {}
    exec(setup_of(code_of(sample).prefix), names)
    names |= functions
    try:
        exec(sample.target, names)
    except AssertionError:
        return False
    return True


# ------------------------------------------------------------------------------------------------- what a row becomes


def test_a_humaneval_row_asks_for_its_function_and_shows_its_docstring(tmp_path: Path) -> None:
    sample = sample_of("humaneval", tmp_path, HUMANEVAL)
    assert sample.id == "HumanEval/0"
    assert code_of(sample) == CodeSpec(("add",), PREFIX, ("assert add(1, 2) == 3",))
    assert sample.question == PREFIX
    assert sample.target.endswith("assert candidate(0, 0) == 0\n\ncheck(add)")
    assert passes(sample, add=lambda a, b: a + b)
    assert not passes(sample, add=lambda _a, _b: 3)
    assert sample.metadata == {"function": "add", "num_visible_tests": "1"}


def test_the_reference_and_the_hidden_tests_never_reach_the_problem(tmp_path: Path) -> None:
    for name, record in (("humaneval", HUMANEVAL), ("mbpp", MBPP), ("mbpp", COPIED)):
        problem = repr(sample_of(name, tmp_path, record).problem)
        assert "return" not in problem
        assert "(0, 0)" not in problem


def test_an_mbpp_row_shows_its_first_assert_and_hides_them_all(tmp_path: Path) -> None:
    sample = sample_of("mbpp", tmp_path, MBPP)
    code = code_of(sample)
    assert sample.id == "Mbpp/14"
    assert code.functions == ("add",)
    assert code.prefix == '"""\nWrite a function to add two numbers.\nassert math.isclose(add(1, 2), 3)\n"""\n'
    assert code.tests == ("import math\nassert math.isclose(add(1, 2), 3)",)
    assert sample.target == "import math\nassert math.isclose(add(1, 2), 3)\nassert add(0, 0) == 0"
    assert passes(sample, add=lambda a, b: a + b)


def test_codets_copy_of_mbpp_asks_for_what_its_tests_call(tmp_path: Path) -> None:
    sample = sample_of("mbpp", tmp_path, COPIED)
    code = code_of(sample)
    assert sample.id == "Mbpp/14"
    assert code.functions == ("add",)  # its entry_point is the first function of the reference, which may be a helper
    assert code.tests == ("import math\nassert math.isclose(add(1, 2), 3)",)
    assert passes(sample, add=lambda a, b: a + b)


def test_a_function_called_check_or_like_one_of_pythons_own_is_tested(tmp_path: Path) -> None:
    for name in ("check", "sum"):
        own = {"code": f"def {name}(n): return n", "test_list": [f"assert {name}(7) == 7"], "test_imports": []}
        copied = {
            "prompt": f"def {name}(n):\n    '''Same.'''\n",
            "entry_point": name,
            "canonical_solution": "    return n\n",
            "test": f"def check(candidate):\n    assert {name}(7) == 7\n",
        }
        for record in (MBPP | own, COPIED | copied):
            sample = sample_of("mbpp", tmp_path, record)
            assert code_of(sample).functions == (name,)
            assert sample.target == f"assert {name}(7) == 7"
            assert passes(sample, **{name: lambda n: n})


def test_evalplus_tests_run_without_numpy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    sample = sample_of("mbpp_plus", tmp_path, MBPP | {"test": EVALPLUS})
    assert passes(sample, add=lambda a, b: a + b)
    assert passes(sample, add=lambda a, b: a + b + 1e-9)
    assert not passes(sample, add=lambda a, b: round(a + b) if math.isfinite(a) else a)
    assert code_of(sample).tests == ("import math\nassert math.isclose(add(1, 2), 3)",)
    as_check = EVALPLUS.replace("inputs =", "def check(add):\n  inputs =").replace("\nresults", "\n  results")
    as_check = as_check.replace("\nfor i", "\n  for i").replace("    assertion(add", "      assertion(add")
    sample = sample_of("humaneval_plus", tmp_path, HUMANEVAL | {"test": as_check})
    assert passes(sample, add=lambda a, b: a + b)
    assert not passes(sample, add=lambda _a, _b: 3)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ([[1.0, 4.0], [2.0, 3.0]], [[1.0 + 1e-9, 4.0], [2.0, 3.0]]),
        ([1.0, 2.0], [1.0, 2.1]),
        ([1.0, 2.0], [1.0]),
        ((1.0, 2), [1.0, 2.0]),
        (math.inf, math.inf),
        (math.inf, -math.inf),
        (0.0, 1e-9),
        (1e9, 1e9 + 1),
    ],
)
def test_the_written_out_comparison_agrees_with_numpys(left: object, right: object, tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    test = "import numpy as np\ndef check(f):\n    f(np.allclose, np.testing.assert_allclose)\n"
    sample = sample_of("humaneval_plus", tmp_path, HUMANEVAL | {"test": test})
    found: list[bool] = []

    def compare(allclose: Callable[..., bool], assert_allclose: Callable[..., None]) -> None:
        found.append(allclose(left, right, rtol=1e-7, atol=1e-6))
        try:
            assert_allclose(left, right, atol=1e-6)
            found.append(True)
        except AssertionError:
            found.append(False)

    names: dict[str, object] = {"add": compare}
    exec(sample.target, names)
    try:
        expected = bool(numpy.allclose(left, right, rtol=1e-7, atol=1e-6))
    except ValueError:  # other shapes
        expected = False
    assert found == [expected, expected]


def test_numpy_for_more_than_that_stays(tmp_path: Path) -> None:
    sample = sample_of("mbpp_plus", tmp_path, MBPP | {"test": "import numpy as np\nassert add(np.zeros(1), 0) == 0"})
    assert "import numpy as np" in sample.target


def test_a_test_that_no_python_can_read_stays_in_the_task(tmp_path: Path) -> None:
    broken = HUMANEVAL | {"task_id": "HumanEval/1", "test": "def check(candidate)\n    assert"}
    task = loaded("humaneval", tmp_path, HUMANEVAL, broken)
    assert task.samples[1].target.startswith("def check(candidate)")
    assert sample_of(
        "mbpp", tmp_path, MBPP | {"test_list": ["assert add(1, 2) ==", "assert add("], "entry_point": "add"}
    )
    assert sample_of("mbpp", tmp_path, COPIED | {"test": "assert ("})


def test_words_with_backslashes_or_quotes_make_a_prefix_that_is_python(tmp_path: Path) -> None:
    for test in (r"assert add('\d') == '\\'", "assert add('''a''', \"\"\"b\"\"\") == 1"):
        code = code_of(sample_of("mbpp", tmp_path, MBPP | {"test_list": [test]}))
        compile(code.prefix, "prefix", "exec")
        assert test in code.prefix


def test_a_real_sandbox_agrees_with_the_hidden_and_the_visible_tests(tmp_path: Path) -> None:
    sample, other = sample_of("humaneval", tmp_path, HUMANEVAL), sample_of("mbpp", tmp_path, COPIED)
    right, wrong = PREFIX + "    return a + b\n", PREFIX + "    return 3\n"
    with TrialPool(num_workers=1) as pool:
        for tested in (sample, other):
            code = code_of(tested)
            setup = setup_of(code.prefix)
            hidden = [pool.run(Trial(program, code.functions, (tested.target,), setup)) for program in (right, wrong)]
            assert [result.is_passed for result in hidden] == [True, False]
            assert not any(result.error for result in hidden)
            assert pool.run(Trial(wrong, code.functions, code.tests, setup)).is_passed


# ------------------------------------------------------------------------------------------------- digests and splits


def test_the_digest_depends_on_the_functions_the_prefix_and_the_visible_tests(tmp_path: Path) -> None:
    task = loaded("humaneval", tmp_path, HUMANEVAL)
    sample = task.samples[0]
    code = code_of(sample)
    changed = [
        replace(code, functions=("add", "sub")),
        replace(code, prefix=code.prefix + "\n"),
        replace(code, tests=()),
        replace(code, tests=(*code.tests, "assert add(2, 2) == 4")),
        None,
    ]
    digests = {task.digest}
    for other in changed:
        problem = replace(sample.problem, code=other)
        digests.add(replace(task, samples=(replace(sample, problem=problem),)).digest)
    assert len(digests) == 1 + len(changed)


def test_mbpps_splits_are_ranges_of_ids(tmp_path: Path) -> None:
    records = [MBPP | {"task_id": number} for number in (2, 11, 510, 511, 600, 601, 974)]
    ids = {
        split: [sample.id for sample in loaded("mbpp", tmp_path, *records, split=split).samples]
        for split in mbpp.DEFINITION.splits
    }
    assert len(ids["all"]) == 7
    assert ids["prompt"] == ["Mbpp/2"]
    assert ids["test"] == ["Mbpp/11", "Mbpp/510"]
    assert ids["validation"] == ["Mbpp/511", "Mbpp/600"]
    assert ids["train"] == ["Mbpp/601", "Mbpp/974"]


def test_all_of_mbpp_is_its_four_files_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def downloaded(_data: object, file: hub.HubFile) -> Path:
        asked.append(file.name)
        path = tmp_path / f"{len(asked)}.jsonl"
        path.write_text(json.dumps(MBPP | {"task_id": len(asked)}) + "\n", encoding="utf-8")
        return path

    monkeypatch.setattr(loading, "_downloaded", downloaded)
    task = tasks.load("mbpp")
    assert [name.split("/")[1].split("-")[0] for name in asked] == ["prompt", "test", "validation", "train"]
    assert [sample.id for sample in task.samples] == ["Mbpp/1", "Mbpp/2", "Mbpp/3", "Mbpp/4"]
    assert task.source == Source(
        "google-research-datasets/mbpp", "4bb6404fdc6cacfda99d4ac4205087b89d32030c", "CC-BY-4.0"
    )


@pytest.mark.parametrize(
    ("written", "published"),
    [
        ("HumanEval/7", "HumanEval/7"),
        ("Mbpp/2", "Mbpp/2"),
        ("MbppEval/2", "Mbpp/2"),
        ("2", "Mbpp/2"),
        ("other", "other"),
        ("Mbpp/x", "Mbpp/x"),
    ],
)
def test_ids_are_written_as_their_publisher_writes_them(written: str, published: str) -> None:
    assert published_id(written) == published


# ------------------------------------------------------------------------------------------------------------- files


def test_gzipped_files_and_json_arrays_are_read(tmp_path: Path) -> None:
    plain = loaded("humaneval", tmp_path, HUMANEVAL)
    packed = tmp_path / "HumanEval.jsonl.gz"
    packed.write_bytes(gzip.compress((tmp_path / "data.jsonl").read_bytes()))
    assert tasks.load("humaneval", data=packed).digest == plain.digest
    array = tmp_path / "sanitized-mbpp.json"
    array.write_text(json.dumps([MBPP, MBPP | {"task_id": 15}], indent=2), encoding="utf-8")
    assert [sample.id for sample in tasks.load("mbpp", data=array).samples] == ["Mbpp/14", "Mbpp/15"]
    lines = tmp_path / "lines.json"
    lines.write_text(json.dumps(MBPP) + "\n", encoding="utf-8")
    assert [sample.id for sample in tasks.load("mbpp", data=lines).samples] == ["Mbpp/14"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.jsonl.gz", b"not gzip", "is not a gzip file that can be read"),
        ("x.jsonl.gz", gzip.compress(json.dumps(MBPP).encode() + b"\n")[:-9], "is not a gzip file that can be read"),
        ("x.json", b'[{"task_id": 1},', "is not JSON in UTF-8"),
        ("x.json", b'["\xff"]', "is not JSON in UTF-8"),
        ("x.json", b"[" * 100_000, "is not JSON in UTF-8"),
        ("x.json", b"[1]", "record 1 of x.json is 1, not an object"),
        ("x.json", b"[]", "has no samples"),
        ("x.json", json.dumps([MBPP, MBPP]).encode(), "record 2 of x.json repeats the id 'Mbpp/14' of record 1"),
    ],
)
def test_broken_files_are_refused_by_name(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        tasks.load("mbpp", data=tmp_path / name)


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_FILE_BYTES", 5_000)
    monkeypatch.setattr(rows, "MAX_ARRAY_BYTES", 4_000)
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(b" \n" * 10_000))
    (tmp_path / "x.json.gz").write_bytes(gzip.compress(b"[" + b" " * 10_000))
    for name in ("x.jsonl.gz", "x.json.gz"):
        with pytest.raises(UsageError, match=r"(more|larger) than [54],000 bytes"):
            tasks.load("mbpp", data=tmp_path / name)


def test_a_row_that_cannot_be_used_among_others_stays_with_what_is_wrong_with_it(tmp_path: Path) -> None:
    bad = [HUMANEVAL | {"task_id": "HumanEval/900", "test": None}, {"prompt": 3}]
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [HUMANEVAL, *bad]))
    sound, *faulty = tasks.load("humaneval", data=path).samples
    assert sound.fault == ""
    assert [sample.id for sample in faulty] == ["HumanEval/900", "record 3"]
    assert faulty[0].fault.startswith("line 2 of x.jsonl: there is no field 'test'")
    assert "line 3 of x.jsonl" in faulty[1].fault


@pytest.mark.parametrize(
    ("name", "record", "message"),
    [
        ("humaneval", HUMANEVAL | {"test": None}, "line 1 of data.jsonl: there is no field 'test'"),
        ("humaneval", HUMANEVAL | {"prompt": 3}, "'prompt' must be text, not 3"),
        ("humaneval", HUMANEVAL | {"prompt": " "}, "has an empty problem"),
        ("humaneval", HUMANEVAL | {"test": " "}, "has an empty answer"),
        ("humaneval", HUMANEVAL | {"entry_point": "a b"}, "'entry_point' is 'a b'; it must be the name of a function"),
        ("humaneval", HUMANEVAL | {"task_id": ["x"]}, "'task_id' must be text"),
        ("humaneval_plus", {**HUMANEVAL, "base_input": [[1]], "test": None}, "inputs without results"),
        ("mbpp", MBPP | {"test_list": "assert add(1, 2) == 3"}, "'test_list' must be a list of texts, not text"),
        ("mbpp", MBPP | {"test_list": [1]}, "'test_list' must be a list of texts"),
        ("mbpp", MBPP | {"test_list": []}, "'test_list' is empty"),
        ("mbpp", MBPP | {"test_list": ["assert 1"], "code": ""}, "the tests call no function"),
        ("mbpp", MBPP | {"task_id": None}, "there is no field 'task_id'"),
        ("mbpp", {"task_id": 2}, "there is no field 'prompt'"),
        ("mbpp_plus", MBPP | {"prompt": "\ud800"}, "half a surrogate pair"),
    ],
)
def test_a_row_that_cannot_be_used_is_refused_by_its_line(
    name: str, record: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        loaded(name, tmp_path, record)


# --------------------------------------------------------------------------------------------------------- references


def test_references_are_programs_by_sample_id(tmp_path: Path) -> None:
    for name, record in (("humaneval", HUMANEVAL), ("humaneval_plus", HUMANEVAL), ("mbpp", MBPP), ("mbpp", COPIED)):
        task = loaded(name, tmp_path, record)
        found = tasks.references(name, data=tmp_path / "data.jsonl")
        assert list(found) == [sample.id for sample in task.samples]
        names: dict[str, Callable[..., object]] = {}
        exec(found[task.samples[0].id], names)
        assert passes(task.samples[0], add=names["add"])


def test_references_of_other_tasks_or_broken_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"task gsm8k has no reference programs\. Those that do: humaneval"):
        tasks.references("gsm8k")
    with pytest.raises(UsageError, match="unknown task 'humanevil'; did you mean humaneval"):
        tasks.references("humanevil")
    path = tmp_path / "data.jsonl"
    path.write_text('{"task_id": "HumanEval/0"}\n', encoding="utf-8")
    with pytest.raises(UsageError, match=r"line 1 of data\.jsonl: there is no field 'prompt'"):
        tasks.references("humaneval", data=path)


# ---------------------------------------------------------------------------------------------------------- real data


def real(name: str) -> Path:
    folder = os.environ.get("EDGESEARCH_TEST_DATA")
    path = Path(folder or "", name)
    if not folder or not path.is_file():
        pytest.skip(f"set EDGESEARCH_TEST_DATA to a folder that holds {name}")
    return path


WRONG_AS_PUBLISHED = {
    "assert abs(median([-10, 4, 6, 1000, 10, 20]) - 15.0) <= 1e-06": "HumanEval/47: it is 8.0",
    "assert sort_array([1, 5, 2, 3, 4]) == [1, 2, 3, 4, 5]": "HumanEval/116: 4 has fewer ones than 3",
    "assert sort_array([-2, -3, -4, -5, -6]) == [-6, -5, -4, -3, -2]": "HumanEval/116: likewise",
    "assert bf('Earth', 'Mercury') == 'Venus'": "HumanEval/148: a tuple of one is meant",
}


def test_the_real_humaneval_is_read_whole_and_its_references_pass_what_its_docstrings_show() -> None:
    path = real("humaneval/HumanEval.jsonl.gz")
    task, programs = tasks.load("humaneval", data=path), tasks.references("humaneval", data=path)
    assert [sample.id for sample in task.samples] == [f"HumanEval/{number}" for number in range(164)]
    assert sum(bool(code_of(sample).tests) for sample in task.samples) == 153
    failed = []
    for sample in task.samples:
        names: dict[str, object] = {}
        exec(programs[sample.id], names)
        exec(sample.target, dict(names))
        for test in code_of(sample).tests:
            try:
                exec(test, dict(names))
            except AssertionError:
                failed.append(test)
    assert failed == list(WRONG_AS_PUBLISHED)


def test_the_real_copy_without_examples_holds_the_same_problems() -> None:
    path = real("codet/HumanEval_for_code_generation.jsonl")
    task, whole = tasks.load("humaneval", data=path), tasks.load("humaneval", data=real("humaneval/HumanEval.jsonl.gz"))
    assert [(s.id, s.target, code_of(s).functions) for s in task.samples] == [
        (s.id, s.target, code_of(s).functions) for s in whole.samples
    ]
    assert sum(bool(code_of(sample).tests) for sample in task.samples) <= 3  # sequences that begin in the docstring


def test_the_real_mbpp_is_read_whole_and_its_references_pass() -> None:
    path = real("codet/mbpp_sanitized_for_code_generation.jsonl")
    task, programs = tasks.load("mbpp", data=path), tasks.references("mbpp", data=path)
    assert len(task.samples) == 427
    assert all(len(code_of(sample).tests) == 1 for sample in task.samples)
    assert {code_of(s).functions for s in task.samples if s.id in ("Mbpp/6", "Mbpp/56", "Mbpp/126")} == {
        ("differ_At_One_Bit_Pos",),
        ("check",),
        ("sum",),
    }
    for sample in task.samples:
        names: dict[str, Callable[..., object]] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about backslashes in the references
            exec(programs[sample.id], names)
        assert passes(sample, **{name: names[name] for name in code_of(sample).functions}), sample.id

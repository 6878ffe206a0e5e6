"""The file that labels are kept in: what a kill leaves is dropped, and nothing that is not ours is touched."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgesearch.bench.label_file import opened
from edgesearch.errors import EdgesearchError, UsageError

SETTINGS = "5e77"


def problem(key: str, num_samples: int = 2) -> list[dict[str, Any]]:
    head = {"schema_version": 1, "key": key, "settings": SETTINGS}
    return [head | {"sample": index, "num_samples": num_samples} for index in range(num_samples)]


def written(*problems: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for lines in problems for line in lines)


WHOLE = written(problem("a"), problem("b", 3), problem("c"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "labels.jsonl"


def test_a_new_file_is_empty_and_takes_problem_after_problem(path: Path) -> None:
    with opened(path, SETTINGS) as file:
        assert file.done == set()
        assert path.read_bytes() == b""
        for lines in (problem("a"), problem("b", 3), problem("c")):
            file.append(lines)
    assert path.read_bytes() == WHOLE


def test_a_file_that_was_cut_off_at_any_byte_keeps_its_whole_problems(path: Path) -> None:
    done_at = {0: set[str](), len(written(problem("a"))): {"a"}, len(WHOLE): {"a", "b", "c"}}
    done_at[len(written(problem("a"), problem("b", 3)))] = {"a", "b"}
    for size in range(len(WHOLE) + 1):
        path.write_bytes(WHOLE[:size])
        kept = max(end for end in done_at if end <= size)
        with opened(path, SETTINGS) as file:
            assert file.done == done_at[kept]
        assert path.read_bytes() == WHOLE[:kept]


def test_text_of_any_alphabet_is_written_as_ascii(path: Path) -> None:
    [line] = problem("a", 1)
    with opened(path, SETTINGS) as file:
        file.append([line | {"problem": "\u6771\u4eac \U0001f642\u2028"}])
    assert path.read_bytes().isascii()
    assert json.loads(path.read_bytes())["problem"] == "\u6771\u4eac \U0001f642\u2028"


@pytest.mark.parametrize(
    "content",
    [
        b"my notes\n",
        b"my notes",
        b'{"schema_version": 1}\n',
        b'{"schema_version": 1, "key": "x"}\n',
        b'{"schema_version": 1, "key": "x", "settings": "5e77", "num_samples": "many"}\n',
        b'{"schema_version": 1, "key": "\n',
        b'{"schema_version": 2, "key": "x", "settings": "5e77", "num_samples": 1}\n',
        b"\n",
        b"\xff\xfe\x00",
    ],
)
def test_another_programs_file_is_left_as_it_is(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"line 1 of .+labels\.jsonl is not a line of step labels.+give another --out"):
        opened(path, SETTINGS).__enter__()
    assert path.read_bytes() == content


def test_a_line_that_is_none_in_the_middle_of_the_file_is_named(path: Path) -> None:
    content = written(problem("a")) + b"my notes\n" + written(problem("b"))
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"line 3 of .+ is not a line of step labels"):
        opened(path, SETTINGS).__enter__()
    assert path.read_bytes() == content


@pytest.mark.parametrize("order", [[0, 2, 3, 4], [0, 2, 1, 3, 4], [0, 1, 0, 1], [0, 1, 2, 3, 4, 0]])
def test_a_file_whose_lines_were_moved_or_taken_out_is_refused(path: Path, order: list[int]) -> None:
    lines = WHOLE.splitlines(keepends=True)
    content = b"".join(lines[index] for index in order)
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"lines were moved or taken out; the file was left as it is"):
        opened(path, SETTINGS).__enter__()
    assert path.read_bytes() == content


def test_labels_of_other_settings_are_refused(path: Path) -> None:
    path.write_bytes(WHOLE)
    with pytest.raises(UsageError, match=r"another model, task or settings \(line 1\); give another --out"):
        opened(path, "07e5").__enter__()
    assert path.read_bytes() == WHOLE


def test_a_folder_or_a_place_in_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is a folder; give the path of a file"):
        opened(tmp_path, SETTINGS).__enter__()
    with pytest.raises(UsageError, match=r"is not there; make it first: mkdir -p"):
        opened(tmp_path / "no" / "labels.jsonl", SETTINGS).__enter__()


def test_a_file_that_another_process_writes_to_is_refused_until_it_ends(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from edgesearch.bench.label_file import opened\n"
        f"with opened(Path(sys.argv[1]), {SETTINGS!r}): print('open', flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code, str(path)], **pipes) as other:  # type: ignore[call-overload]
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(EdgesearchError, match=r"another process writes labels to .+labels\.jsonl"):
            opened(path, SETTINGS).__enter__()
        other.kill()
    with opened(path, SETTINGS) as file:
        assert file.done == set()

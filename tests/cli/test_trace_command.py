"""`edgesearch trace` and `edgesearch solve --trace`: text, page, summary, and files that are no trace."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from fake_pipeline import Loader
from rich import console

from edgesearch.trace.tree import Branch

Run = Callable[..., Result]
GOLDEN = Path(__file__).parents[1] / "trace" / "golden_trace.json"

TREE = r"""
problem
├─ safety lane
│  └─ ○    -  6 times 7 is 41.  50 ms
│     ○    -  The answer is \boxed{41}  = 41  0.10 s
├─ wave 0
│  ├─ ● 0.90  Six sevens: 6 × 7 = 42.  ×2  0.10 s
│  │  ├─ ○ 0.80  </script><img src=x onerror=alert(1)> <!-- "quotes' & ${x} ‹U+001B›[3…  (not pursued)  0.20 s
│  │  └─ ● 0.95  So it is 42.  0.20 s
│  │     ├─ ● 0.98  The answer is \boxed{42}  = 42  proven right  0.30 s
│  │     └─ ○ 0.30  It might be 4  (cut off at the token limit)  0.35 s
│  └─ ○ 0.10  6 + 7 = 13.  (not pursued)  0.10 s
└─ wave 1
   ├─ ○ 0.70  \boxed{42}  = 42.0  0.40 s
   └─ ○    -  Let me see  (cut off by the end of the search)  0.50 s
prompt 1, which shows earlier attempts
└─ ○ 0.60  Again: \boxed{42}  = 42  0.50 s
"""


def test_a_trace_is_shown_as_a_header_and_a_tree(run: Run):
    shown = run("trace", str(GOLDEN))
    assert shown.exit_code == 0
    assert shown.stdout.endswith(TREE)
    head = shown.stdout.partition("\n\n")[0]
    for wanted in (
        "problem     What is 6 times 7? </script><img", "answer      42\n",
        "0.55 s of 2.00 s; stopped early: more samples",
        "confidence  0.90 (share of the vote, not a probability)", "models      nano with nano-prm, arithmetic check",
        "plan        difficulty 3, policy a policy, one greedy solution", "waves       safety lane: greedy n=1 last,",
        "            wave 0: beam n=4 m=2 last, 0.00 s to 0.37 s (expected to last 0.30 s), 7 steps, ",
        "best answer 0.20 s: 41 (score 0.20), 1 candidate\n",
        "tree        12 steps, 11 of them different, 4 candidates",
    ):  # fmt: skip
        assert wanted in head, wanted
    assert shown.stderr.startswith("Warning: a warning </script>")
    assert not set(shown.output) & set("\x00\x1b\u202e")


def test_a_large_tree_is_folded_and_what_is_left_out_is_counted(run: Run):
    shown = run("trace", str(GOLDEN), "--width", "1", "--depth", "1").stdout
    assert shown.partition("\n\n")[2] == (
        "problem\n"
        "├─ wave 0\n"
        "│  ├─ ● 0.90  Six sevens: 6 × 7 = 42.  ×2  0.10 s\n"
        "│  │  ├─ ● 0.95  So it is 42.  0.20 s\n"
        "│  │  │  ├─ ● 0.98  The answer is \\boxed{42}  = 42  proven right  0.30 s\n"
        "│  │  │  └─ ... 1 more: 1 step, best score 0.30\n"
        "│  │  └─ ... 1 more: 1 step, best score 0.80\n"
        "│  └─ ... 1 more: 1 step, best score 0.10\n"
        "└─ ... 2 more waves: 4 steps, 2 with a finished solution, best score 0.70\n"
        "... 1 more prompt: 1 step, 1 with a finished solution, best score 0.60\n"
    )
    shown = run("trace", str(GOLDEN), "--width", "2", "--depth", "1").stdout
    assert shown.partition("\n\n")[2].endswith(
        "├─ wave 1\n"
        "│  ├─ ○ 0.70  \\boxed{42}  = 42.0  0.40 s\n"
        "│  └─ ○    -  Let me see  (cut off by the end of the search)  0.50 s\n"
        "└─ ... 1 more wave: 2 steps, 1 with a finished solution\n"
        "prompt 1, which shows earlier attempts\n"
        "└─ ○ 0.60  Again: \\boxed{42}  = 42  0.50 s\n"
    )
    assert run("trace", str(GOLDEN), "--width", "1", "--depth", "1", "--all").stdout.endswith(TREE)


def test_json_is_one_object_with_the_figures_and_the_chosen_steps(run: Run):
    done = run("trace", str(GOLDEN), "--json")
    found = json.loads(done.stdout)
    assert found["schema_version"] == 1
    assert (found["answer"], found["early_stop"], found["id"]) == ("42", "settled", "p-1")
    assert [step["score"] for step in found["chosen"]] == [0.9, 0.95, 0.98]
    assert (found["num_steps"], found["num_different_steps"], found["num_candidates"], found["depth"]) == (12, 11, 4, 3)
    assert (found["num_not_pursued"], found["num_finished"], found["num_cut_off"], found["num_scored"]) == (2, 4, 2, 8)
    assert [(wave["name"], wave["num_steps"]) for wave in found["waves"]] == [
        ("safety lane", 2), ("wave 0", 7), ("wave 1", 3),
    ]  # fmt: skip


def test_a_page_is_written_beside(run: Run, tmp_path: Path):
    done = run("trace", str(GOLDEN), "--html", str(tmp_path / "trace.html"))
    assert done.exit_code == 0
    assert "Wrote" in done.stderr
    assert (tmp_path / "trace.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_page_never_takes_the_place_of_its_trace(run: Run, tmp_path: Path):
    path = tmp_path / "trace.json"
    path.write_bytes(GOLDEN.read_bytes())
    done = run("trace", str(path), "--html", str(path))
    assert (done.exit_code, path.read_bytes()) == (2, GOLDEN.read_bytes())
    assert "is the trace itself" in done.stderr


@pytest.mark.parametrize("content", [b"", b"\x00\xff", b'{"schema_version": 1, "answer": "42"}'])
def test_a_file_that_is_no_trace_is_refused_in_one_sentence(run: Run, tmp_path: Path, content: bytes):
    path = tmp_path / "other.json"
    path.write_bytes(content)
    done = run("trace", str(path), "--json")
    assert done.exit_code == 2
    assert "write one with: edgesearch solve --trace FILE PROBLEM" in json.loads(done.stdout)["error"]["message"]
    assert done.stderr.count("\n") == 1
    assert run("trace", str(tmp_path / "none")).exit_code == 2


@pytest.mark.parametrize("flag", ["--depth", "--width"])
def test_nothing_can_be_folded_to_less_than_one(run: Run, flag: str):
    assert run("trace", str(GOLDEN), flag, "0").exit_code == 2


# -- solve --trace -----------------------------------------------------------------------------------------------------


def test_solve_writes_the_trace_and_asks_for_steps_only_then(run: Run, loader: Loader, tmp_path: Path):
    path = tmp_path / "trace.json"
    done = run("solve", "6 times 7", "--trace", str(path), "--json")
    assert (done.exit_code, json.loads(done.stdout)["answer"]) == (0, "42")
    found = json.loads(run("trace", str(path), "--json").stdout)
    assert (found["problem"], found["answer"], found["budget_s"]) == ("6 times 7", "42", 10.0)
    assert run("solve", "6 times 7").exit_code == 0
    assert [call["is_traced"] for call in loader.pipeline.calls] == [True, False]


def test_an_unanswered_solve_has_a_trace(run: Run, tmp_path: Path):
    assert run("solve", "unanswered", "--trace", str(tmp_path / "t.json")).exit_code == 3
    assert json.loads(run("trace", str(tmp_path / "t.json"), "--json").stdout)["answer"] is None


def test_a_place_where_no_trace_can_be_written_is_refused_before_anything_is_loaded(
    run: Run, loader: Loader, tmp_path: Path
):
    for place in (tmp_path, tmp_path / "none" / "trace.json"):
        done = run("solve", "6 times 7", "--trace", str(place))
        assert done.exit_code == 2
        assert "Error:" in done.stderr
    assert loader.calls == []


def test_a_trace_is_of_one_problem(run: Run, tmp_path: Path):
    done = run("solve", "--jsonl", "-", "--trace", str(tmp_path / "t.json"), stdin="")
    assert done.exit_code == 2
    assert "--trace is of one problem" in done.stderr


def test_an_answer_is_printed_though_its_trace_cannot_be_written(run: Run, loader: Loader, tmp_path: Path):
    folder = tmp_path / "folder"
    folder.mkdir()
    loader.pipeline.during = folder.rmdir
    done = run("solve", "6 times 7", "--trace", str(folder / "t.json"), "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["answer"] == "42"
    assert "Error: the folder" in done.stderr


# -- painting ----------------------------------------------------------------------------------------------------------


def test_a_stdout_without_lines_and_dots_gets_plain_ones(part: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch):
    render = part("render_trace")
    for encoding, first in (("ascii", "|- "), ("utf-8", "├─ ")):
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
        assert render._signs()[0] == first


def test_a_terminal_has_the_chosen_path_bold_and_takes_no_markup(
    part: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
):
    render = part("render_trace")
    stream = io.StringIO()
    made = console.Console(file=stream, force_terminal=True, width=40, color_system="standard", highlight=False)
    monkeypatch.setattr(console, "Console", lambda **_: made)
    render._paint(iter([render.Row("[red]chosen[/red]", is_bold=True), render.Row("x" * 100, is_dim=True)]))
    assert stream.getvalue() == f"\x1b[1m[red]chosen[/red]\x1b[0m\n\x1b[2m{'x' * 39}…\x1b[0m\n"


def test_a_tree_of_very_many_rows_ends_with_how_to_see_the_rest(part: Callable[[str], Any]):
    render = part("render_trace")
    chain = [Branch(number, number - 1 if number else None, 0, 0, "x", number + 1) for number in range(5000)]
    for branch in chain[:-1]:
        branch.children.append(branch.number + 1)
    for branch in chain:
        branch.members.append(branch.number)
    shown = list(render.rows(chain, render.Folding(depth=10_000)))
    assert len(shown) == 401
    assert "--all shows it" in shown[-1].text
    assert len(list(render.rows(chain, render.Folding(is_off=True)))) == 5001
    assert [row.text for row in render.rows(chain, render.Folding(depth=2))][-1].lstrip().startswith("... 1 more")

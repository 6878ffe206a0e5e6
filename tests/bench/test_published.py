"""Published points are read strictly, each with its source; and what the shipped list says of itself holds."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesearch import search
from edgesearch.bench import published
from edgesearch.bench.report.model import Quoted
from edgesearch.errors import UsageError

LIST = Path(__file__).parents[2] / "benchmarks" / "published.toml"
SOURCE = 'cite = "A paper, Table 1"\nurl = "https://example.org/paper"\nis_rerun = false\n'
POINT = 'task = "math500"\nmodel = "A-1B"\nstrategy = "best_of_n"\naccuracy = 0.5\n'


def written(folder: Path, *, top: str = "schema_version = 1", source: str = SOURCE, point: str = POINT) -> Path:
    path = folder / "points.toml"
    path.write_text(f"{top}\n[[source]]\n{source}\n[[source.points]]\n{point}", encoding="utf-8")
    return path


# -- reading -----------------------------------------------------------------------------------------------------------


def test_a_point_is_read_with_its_source_and_both_notes(tmp_path: Path):
    point = POINT + 'verifier = "PRM-7B"\nn = 64\nnote = "one run"'
    path = written(tmp_path, source=SOURCE + 'note = "no hardware named"', point=point)
    assert published.read(path) == (
        Quoted(
            task="math500",
            model="A-1B",
            verifier="PRM-7B",
            strategy="best_of_n",
            n=64,
            accuracy=0.5,
            source="A paper, Table 1",
            url="https://example.org/paper",
            is_rerun=False,
            note="one run; no hardware named",
        ),
    )


def test_what_is_not_told_is_none(tmp_path: Path):
    (point,) = published.read(written(tmp_path))
    assert (point.verifier, point.n, point.note) == (None, None, "")


def test_points_keep_their_order_and_may_stand_a_line_each(tmp_path: Path):
    lines = [
        '{ task = "gsm8k", model = "B", strategy = "CoT", accuracy = 1 }',
        '{ task = "a", model = "B", strategy = "x", accuracy = 0.1 }',
    ]
    path = tmp_path / "points.toml"
    path.write_text(f"schema_version = 1\n[[source]]\n{SOURCE}points = [{', '.join(lines)}]", encoding="utf-8")
    assert [(point.task, point.accuracy) for point in published.read(path)] == [("gsm8k", 1.0), ("a", 0.1)]


BAD: dict[str, tuple[dict[str, str], str]] = {
    "an unknown key": ({"point": POINT + "acuracy = 0.5"}, r"unknown key 'acuracy'; did you mean 'accuracy'\?"),
    "an unknown key of a source": ({"source": SOURCE + 'citation = "x"'}, r"\[\[source\]\] entry 1: unknown key 'cit"),
    "an unknown key of the list": ({"top": "schema_version = 1\nversion = 2"}, "unknown key 'version'"),
    "no task": ({"point": POINT.replace("task", "note")}, r"\[\[points\]\] entry 1: the key 'task' is missing"),
    "no citation": ({"source": SOURCE.replace("cite", "note")}, r"\[\[source\]\] entry 1: the key 'cite' is missing"),
    "no word on whether it was run again": (
        {"source": SOURCE.replace("is_rerun = false", "")},
        "the key 'is_rerun' is missing",
    ),
    "a rerun in words": ({"source": SOURCE.replace("false", '"no"')}, "is_rerun must be true or false, not 'no'"),
    "an empty citation": ({"source": SOURCE.replace("A paper, Table 1", " ")}, "cite must be a line of text"),
    "an address of no page": ({"source": SOURCE.replace("https://example.org", "page 3")}, "url must be the http://"),
    "percent": ({"point": POINT.replace("0.5", "59.6")}, r"accuracy must be a share in \[0, 1\], such as 0.596 for 59"),
    "less than nothing": ({"point": POINT.replace("0.5", "-0.1")}, "accuracy must be a share"),
    "no number": ({"point": POINT.replace("0.5", "nan")}, "accuracy must be a share in .* not nan"),
    "a number beyond floats": ({"point": POINT.replace("0.5", "1" + "0" * 400)}, "accuracy is too large a number"),
    "accuracy in words": ({"point": POINT.replace("0.5", '"half"')}, "accuracy must be a number, not 'half'"),
    "no samples": ({"point": POINT + "n = 0"}, "n must be >= 1; leave it out where it is not told, not 0"),
    "half a sample": ({"point": POINT + "n = 1.5"}, "n must be a whole number"),
    "an empty verifier": ({"point": POINT + 'verifier = ""'}, "verifier must be a line of text"),
    "a model of two lines": ({"point": POINT.replace("A-1B", "A\\n1B")}, "model must be a line of text"),
    "a newer list": ({"top": "schema_version = 2"}, "schema_version is 2; this edgesearch reads 1"),
    "no version": ({"top": ""}, "the key 'schema_version' is missing"),
    "points that are no tables": (
        {"source": SOURCE + "points = [3]", "point": ""},
        r"\[\[source\]\] entry 1: points must be one or more tables",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_unknown_or_out_of_range_is_refused_with_file_entry_and_key(tmp_path: Path, name: str):
    parts, message = BAD[name]
    path = written(tmp_path, **parts)
    if name == "points that are no tables":
        path.write_text(f"schema_version = 1\n[[source]]\n{parts['source']}", encoding="utf-8")
    with pytest.raises(UsageError, match=message) as raised:
        published.read(path)
    assert str(raised.value).count("points.toml") == 1


def test_a_wrong_point_is_found_by_source_and_number(tmp_path: Path):
    path = written(tmp_path)
    path.write_text(
        path.read_text() + f"\n[[source]]\n{SOURCE}[[source.points]]\n{POINT}n = 2\n[[source.points]]\nn = 1\n"
    )
    with pytest.raises(
        UsageError, match=r"points\.toml: \[\[source\]\] entry 2: \[\[points\]\] entry 2: the key 'task'"
    ):
        published.read(path)


def test_the_same_point_twice_is_refused(tmp_path: Path):
    path = written(tmp_path, point=f"{POINT}[[source.points]]\n{POINT}")
    with pytest.raises(UsageError, match=r"\[\[points\]\] entry 2: the same point as .*entry 1; leave one of them out"):
        published.read(path)


@pytest.mark.parametrize("content", [b"\xff", b"a = ", b"= 3"])
def test_what_is_no_toml_is_a_sentence(tmp_path: Path, content: bytes):
    (tmp_path / "points.toml").write_bytes(content)
    with pytest.raises(UsageError, match=r"points\.toml is not"):
        published.read(tmp_path / "points.toml")


def test_a_list_that_is_not_there_is_a_sentence(tmp_path: Path):
    with pytest.raises(UsageError, match="cannot be read"):
        published.read(tmp_path / "none.toml")


@given(st.floats(0, 1), st.integers(1, 10**6), st.booleans())
def test_any_share_and_width_come_back_as_they_were_written(accuracy: float, n: int, is_rerun: bool):
    entry: dict[str, Any] = {"task": "t", "model": "m", "strategy": "s", "n": n, "accuracy": accuracy}
    source = {"cite": "c", "url": "https://x", "is_rerun": is_rerun, "points": [entry]}
    ((point, _),) = published._points(source, published.Place(Path("points.toml"), "source", 1))
    assert (point.accuracy, point.n, point.is_rerun) == (accuracy, n, is_rerun)


# -- the shipped list --------------------------------------------------------------------------------------------------


def test_the_shipped_list_is_quoted_throughout_and_speaks_of_tasks_that_the_harness_knows():
    points = published.read(LIST)
    assert len(points) > 50
    assert not any(point.is_rerun for point in points)
    assert {point.task for point in points} <= {"math500", "gsm8k", "aime", "humaneval"}
    assert all(point.n == 1 for point in points if point.strategy in ("CoT", "pass@1", "greedy"))


def test_a_strategy_of_ours_that_scores_is_quoted_with_its_verifier():
    for point in published.read(LIST):
        if point.strategy in search.names():
            assert (point.verifier is not None) == search.strategy(point.strategy).needs_scores


def test_where_two_tables_disagree_both_are_quoted_and_each_says_so():
    """Golden: Tables 3 and 5 of arXiv 2502.06703 give two models other figures, found by the same strategy."""
    third, fifth = (
        {point.model: point for point in published.read(LIST) if point.source.endswith(f"2502.06703, Table {number}")
         and point.strategy == "compute-optimal" and point.n is None}
        for number in (3, 5)
    )  # fmt: skip
    twice = sorted(third.keys() & fifth.keys())
    assert twice == ["Llama-3.2-3B-Instruct", "Qwen2.5-1.5B-Instruct"]
    for model in twice:
        assert third[model].accuracy != fifth[model].accuracy
        assert f"Table 5 says {100 * fifth[model].accuracy:.1f}" in third[model].note
        assert f"Table 3 says {100 * third[model].accuracy:.1f}" in fifth[model].note


@pytest.mark.parametrize(
    ("model", "strategy", "n", "accuracy"),
    [
        ("Llama-3.2-1B-Instruct", "particle", 64, 0.596),
        ("Llama-3.2-1B-Instruct", "compute-optimal", 512, 0.722),
        ("Qwen2.5-72B-Instruct", "majority", None, 0.872),
        ("Llama-3.1-8B-Instruct", "coverage", 100, 0.905),
    ],
)
def test_figures_stand_as_their_tables_have_them(model: str, strategy: str, n: int | None, accuracy: float):
    wanted = (model, strategy, n, accuracy)
    assert wanted in {(point.model, point.strategy, point.n, point.accuracy) for point in published.read(LIST)}

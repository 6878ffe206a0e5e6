"""What a page shows of the samples: trees that lose nothing, fair shares of a bounded room, and few texts read."""

import dataclasses
import gc
import itertools
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import made_reports
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesearch.bench.recipe import Cell
from edgesearch.bench.records import GradedCandidate, Outcome, RunInfo
from edgesearch.bench.report.model import Report
from edgesearch.bench.report.page_samples import MAX_TEXT_CHARS, Excerpts, cut, outcome_object, spread, steps_of
from edgesearch.bench.store import Store
from edgesearch.tasks.base import Sample
from edgesearch.types import Problem

CELLS = tuple(Cell("small", "majority", 8, 1, 60.0, seed=seed) for seed in (0, 1))
STEPS = st.lists(st.sampled_from(["a\n\n", "b\n\n", "", "數🦆\n\n"]), max_size=4)


@st.composite
def candidates(draw: st.DrawFn) -> GradedCandidate:
    """Steps from a few words, so that candidates share them, and perhaps a cut-off rest."""
    steps = draw(STEPS)
    ends = tuple(sum(map(len, steps[: number + 1])) for number in range(len(steps)))
    num_scored = draw(st.integers(0, len(steps)))
    text = "".join(steps) + draw(st.sampled_from(["", "rest"]))
    return GradedCandidate(text, step_scores=(0.5,) * num_scored, step_ends=ends)


def outcome(drawn: tuple[GradedCandidate, ...], chosen: int | None = None) -> Outcome:
    return Outcome("k", CELLS[0].key, "p", "unanswered", 60.0, 0.0, 1.0, candidates=drawn, chosen=chosen)


def texts(found: dict[str, Any]) -> dict[int, str]:
    """The text of each candidate of an outcome object, by its position, read as page.js reads it."""
    texts = {}
    for position, leaf, *_ in found["candidates"]:
        steps = []
        node = leaf
        while node >= 0:
            parent, text, _ = found["nodes"][node]
            steps.append(text)
            node = parent
        texts[position] = "".join(reversed(steps))
    return texts


@given(st.lists(candidates(), max_size=8))
def test_the_tree_holds_every_candidate_and_no_step_twice(drawn: list[GradedCandidate]):
    found = outcome_object(outcome(tuple(drawn)), seed=3)
    assert texts(found) == {position: each.text for position, each in enumerate(drawn)}
    places = [(parent, text) for parent, text, _ in found["nodes"]]
    assert len(set(places)) == len(places)
    assert all(parent < number for number, (parent, _) in enumerate(places))


def test_candidates_that_share_steps_share_nodes():
    found = outcome_object(outcome(made_reports.candidates(4), chosen=1), seed=0)
    assert [node[:2] for node in found["nodes"]] == [
        [-1, "3*4=12\n\n"],
        [0, "12+5=18\n\n"],
        [1, "The answer is 18"],
        [0, "12+5=17\n\n"],
        [3, "The answer is 17"],
        [0, made_reports.HOSTILE],
        [-1, ""],
    ]
    assert [node[2] for node in found["nodes"]] == [0.9, 0.2, 0.1, 0.95, 0.97, None, None]
    right, wrong, cut_off, none = found["candidates"]
    assert right == [0, 4, "17", True, 0.97, "stop", 21, 3]
    assert wrong[:4] == [1, 2, "18", False]
    assert cut_off == [2, 5, None, False, None, "deadline", None, 1]
    assert none[:2] == [3, 6]
    assert (found["num_candidates"], found["num_right"]) == (4, 1)


def test_a_step_that_was_scored_for_one_candidate_has_that_score():
    unscored = GradedCandidate("a\n\n", step_ends=(3,))
    scored = GradedCandidate("a\n\n", step_ends=(3,), step_scores=(0.25,))
    found = outcome_object(outcome((unscored, scored)), seed=0)
    assert found["nodes"] == [[-1, "a\n\n", 0.25]]
    assert [each[-1] for each in found["candidates"]] == [0, 1]


@pytest.mark.parametrize(
    ("text", "ends", "steps"),
    [
        ("one\n\ntwo", (5, 8), ["one\n\n", "two"]),
        ("one\n\ntwo", (5,), ["one\n\n", "two"]),
        ("one\n\ntwo", (), ["one\n\ntwo"]),
        ("", (), [""]),
        ("數🦆x", (1, 2), ["數", "🦆", "x"]),
    ],
)
def test_steps_end_where_they_were_said_to_and_a_rest_is_a_step(text: str, ends: tuple[int, ...], steps: list[str]):
    assert steps_of(GradedCandidate(text, step_ends=ends)) == steps


def test_a_long_text_is_cut_and_says_so():
    assert cut("x" * MAX_TEXT_CHARS) == "x" * MAX_TEXT_CHARS
    assert cut("x" * (MAX_TEXT_CHARS + 1500)).endswith("x … (1,500 more characters)")


def test_an_outcome_with_too_many_candidates_keeps_the_chosen_one_and_an_even_choice():
    drawn = tuple(GradedCandidate(f"{number:04}") for number in range(1000))
    found = outcome_object(outcome(drawn, chosen=999), seed=0, max_chars=400)
    positions = [each[0] for each in found["candidates"]]
    assert (len(positions), positions[-1], found["num_candidates"]) == (100, 999, 1000)
    gaps = [after - before for before, after in itertools.pairwise(positions[:-1])]
    assert max(gaps) <= 16


@given(st.integers(0, 300), st.integers(1, 300))
def test_any_first_part_of_a_spread_is_even(count: int, first: int):
    order = spread(count)
    assert sorted(order) == list(range(count))
    ends = [-1, *sorted(order[:first]), count]
    gaps = [after - before for before, after in itertools.pairwise(ends)]
    assert max(gaps) <= 4 * (count + 1) / (min(first, count) + 1) + 1


# -- from stores -------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with made_reports.store(tmp_path / "run.sqlite") as opened:
        yield opened


def shown(excerpts: Excerpts) -> dict[int, dict[str, Any]]:
    return {number: json.loads(text) for number, text in excerpts.points()}


def test_what_fits_is_shown_whole_with_the_problems(store: Store):
    excerpts = Excerpts(made_reports.report(), [store])
    found = shown(excerpts)
    assert sorted(found) == list(range(len(made_reports.SETTINGS)))
    for each in found.values():
        names = [(outcome["id"], outcome["seed"]) for outcome in each["outcomes"]]
        assert names == [(sample, seed) for sample in made_reports.SAMPLES for seed in made_reports.SEEDS]
        assert each["total"] == 6
    failed = found[5]["outcomes"][2]
    assert (failed["status"], failed["candidates"], failed["nodes"]) == ("error", [], [])
    assert made_reports.HOSTILE in failed["error"]
    problems = {name: json.loads(text) for name, text in excerpts.problems()}
    assert list(problems) == list(made_reports.SAMPLES)
    assert problems["p-0"]["question"] == f"{made_reports.HOSTILE} p-0"
    assert problems["p-0"]["asked"].endswith("Give one number.")
    assert (problems["p-0"]["target"], problems["p-0"]["metadata"]) == ("17", {"level": "2"})


def big_store(path: Path, num_samples: int, text: str = "x" * 2000) -> tuple[Store, Report]:
    """One point of two seeds; sample 3 is an error, 5 is unanswered."""
    store = Store.open(path, RunInfo('name = "big"\n', "task", {}, CELLS))
    store.add_samples(Sample(Problem("why?", f"p-{n:03}"), "17", "why?") for n in range(num_samples))
    for cell in CELLS:
        for number in range(num_samples):
            kept = tuple(GradedCandidate(f"{index}{text}", "17", "17", True) for index in range(8))
            base = Outcome(
                f"{cell.key}{number}", cell.key, f"p-{number:03}", "correct", 60.0, 0.0, 1.0, answer="17", chosen=0,
                candidates=kept,
            )  # fmt: skip
            if number == 3:
                base = dataclasses.replace(base, status="error", error="lost", answer=None, chosen=None, candidates=())
            if number == 5:
                base = dataclasses.replace(base, status="unanswered", answer=None)
            store.add(base)
    made = made_reports.report()
    point = dataclasses.replace(made.points[0], cells=tuple(cell.key for cell in CELLS), n=8, num_outcomes=2)
    return store, dataclasses.replace(made, points=(point, dataclasses.replace(point, id="again")))


def test_too_many_outcomes_are_an_even_choice_with_the_errors_and_unanswered(tmp_path: Path):
    store, report = big_store(tmp_path / "big.sqlite", 64)
    with store:
        found = shown(Excerpts(report, [store], max_bytes=300_000))
    names = [[each["id"] for each in found[number]["outcomes"]] for number in (0, 1)]
    assert sum(len(text) for text in map(json.dumps, found.values())) < 330_000
    assert set(names[0]) & set(names[1]) >= {"p-003", "p-005", "p-000", "p-032"}  # the same ones for both points
    assert found[0]["total"] == 128
    for number, each in found.items():
        assert 20 <= len(each["outcomes"]) < 100, number
        statuses = [outcome["status"] for outcome in each["outcomes"]]
        assert (statuses.count("error"), statuses.count("unanswered")) == (2, 2)
        whole = [outcome for outcome in each["outcomes"] if outcome["status"] == "correct"]
        assert all(outcome["num_candidates"] == 8 for outcome in whole)
        assert all(0 < len(outcome["candidates"]) < 8 for outcome in whole)


def test_no_room_at_all_shows_nothing_and_says_how_many_there_are(tmp_path: Path):
    store, report = big_store(tmp_path / "big.sqlite", 8)
    with store:
        found = shown(Excerpts(report, [store], max_bytes=100))
    assert [(each["total"], each["outcomes"]) for each in found.values()] == [(16, [])] * 2


def test_the_texts_of_a_large_store_are_not_all_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store, report = big_store(tmp_path / "big.sqlite", 100, "x" * 20_000)
    reads = []
    read = Store.outcome

    def counted(self: Store, cell: str, sample_id: str) -> Outcome | None:
        reads.append(sample_id)
        return read(self, cell, sample_id)

    monkeypatch.setattr(Store, "outcome", counted)
    with store:
        gc.collect()
        tracemalloc.start()
        try:
            found = shown(Excerpts(report, [store], max_bytes=800_000))
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert sum(len(each["outcomes"]) for each in found.values()) >= 20
    assert len(reads) < 150  # of 400
    assert peak_bytes < 8_000_000  # of 32 MB of texts


def test_what_small_points_leave_goes_to_the_large_ones(store: Store):
    report = made_reports.report()
    sizes = [len(text) for _, text in Excerpts(report, [store]).points()]
    problems = 2_000  # bytes, more than the three have
    found = shown(Excerpts(report, [store], max_bytes=sum(sizes) + problems))
    assert all(len(each["outcomes"]) == 6 for each in found.values())

"""The benchmark of all strategies: which parts it runs, what it makes of them, and a quick run of everything."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from edgesearch import search
from edgesearch.bench import recipe as recipes
from edgesearch.bench.recipe import Recipe, cells
from edgesearch.search.base import Expand, Judge
from edgesearch.types import Beam, Prompt, Step

Import = Callable[[str], ModuleType]
RunQuickly = Callable[..., tuple[dict[str, Any], str]]


@pytest.fixture
def plan(benchmark_module: Import) -> ModuleType:
    return benchmark_module("strategies_plan")


@pytest.fixture
def rows(benchmark_module: Import) -> ModuleType:
    return benchmark_module("strategies_rows")


@pytest.fixture
def measure(benchmark_module: Import) -> ModuleType:
    return benchmark_module("strategies_measure")


@pytest.fixture
def recipe(plan: ModuleType) -> Recipe:
    return recipes.load(plan.RECIPE)


# -- what is run -------------------------------------------------------------------------------------------------------


def test_the_recipe_names_every_strategy_there_is(recipe: Recipe) -> None:
    assert {cell.strategy for cell in cells(recipe) if cell.engine == "prm"} == set(search.general_names())


def test_the_parts_of_all_seeds_hold_each_cell_of_the_recipe_once(plan: ModuleType, recipe: Recipe) -> None:
    found = plan.parts(recipe, plan.Plan((0, 7), 5))
    assert len({part.name for part in found}) == len(found)
    for seed in (0, 7):
        own = [part for part in found if part.recipe.task.seed == seed and not part.is_difficulty]
        wanted = [dataclasses.replace(cell, seed=seed) for cell in cells(recipe)]
        assert sorted(cell.name for part in own for cell in cells(part.recipe)) == sorted(c.name for c in wanted)
        assert {part.recipe.task.limit for part in own} == {5}
    assert [part.weight for part in found] == sorted((part.weight for part in found), reverse=True)


def test_which_problems_are_hard_is_told_by_draws_that_nothing_else_has(plan: ModuleType, recipe: Recipe) -> None:
    found = plan.parts(recipe, plan.Plan((0, 7), 5))
    (cell,) = {dataclasses.replace(c, seed=0) for part in found if part.is_difficulty for c in cells(part.recipe)}
    assert (cell.strategy, cell.n) == ("sample", 64)
    seeds = [{c.seed for part in found if part.is_difficulty == is_so for c in cells(part.recipe)} for is_so in (0, 1)]
    assert len(seeds[1]) == 2
    assert not seeds[0] & seeds[1]


def test_an_impossible_plan_is_refused_by_the_name_of_its_field(plan: ModuleType, recipe: Recipe) -> None:
    for fields, name in (({"seeds": (1, 1)}, "seeds"), ({"num_problems": 0}, "problems"), ({"widths": (4,)}, "n must")):
        with pytest.raises(ValueError, match=name):
            plan.Plan(**fields)
    with pytest.raises(ValueError, match=r"n must be among those of strategies.toml"):
        plan.parts(recipe, plan.Plan(widths=(1, 5)))


def test_a_quick_run_has_every_strategy_in_its_table_and_is_gone_on_with(
    run_quickly: RunQuickly, tmp_path: Path
) -> None:
    options = ("--workers", "2", "--stores", tmp_path / "stores")
    result, text = run_quickly("strategies.py", *options)
    assert {"date", "commit", "machine", "figures"} <= result.keys()
    figures = result["figures"]
    found = {(row["strategy"], row["n"]): row for row in figures["rows"] if row["verifier"] in (None, "nano-prm")}
    assert set(found) == {(name, n) for name in search.general_names() for n in (1, 4)} - {("greedy", 4)}
    assert all(row["of"] == 2 and not row["num_errors"] and not row["num_missing"] for row in figures["rows"])
    others = {share for name, share in figures["at_one"].items() if name not in ("greedy", "budget_forcing")}
    assert others == {1.0}
    assert {each["strategy"] for each in figures["rescoring"]} == {"beam", "dvts"}
    assert len(figures["early_stop"]) == 4
    assert figures["hard_half"]["problems"] == 1
    assert "warning" not in text
    again, _ = run_quickly("strategies.py", *options, "--as-is")
    assert again["figures"]["rows"] == figures["rows"]  # seconds and all: nothing was run


# -- what is made of it ------------------------------------------------------------------------------------------------


def test_a_vote_is_by_score_and_the_first_of_equals_wins(rows: ModuleType) -> None:
    def right(classes: list[int], scores: list[float], is_right: list[bool]) -> bool:
        return bool(rows._vote(np.array(classes), np.array(scores), np.array(is_right)))

    nan = float("nan")
    assert right([0, 1, 1], [0.9, 0.3, 0.3], [True, False, False])
    assert not right([0, 1, 1], [nan, nan, nan], [True, False, False])
    assert right([0, 1], [0.5, 0.5], [True, False])
    assert right([-1, 0], [0.9, 0.1], [False, True])
    assert not right([-1], [0.9], [False])


def made_row(rows: ModuleType, key: Any, rights: list[bool], seconds: list[float]) -> Any:
    row = rows.Row.empty(key, len(rights))
    row.table["is_done"], row.table["is_right"], row.table["wall_s"] = True, rights, seconds
    row.table["decoded_tokens"] = 10
    return row


def test_a_rival_at_equal_seconds_is_between_its_widths_and_never_beyond_them(measure: ModuleType) -> None:
    accuracy, seconds = [0.6, 0.4, 0.7], [2.0, 1.0, 4.0]
    for own, reached in ((2.0, 0.55), (0.5, 0.4), (9.0, 0.7)):
        gaps = measure._gaps(np.array([[*accuracy, own, *seconds[1:]]]))
        assert gaps == pytest.approx([0.6 - reached])
    swapped = measure._gaps(np.array([[0.6, 0.7, 0.4, 2.0, 4.0, 1.0]]))
    assert swapped == pytest.approx([0.05])


def test_a_row_with_an_error_is_told_and_compared_with_nothing(rows: ModuleType, measure: ModuleType) -> None:
    whole = made_row(rows, rows.Key("nano-prm", "weighted", 4), [True, False], [1.0, 1.0])
    torn = made_row(rows, rows.Key("nano-prm", "beam", 4), [True, False], [1.0, 1.0])
    torn.table["is_done"][1] = False
    torn.errors["it broke"] += 1
    empty = rows.Row.empty(rows.Key("nano-prm", "dvts", 4), 2)
    table = rows.Rows({row.key: row for row in (whole, torn, empty)}, np.full(2, 0.5))
    shown = measure._row(torn)
    assert (shown["num_errors"], shown["num_missing"], shown["errors"]) == (1, 0, {"it broke": 1})
    assert (shown["right"], shown["of"]) == (1, 2)  # an error is not right
    assert measure._row(empty)["num_missing"] == 2
    assert table.of("beam", 4, verifier="nano-prm") is None
    assert table.of("weighted", 4, verifier="nano-prm") is whole


def test_an_early_stop_is_measured_by_what_it_saves_and_whether_the_answers_stay(
    rows: ModuleType, measure: ModuleType
) -> None:
    whole = made_row(rows, rows.Key("nano-prm", "majority", 4), [True, False], [1.0, 1.0])
    early = made_row(rows, rows.Key("nano-prm", "majority", 4, 0.95), [True, False], [1.0, 0.5])
    early.table["decoded_tokens"][1] = 5
    whole.answers[:], early.answers[:] = ["4", "5"], ["4", None]
    (found,) = measure._early_stops(rows.Rows({row.key: row for row in (whole, early)}, np.full(2, 0.5)))
    assert found["tokens_saved"] == found["seconds_saved"] == 0.25
    assert found["same_answers"] == found["share_stopped"] == 0.5


def test_targets_say_what_is_reached_and_leave_out_what_is_no_sample_by_definition(benchmark_module: Import) -> None:
    half = {
        "rows": [{"name": name, "interval95": [low, 0.2]} for name, low in (("beam n=16", 0.01), ("dvts n=16", -0.1))]
    }
    rising = [{"name": "majority n=4 - majority n=1", "interval95": [-0.01, 0.1]}]
    figures = {
        "hard_half": half,
        "rising": rising,
        "plan": {"widths": (1, 4)},
        "at_one": {"beam": 1.0, "greedy": 0.4},
        "rescoring": [{"strategy": "dvts", "n": 4, "verified_per_decoded": 1.2}, {"strategy": "beam", "n": 4}],
    }
    found = benchmark_module("strategies").targets(figures)
    assert [(row["value"], row["target"], row["is_reached"]) for row in found] == [
        (0.01, "> 0", True),
        (-0.01, "> 0", False),
        (1.0, ">= 1", True),
        (1.2, "<= 1.05", False),
    ]
    assert found[0]["name"].startswith("best of 2: beam n=16")


# -- a verifier without a memory ---------------------------------------------------------------------------------------


def grown(beam: Beam, *token_ids: int) -> Beam:
    return beam.grown((Step("x\n\n", token_ids, -1.0, "step"),))


def test_a_verifier_without_a_memory_reads_whole_beams_and_copies_once(benchmark_module: Import) -> None:
    rescore = benchmark_module("strategies_rescore")
    root = Beam(Prompt("?"))
    first = grown(root, 1, 2)
    count = rescore.Count()
    count.add([first, grown(root, 1, 2), grown(root, 3)])
    assert (count.tokens, count.num_beams) == (3, 2)
    judged = first.judged((0.5,))
    count.add([judged, grown(judged, 4, 5)])
    assert (count.tokens, count.num_beams) == (3 + 4, 3)


def test_counting_changes_nothing_of_a_search(benchmark_module: Import) -> None:
    rescore = benchmark_module("strategies_rescore")
    root, count = Beam(Prompt("?")), rescore.Count()
    child = grown(root, 1)
    heard: list[list[Beam]] = []

    def strategy() -> Any:
        heard.append((yield Expand([root])))
        heard.append((yield Judge([child])))

    asked, search_ = [], rescore._passed_on(strategy(), count)
    asked.append(next(search_))
    asked.append(search_.send([child]))
    with pytest.raises(StopIteration):
        search_.send([child.judged((0.5,))])
    assert asked == [Expand([root]), Judge([child])]
    assert heard == [[child], [child.judged((0.5,))]]
    assert count.tokens == 1


# -- the picture -------------------------------------------------------------------------------------------------------


def test_every_strategy_is_in_a_frame_of_its_kind(benchmark_module: Import) -> None:
    drawn = benchmark_module("strategies_figures")
    verifiers = {name: "nano-prm" if search.strategy(name).needs_scores else None for name in search.general_names()}
    shown = drawn.panels(dict.fromkeys([*verifiers.items(), ("weighted", "certainty:mean"), ("new", None)]))
    assert shown.pop(drawn.BY_VERIFIER) == [("weighted", "certainty:mean"), ("new", None)]
    assert {name for names in shown.values() for name, _ in names} == set(search.general_names()) - set(drawn.HIDDEN)


def test_a_picture_is_drawn_where_matplotlib_is(benchmark_module: Import, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    drawn = benchmark_module("strategies_figures")
    rows = [
        {"strategy": name, "verifier": "nano-prm", "n": n, "early_stop": None, "accuracy": n / 10, "wall_s": n}
        for name in ("weighted", "beam")
        for n in (1, 4)
    ]
    failed = {"strategy": "dvts", "verifier": "nano-prm", "n": 4, "early_stop": None}
    path = drawn.draw({"rows": [*rows, failed], "plan": {"widths": [1, 4]}, "problems": 2}, tmp_path)
    assert path.name == "strategies.svg"
    assert path.stat().st_size > 5000

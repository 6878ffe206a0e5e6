"""What is left to do goes to the right worker, and the local crews do it."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from bench_runs import plan_of, scripted, write_recipe, write_task

from edgesearch.bench.crew import Crew, LocalCrew, RecordedCrew, Taken, Todo, Tried
from edgesearch.bench.station import Order, Station
from edgesearch.bench.units import Plan

GRID = 'engines = "small"\nstrategy = "majority"\nn = [1, 2, 4]\nbudget_s = 1.0'


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    write_task(tmp_path, ["one", "two"])
    return plan_of(write_recipe(tmp_path, grid=GRID))


@pytest.fixture
def todo(plan: Plan) -> Todo:
    return Todo(plan, plan.groups, frozenset())


def names(taken: Taken | None) -> tuple[int, str]:
    assert taken is not None
    return taken.unit.cell.n, taken.unit.sample.id


# -- what is left to do ------------------------------------------------------------------------------------------------


def test_a_single_worker_goes_by_the_order_of_the_recipe(todo: Todo):
    seen, number = [], None
    while (taken := todo.take(number)) is not None:
        number = taken.number
        seen.append(names(taken))
    assert seen == [(n, sample) for n in (1, 2, 4) for sample in ("p0", "p1")]
    assert len(todo) == 0


def test_several_workers_begin_with_a_group_each(todo: Todo):
    held: list[int] = []
    for _ in range(3):
        taken = todo.take(None, held)
        assert taken is not None
        held.append(taken.number)
    assert held == [0, 1, 2]


def test_a_worker_goes_on_with_the_engine_that_it_has(todo: Todo):
    assert names(todo.take(2)) == (4, "p0")
    assert names(todo.take(2, [0, 1])) == (4, "p1")


def test_where_everybody_is_at_something_the_longest_queue_for_each_is_shared(todo: Todo):
    assert names(todo.take(0)) == (1, "p0")  # the first group has one left, the others two
    assert names(todo.take(None, [0, 1, 2])) == (2, "p0")
    assert names(todo.take(None, [0, 1, 1, 2])) == (4, "p0")


def test_a_group_without_units_is_nobodys_choice(todo: Todo):
    for _ in range(2):
        todo.take(0)
    assert names(todo.take(0, [])) == (2, "p0")


def test_what_is_put_back_comes_next(todo: Todo):
    first = todo.take()
    assert first is not None
    assert len(todo) == 5
    todo.put_back(first)
    assert (len(todo), todo.num_left(0)) == (6, 2)
    assert names(todo.take()) == names(first)


def test_what_is_done_is_not_to_do(plan: Plan):
    done = {unit.key for unit in plan.units(plan.groups[0])}
    todo = Todo(plan, plan.groups, done)
    assert (len(todo), todo.num_left(0)) == (4, 0)


# -- crews -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_local", [True, False])
def test_a_crew_that_is_cancelled_before_it_begins_does_nothing(tmp_path: Path, plan: Plan, is_local: bool):
    crew: Crew = LocalCrew(scripted(tmp_path)) if is_local else RecordedCrew()
    crew.cancel()
    assert list(crew.work(Todo(plan, plan.groups, frozenset()))) == []


def shared_todo(folder: Path, *problems: str, concurrent: int) -> Todo:
    write_task(folder, problems)
    engine = f'id = "small"\nkind = "gguf"\nsolver = "nano"\nverifier = "none"\nconcurrent = {concurrent}'
    plan = plan_of(write_recipe(folder, f"[[engines]]\n{engine}\n\n[[grid]]\n{GRID}"))
    return Todo(plan, plan.groups, frozenset())


class Watched(Station):
    """Knows how many orders were under way at each beginning."""

    def __init__(self, *options: Any) -> None:
        super().__init__(*options)
        self.together: list[int] = []

    def begin(self, order: Order) -> int:
        self.together.append(len(self._sent) + 1)
        return super().begin(order)


def test_a_local_crew_has_as_many_units_under_way_as_share_the_engine(tmp_path: Path):
    crew = LocalCrew(scripted(tmp_path))
    crew._station = station = Watched(scripted(tmp_path))
    tried = [
        each for each in crew.work(shared_todo(tmp_path, "a", "b", "c", "d", concurrent=3)) if isinstance(each, Tried)
    ]
    assert len({each.taken.unit.key for each in tried}) == len(tried) == 12
    assert station.together == [1, 2, 3, 3] * 3  # another engine is loaded when nothing is under way


def test_units_that_lost_their_worker_together_are_tried_again_one_by_one(tmp_path: Path):
    todo = shared_todo(tmp_path, "a", "crash", "c", "d", concurrent=3)
    crew = LocalCrew(scripted(tmp_path))
    crew._station = station = Watched(scripted(tmp_path))
    num_lost: Counter[str] = Counter()
    for report in crew.work(todo):
        if isinstance(report, Tried) and report.attempt.lost:
            num_lost[report.taken.unit.sample.id] += 1
            if num_lost[report.taken.unit.sample.id] % 2:
                todo.put_back(report.taken)
    assert num_lost["p1"] == 6  # in each of the three cells: once among others, once alone
    assert max(num_lost[name] for name in ("p0", "p2", "p3")) <= 3
    assert station.together.count(1) >= 3 * 3


def test_a_local_crew_tells_what_came_of_each_unit(tmp_path: Path, plan: Plan, todo: Todo):
    tried = [report for report in LocalCrew(scripted(tmp_path)).work(todo) if isinstance(report, Tried)]
    assert len(tried) == plan.num_units
    assert all(each.attempt.solved is not None for each in tried)
    assert [each.attempt.load_s > 0 for each in tried] == [True, False] * 3  # a group, an engine


def graded_by(grader: str, plan: Plan) -> Todo:
    return Todo(dataclasses.replace(plan, task=dataclasses.replace(plan.task, grader=grader)), plan.groups, frozenset())


def under_way_when_told(todo: Todo, folder: Path) -> list[int]:
    """For each unit of a local crew, how many others were under way when it was told."""
    crew = LocalCrew(scripted(folder))
    crew._station = station = Watched(scripted(folder))
    return [len(station._sent) for report in crew.work(todo) if isinstance(report, Tried)]


def test_the_worker_has_the_next_three_units_while_one_is_graded_by_numbers_alone(tmp_path: Path, plan: Plan):
    assert under_way_when_told(graded_by("answer-1", plan), tmp_path) == [1, 0] * 3
    write_task(tmp_path, list("abcdef"))
    longer = plan_of(write_recipe(tmp_path))
    assert under_way_when_told(graded_by("answer-1", longer), tmp_path)[:6] == [3, 3, 3, 2, 1, 0]


@pytest.mark.parametrize("grader", ["math-1", "python-1"])
def test_nothing_is_solved_while_a_unit_is_graded_in_other_processes(tmp_path: Path, plan: Plan, grader: str):
    assert under_way_when_told(graded_by(grader, plan), tmp_path) == [0, 0] * 3


def test_a_unit_that_lost_its_worker_is_told_before_another_is_begun(tmp_path: Path):
    write_task(tmp_path, ["a", "crash", "c"])
    plan = plan_of(write_recipe(tmp_path))
    assert under_way_when_told(graded_by("answer-1", plan), tmp_path) == [2, 0, 0]


def test_what_ended_before_a_cancellation_is_told_and_what_was_begun_meanwhile_is_not(tmp_path: Path, plan: Plan):
    crew, told = LocalCrew(scripted(tmp_path)), []
    for report in crew.work(graded_by("answer-1", plan)):
        if isinstance(report, Tried):
            told.append(report.taken.unit.sample.id)
            crew.cancel()
    assert told == ["p0"]

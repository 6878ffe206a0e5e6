"""A station loads what it is ordered to, keeps it, and loses its worker without losing its head."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from bench_runs import QUICK, plan_of, scripted, write_recipe, write_task

from edgesearch.bench.messages import Load
from edgesearch.bench.recipe import GgufEngine
from edgesearch.bench.station import Attempt, Order, Station
from edgesearch.errors import ContextOverflow, EndpointError


def orders(folder: Path, *problems: str, n: str = "4") -> list[Order]:
    write_task(folder, problems)
    grid = f'engines = "small"\nstrategy = "majority"\nn = {n}\nbudget_s = 0.5'
    plan = plan_of(write_recipe(folder, grid=grid))
    return [Order.of(group, unit) for group in plan.groups for unit in plan.units(group)]


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    station = Station(scripted(tmp_path), QUICK)
    yield station
    station.close()


def test_an_order_survives_the_line_and_holds_no_target(tmp_path: Path):
    (order,) = orders(tmp_path, "one")
    line = json.dumps(order.as_json())
    assert Order.from_json(json.loads(line)) == order
    assert '"target"' not in line


def test_an_attempt_survives_the_line(tmp_path: Path, station: Station):
    (order,) = orders(tmp_path, "one")
    solved = station.attempt(order)
    for attempt in (solved, Attempt(error="too long"), Attempt(lost="it crashed", is_loading=True, load_s=1.0)):
        assert Attempt.from_json(json.loads(json.dumps(attempt.as_json()))) == attempt


@pytest.mark.parametrize("parts", [{}, {"error": "a", "lost": "b"}])
def test_an_attempt_has_one_result(parts: Any):
    with pytest.raises(ValueError, match="exactly one"):
        Attempt(**parts)


def test_an_engine_is_loaded_once_for_its_orders_and_again_for_another(tmp_path: Path, station: Station):
    found = [station.attempt(order) for order in orders(tmp_path, "one", "two", n="[2, 4]")]
    assert [attempt.load_s > 0 for attempt in found] == [True, False, True, False]
    assert station.holds(Load(GgufEngine("small", "nano", "none"), 4))
    assert not station.holds(Load(GgufEngine("small", "nano", "none"), 2))


def test_a_worker_that_is_lost_is_replaced_at_the_next_order(tmp_path: Path, station: Station):
    lost, found = (station.attempt(order) for order in orders(tmp_path, "exit", "one"))
    assert "exit code 3" in lost.lost
    assert (lost.is_loading, found.solved is not None, found.load_s > 0) == (False, True, True)


def test_a_worker_that_is_lost_while_it_loads_is_told_apart(tmp_path: Path):
    (order,) = orders(tmp_path, "one")
    with closing(Station(scripted(tmp_path, "crash"))) as station:
        attempt = station.attempt(order)
    assert (attempt.is_loading, bool(attempt.lost)) == (True, True)


def test_what_cannot_be_loaded_and_an_endpoint_that_fails_are_errors(tmp_path: Path, station: Station):
    (order,) = orders(tmp_path, "away")
    with pytest.raises(EndpointError):
        station.attempt(order)
    with closing(Station(scripted(tmp_path, "refuse"))) as refusing, pytest.raises(ContextOverflow):
        refusing.attempt(order)


def test_a_station_that_was_ended_loses_every_attempt(tmp_path: Path, station: Station):
    (order,) = orders(tmp_path, "one")
    station.end()
    assert station.attempt(order).lost


def test_orders_under_way_together_are_finished_one_by_one(tmp_path: Path, station: Station):
    numbers = [station.begin(order) for order in orders(tmp_path, "one", "long", "two")]
    found = dict(each for _ in numbers for each in station.finish())
    assert found.keys() == set(numbers)
    assert [found[number].solved is not None for number in numbers] == [True, False, True]
    assert [found[number].load_s > 0 for number in numbers] == [True, False, False]


def test_a_worker_that_is_lost_loses_all_that_is_under_way(tmp_path: Path, station: Station):
    one, *rest = [station.begin(order) for order in orders(tmp_path, "one", "exit", "two")]
    assert [number for number, _ in station.finish()] == [one]
    lost = station.finish()
    assert [number for number, _ in lost] == rest
    assert all("exit code 3" in attempt.lost and not attempt.is_loading for _, attempt in lost)
    (order,) = orders(tmp_path, "three")
    assert station.attempt(order).solved is not None

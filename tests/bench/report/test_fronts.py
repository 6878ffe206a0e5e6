"""Pareto fronts, against their definition."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st
from made_reports import SETTINGS, point

from edgesearch.bench.report.fronts import front, fronts
from edgesearch.bench.report.model import Estimate, Point, Spread

MADE = point(SETTINGS[0])


def made(name: str, seconds: float, accuracy: float) -> Point:
    spread = Spread(seconds, seconds, seconds)
    return dataclasses.replace(MADE, id=name, wall_s=spread, accuracy=Estimate(accuracy, 0.0, 1.0))


def beats(one: Point, other: Point) -> bool:
    is_no_worse = one.accuracy.value >= other.accuracy.value and one.wall_s.mean <= other.wall_s.mean
    is_better = one.accuracy.value > other.accuracy.value or one.wall_s.mean < other.wall_s.mean
    return is_no_worse and is_better


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_a_point_is_on_the_front_exactly_where_no_other_beats_it(pairs: list[tuple[int, int]]):
    points = [made(f"p{number}", float(cost), right / 5) for number, (cost, right) in enumerate(pairs)]
    unbeaten = {each.id for each in points if not any(beats(other, each) for other in points)}
    found = front(points, "wall_s").points
    assert set(found) == unbeaten
    costs = {each.id: each.wall_s.mean for each in points}
    assert [costs[name] for name in found] == sorted(costs[name] for name in found)


def test_a_point_without_a_cost_is_on_no_front_and_an_axis_without_points_has_none():
    free = dataclasses.replace(MADE, id="free", solver_flops=0.0, verifier_flops=0.0, accuracy=Estimate(1.0, 1.0, 1.0))
    found = {each.axis: each.points for each in fronts([MADE, free])}
    assert found["flops"] == (MADE.id,)
    assert found["wall_s"] == ("free",)  # as cheap and more right
    assert "joules" not in found

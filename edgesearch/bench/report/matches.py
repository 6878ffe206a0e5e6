"""Small against large at equal cost: the best point of a smaller solver that costs no more than a larger one's point.

Equal in seconds, in FLOPs (the verifier's included), in memory, or in FLOPs with pretraining: there, a small solver may
spend as much more on inference as its pretraining was cheaper, which depends on R, the tokens of inference over those
of pretraining (flops.py, arXiv 2408.03314). That comparison is with the large one's greedy answer, as in the paper, and
takes FLOPs of the small one's greedy answer as those of one answer. The verifier's pretraining is left out, as there.

The best small point is chosen on the problems that it is then compared on, which makes it look a little better than it
is; the report says so.

Not covered: costs that were not counted.
"""

from collections.abc import Mapping, Sequence

from edgesearch.bench import flops
from edgesearch.bench.report.by_problem import ByProblem
from edgesearch.bench.report.model import Axis, Difference, Match
from edgesearch.bench.report.settings import Setting
from edgesearch.bench.report.solvers import Size, is_larger

BASES: tuple[Axis, ...] = ("wall_s", "flops", "peak_bytes")
Sizes = Mapping[tuple[int, str], Size]


def matches(by_problem: ByProblem, settings: Sequence[Setting], sizes: Sizes) -> list[Match]:
    """A match for each point of an engine that has a smaller one beside it, on each basis that can be told."""
    found: list[tuple[str, int, int | None]] = []
    for large in range(len(settings)):
        smaller = [place for place, each in enumerate(settings) if _is_smaller(each, settings[large], sizes)]
        if smaller:
            found += [
                (basis, large, _best(by_problem, smaller, large, basis)) for basis in _bases(by_problem, smaller, large)
            ]
            found += _with_pretraining(by_problem, settings, sizes, smaller, large)
    pairs = list(dict.fromkeys((small, large) for _, large, small in found if small is not None))
    differences = {(each.first, each.second): each for each in by_problem.differences(pairs)}
    return [_match(by_problem, basis, large, small, differences) for basis, large, small in found]


def _match(
    by_problem: ByProblem, basis: str, large: int, small: int | None, differences: Mapping[tuple[str, str], Difference]
) -> Match:
    target = by_problem.points[large].id
    if small is None:
        return Match(basis, None, target, None)
    name = by_problem.points[small].id
    return Match(basis, name, target, differences.get((name, target)))


def _is_smaller(setting: Setting, large: Setting, sizes: Sizes) -> bool:
    return is_larger(sizes[large.engine], sizes[setting.engine])


def _bases(by_problem: ByProblem, smaller: Sequence[int], large: int) -> list[Axis]:
    """The costs that are known of the large point and of a small one."""
    points = by_problem.points
    return [
        axis
        for axis in BASES
        if points[large].cost(axis) is not None and any(points[place].cost(axis) is not None for place in smaller)
    ]


def _best(by_problem: ByProblem, smaller: Sequence[int], large: int, axis: Axis) -> int | None:
    limit = by_problem.points[large].cost(axis)
    assert limit is not None  # _bases has seen to it
    return _best_within(by_problem, dict.fromkeys(smaller, limit), axis)


def _best_within(by_problem: ByProblem, limits: Mapping[int, float], axis: Axis) -> int | None:
    """The most accurate of the points that keep to their limit, of equals the cheapest."""
    costs = {place: by_problem.points[place].cost(axis) for place in limits}
    within = {place: cost for place, cost in costs.items() if cost is not None and cost <= limits[place]}
    return min(within, key=lambda place: (-by_problem.points[place].accuracy.value, within[place]), default=None)


# ------------------------------------------------------------------------------------------------- with pretraining


def _with_pretraining(
    by_problem: ByProblem, settings: Sequence[Setting], sizes: Sizes, smaller: Sequence[int], large: int
) -> list[tuple[str, int, int | None]]:
    scale = {place: scale_of(settings[place], settings[large], sizes) for place in smaller}
    single = {place: single_flops(by_problem, settings, place) for place in smaller}
    if settings[large].cell.strategy != "greedy":
        return []
    found = []
    for ratio in flops.RATIOS.values():
        limits = {
            place: flops.matched_compute(times, ratio) * one
            for place in smaller
            if (times := scale[place]) is not None and (one := single[place]) is not None
        }
        if limits:
            basis = f"flops with pretraining, R={ratio:g}"
            found.append((basis, large, _best_within(by_problem, limits, "flops")))
    return found


def scale_of(small: Setting, large: Setting, sizes: Sizes) -> float | None:
    """How many times the parameters of one the other has; None where they are not known."""
    few, many = sizes[small.engine].num_params, sizes[large.engine].num_params
    return None if few is None or many is None else many / few


def single_flops(by_problem: ByProblem, settings: Sequence[Setting], place: int) -> float | None:
    """FLOPs of one answer of a point's solver: those of its engine's greedy point; None without one."""
    greedy = (
        by_problem.points[number].cost("flops")
        for number, each in enumerate(settings)
        if each.engine == settings[place].engine and each.cell.strategy == "greedy"
    )
    return next(greedy, None)

"""From what tuning measured to a policy, and to whether choosing by difficulty pays.

`make` gathers the rows of a policy: for all problems, for five bins by the mean score of a few drafts, and for five by
pass@1. `compare` says what choosing a setting is worth at several numbers of seconds, cross-validated in two folds: a
setting is chosen on one half of the problems and its accuracy is taken on the other. Three ways to choose: one setting
for all problems, one for each predicted bin, one for each oracle bin (which no real solve can see).

Seconds are those of the tuning machine, and the first drafts that tell the bin are not added to them: they stay in the
vote.

Not covered: measuring (tuning.py), what a planned solve reaches, which pools several searches (benchmarks).
"""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesearch.bench import difficulty, intervals
from edgesearch.bench.tuning import Setting, Unit
from edgesearch.errors import EdgesearchError
from edgesearch.planner import confidence
from edgesearch.planner.policy import NUM_BINS, Bin, Policy, Row, TunedOn, Weights
from edgesearch.planner.standing import Tally
from edgesearch.tasks.base import Task
from edgesearch.types import Beam, Candidate, Prompt

COSTS = ("decode_passes", "decoded_tokens", "verifier_calls", "verified_tokens", "seconds")
MIN_BINNED = 50
"""Problems below which bins would hold too few to tell settings apart."""
TOLERANCE = 0.005
"""As `Policy.best`: of accuracy."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Problems = Sequence[Mapping[Unit, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True, eq=False)
class Measurements:
    """The lines of all problems as arrays."""

    settings: tuple[Setting, ...]
    rights: Floats
    """(problems, settings) right or not: the mean over seeds."""
    costs: Mapping[str, Floats]
    """By name, (problems, settings), the mean over seeds."""
    pass_at_1: Floats
    """(problems,)"""
    mean_scores: Floats
    """(problems,) of the drafts; NaN where they were not scored, or settled the problem by proof."""

    @classmethod
    def of(cls, problems: Problems) -> "Measurements":
        """Gathers them.

        Raises:
            EdgesearchError: there are no problems.
        """
        if not problems:
            raise EdgesearchError("no problem was measured wholly; run the same command again to go on")
        rows = [unit for unit in problems[0] if unit.kind == "row"]
        settings = tuple(dict.fromkeys(unit.setting for unit in rows))

        def table(name: str) -> Floats:
            units = [[unit for unit in rows if unit.setting == setting] for setting in settings]
            return np.array([[np.mean([lines[u][name] for u in each]) for each in units] for lines in problems])

        return cls(
            settings,
            table("is_right"),
            {name: table(name) for name in COSTS},
            np.array([_pass_at_1(lines) for lines in problems]),
            np.array([_mean_score(lines) for lines in problems]),
        )

    @property
    def is_open(self) -> Bools:
        """(problems,) whether a bin is asked for: the drafts were scored and settled nothing."""
        found: Bools = ~np.isnan(self.mean_scores)
        return found


def _line(lines: Mapping[Unit, Mapping[str, Any]], kind: str) -> Mapping[str, Any] | None:
    return next((line for unit, line in lines.items() if unit.kind == kind), None)


def _pass_at_1(lines: Mapping[Unit, Mapping[str, Any]]) -> float:
    draws = _line(lines, "draws")
    return draws["num_right"] / draws["num"] if draws is not None and draws["num"] else 0.0


def _mean_score(lines: Mapping[Unit, Mapping[str, Any]]) -> float:
    drafts = _line(lines, "drafts")
    if drafts is None or drafts["is_proven"] or drafts["mean_score"] is None:
        return float("nan")
    return float(drafts["mean_score"])


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """The bins of problems: 1 (easiest) to 5, 0 for none."""

    edges: tuple[float, ...]
    predicted: Ints
    """(problems,)"""
    oracle: Ints
    """(problems,)"""


def levels(measured: Measurements) -> Levels:
    """Bins of about the same size; none where too few problems are open."""
    none = np.zeros(len(measured.rights), dtype=np.int64)
    is_open = measured.is_open
    if is_open.sum() < MIN_BINNED:
        return Levels((), none, none)
    scores = measured.mean_scores[is_open]
    edges = tuple(round(float(edge), 6) for edge in np.quantile(scores, [0.8, 0.6, 0.4, 0.2]))
    predicted, oracle = none.copy(), none.copy()
    predicted[is_open] = 1 + (scores[:, None] < np.array(edges)).sum(axis=1)
    oracle[is_open] = difficulty.levels(measured.pass_at_1[is_open], NUM_BINS)
    if set(predicted[is_open]) != set(range(1, NUM_BINS + 1)):  # most scores are equal
        return Levels((), none, oracle)
    return Levels(edges, predicted, oracle)


def make(
    problems: Problems,
    *,
    solver: Weights,
    verifier: Weights | None,
    task: Task,
    seed: int,
    check: str | None,
    left_out: tuple[str, ...] = (),
) -> Policy:
    """The policy that the measurements make.

    Args:
        problems: as measured.
        solver: its file.
        verifier: its file; None without one.
        task: what was measured.
        seed: of the task's problems.
        check: the exact check that answers went through; None for none.
        left_out: ids of problems that were not used.

    Raises:
        EdgesearchError: there are no problems.
    """
    measured = Measurements.of(problems)
    bins = levels(measured)
    everything = np.ones(len(problems), dtype=np.bool_)
    return Policy(
        solver=solver,
        verifier=verifier,
        tuned_on=TunedOn(task.name, task.split, seed, len(problems), task.digest, check, left_out),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        edgesearch=metadata.version("edgesearch"),
        overall=_rows(measured, everything),
        edges=bins.edges,
        bins=_bins(measured, bins.predicted),
        oracle_bins=_bins(measured, bins.oracle),
        calibration=confidence.calibrate([_paths(lines) for lines in problems]),
    )


def _bins(measured: Measurements, of: Ints) -> tuple[Bin, ...]:
    if not of.any():
        return ()
    return tuple(_bin(measured, of == number) for number in range(1, NUM_BINS + 1))


def _bin(measured: Measurements, where: Bools) -> Bin:
    return Bin(int(where.sum()), round(float(measured.pass_at_1[where].mean()), 4), _rows(measured, where))


def _rows(measured: Measurements, where: Bools) -> tuple[Row, ...]:
    return tuple(_row(measured, where, place) for place in range(len(measured.settings)))


def _row(measured: Measurements, where: Bools, place: int) -> Row:
    setting = measured.settings[place]
    rights = measured.rights[where, place]
    # Several seeds of a problem are one observation: its share of right answers.
    is_binary = bool(np.isin(rights, (0, 1)).all())
    interval = (
        intervals.share(rights.astype(bool).tolist())["interval95"]
        if is_binary
        else intervals.mean(rights.tolist())["interval95"]
    )
    costs = {name: measured.costs[name][where, place] for name in COSTS}
    return Row(
        strategy=setting.strategy,
        n=setting.n,
        m=setting.m,
        accuracy=round(float(rights.mean()), 4),
        accuracy_interval=(interval[0], interval[1]),
        p90_decode_passes=round(float(np.quantile(costs["decode_passes"], 0.9)), 2),
        **{name: round(float(values.mean()), 5 if name == "seconds" else 2) for name, values in costs.items()},
    )


# -- the confidence --------------------------------------------------------------------------------------------------


def _paths(lines: Mapping[Unit, Mapping[str, Any]]) -> list[confidence.Path]:
    """The moments of a problem's pools."""
    return [list(_moments(line)) for unit, line in lines.items() if unit.kind == "pool"]


def _moments(pool: Mapping[str, Any]) -> Iterator[confidence.Moment]:
    """How the vote stood after each candidate; ends with a proof."""
    tally = Tally()
    beams = {proof: Beam(Prompt("pooled"), proof=proof) for proof in (None, True, False)}
    places = {stated: place for place, stated in enumerate(pool["answers"])}
    for place, score, proof in pool["candidates"]:
        stated = None if place is None else pool["answers"][place]
        tally.add(Candidate(beams[proof], stated, score))
        standing = tally.standing()
        yield standing, standing.answer is not None and pool["rights"][places[standing.answer]]
        if standing.is_proven:
            return


# -- whether choosing by difficulty pays -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Choice:
    """What one way to choose reaches on problems that it did not choose on."""

    way: str
    """single, predicted or oracle."""
    accuracy: float
    accuracy_interval: tuple[float, float]
    """95%, bootstrap over problems."""
    gain: float
    """Over the single setting, on the same problems."""
    gain_interval: tuple[float, float]
    seconds: float
    """Mean on the tuning machine."""
    chosen: tuple[str, ...]
    """On all problems: the setting, or that of each bin."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The ways at one number of seconds."""

    budget_s: float
    """Settings whose mean seconds over all problems are more, on the tuning machine, are not chosen from."""
    choices: tuple[Choice, ...]


def compare(problems: Problems, budgets_s: Sequence[float] | None = None, seed: int = 0) -> tuple[Compared, ...]:
    """The three ways at each number of seconds, cross-validated in two folds.

    Args:
        problems: as measured.
        budgets_s: by default some round ones from the cheapest setting's seconds to the dearest's.
        seed: of the folds.

    Raises:
        EdgesearchError: there are no problems.
    """
    measured = Measurements.of(problems)
    bins = levels(measured)
    fold = np.random.default_rng(seed).permutation(len(problems)) % 2
    ways: dict[str, Ints] = {"single": np.zeros_like(bins.predicted)}
    if bins.edges:
        ways["predicted"] = bins.predicted
    if bins.oracle.any():
        ways["oracle"] = bins.oracle
    return tuple(
        Compared(budget_s, tuple(_choices(measured, ways, fold, budget_s)))
        for budget_s in (_budgets(measured) if budgets_s is None else budgets_s)
    )


def _budgets(measured: Measurements) -> list[float]:
    means = measured.costs["seconds"].mean(axis=0)
    round_ones = [digit * 10.0**power for power in range(-4, 5) for digit in (1, 2, 5)]
    inside = [each for each in round_ones if means.min() <= each < means.max()]
    return [*inside, float(f"{means.max() * 1.2:.1g}")] if not inside or means.max() > 1.2 * inside[-1] else inside


def _choices(measured: Measurements, ways: Mapping[str, Ints], fold: Ints, budget_s: float) -> Iterator[Choice]:
    single: Floats | None = None
    for way, bins in ways.items():
        places = np.empty(len(fold), dtype=np.int64)
        for tested in (0, 1):
            chosen = _chosen(measured, bins, fold != tested, budget_s)
            places[fold == tested] = [chosen[number] for number in bins[fold == tested]]
        everyone = np.arange(len(fold))
        rights = measured.rights[everyone, places]
        single = rights if single is None else single
        accuracy, gain = intervals.means(np.column_stack([rights, rights - single]))
        final = _chosen(measured, bins, np.ones(len(fold), dtype=np.bool_), budget_s)
        yield Choice(
            way,
            accuracy["value"],
            tuple(accuracy["interval95"]),
            gain["value"],
            tuple(gain["interval95"]),
            round(float(measured.costs["seconds"][everyone, places].mean()), 4),
            tuple(str(measured.settings[place]) for number, place in final.items() if number or len(final) == 1),
        )


def _chosen(measured: Measurements, bins: Ints, where: Bools, budget_s: float) -> dict[int, int]:
    """For each bin the place of its setting, chosen on those problems; problems of no bin take what suits all."""
    means = measured.costs["seconds"][where].mean(axis=0)
    fits = (means <= budget_s) | (means == means.min())
    everyone = _best(measured, where, fits)
    found = {0: everyone}
    for number in range(1, int(bins.max()) + 1):
        inside = where & (bins == number)
        found[number] = _best(measured, inside, fits) if inside.any() else everyone
    return found


def _best(measured: Measurements, where: Bools, fits: Bools) -> int:
    """Of the settings that fit the cheapest that is as accurate as any, but for the tolerance."""
    accuracy, seconds = measured.rights[where].mean(axis=0), measured.costs["seconds"][where].mean(axis=0)
    near = fits & (accuracy >= accuracy[fits].max() - TOLERANCE)
    return int(np.where(near, seconds, np.inf).argmin())

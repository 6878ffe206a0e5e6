"""What budgets.py makes of its rows, with 95% intervals over problems (bootstrap).

* `auto`: accuracy, coverage and seconds at each budget; `rising`: the difference of each to the budget before.
* `fixed`: each fixed setting by itself, and its accuracy by each budget: a solve counts as unanswered where its own
  seconds exceed the budget. Cut off by a real deadline it would hand over the best it has, so this is hard on a setting
  that is too wide for a budget; the narrower ones stand beside it. `rerun`, where it was asked for, is the real thing.
* `against_best`: auto against the fixed setting that is best at that budget. That setting is chosen among many on the
  problems that it is reported on, which favours it. `cross_fitted` does not: the best on one half of the problems is
  taken on the other half, and the other way round.
* `seconds`: the mean seconds in which auto reaches the accuracy of the best fixed setting, over that setting's own.
  Auto's accuracy is interpolated between budgets, linear in the logarithm of its mean seconds, and never falls. All of
  it is taken anew for each resample, but for which setting is the best.
* `confidence`: whether a confidence of 0.8 is right four times in five: the Brier score (mean squared difference of
  confidence and being right; Brier 1950), calibration errors and the reliability table of calibration.py, with all
  answers and without those that an exact check decided; and how many solves that ended by their confidence are right.

Several comparisons are made, and one in twenty 95% intervals misses.
"""

import itertools
import math
import random
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from budgets_plan import Plan, ProblemKey, Setting, row_name
from calibration import calibration
from clock_rows import Row
from numpy.typing import NDArray

from edgesearch.bench import intervals
from edgesearch.bench.report.resamples import Resamples

Figures = dict[str, Any]
Floats = NDArray[np.float64]

UNREACHED = math.inf


class Table:
    """The rows of each setting, problems in the plan's order."""

    def __init__(self, rows: Mapping[str, Row], problems: Sequence[ProblemKey]) -> None:
        """Takes the rows of a checkpoint that holds all."""
        self._rows = rows
        self._problems = problems
        self._kept: dict[str, list[Row]] = {}

    def of(self, setting: Setting) -> list[Row]:
        """All rows of a setting.

        Raises:
            KeyError: one is missing.
        """
        if setting.key not in self._kept:
            self._kept[setting.key] = [self._rows[row_name(setting, problem)] for problem in self._problems]
        return self._kept[setting.key]

    def rights(self, setting: Setting) -> list[bool]:
        """Whether each problem was solved."""
        return [row["is_right"] for row in self.of(setting)]

    def rights_by(self, setting: Setting, budget_s: float) -> list[bool]:
        """The same of what ended within a budget."""
        return [row["is_right"] and row["wall_s"] <= budget_s for row in self.of(setting)]

    def seconds_by(self, setting: Setting, budget_s: float = math.inf) -> list[float]:
        """Wall seconds, at most those of a budget."""
        return [min(row["wall_s"], budget_s) for row in self.of(setting)]


def figures(table: Table, plan: Plan) -> Figures:
    """All but the rerun."""
    found: Figures = {
        "problems": len(plan.problems),
        "auto": [_auto_row(table, setting) for setting in plan.auto()],
        "rising": list(_rising(table, plan)),
        "fixed": [_fixed_row(table, setting, plan) for setting in plan.fixed()],
        "against_best": [_against_best(table, plan, budget_s) for budget_s in plan.budgets_s],
    }
    resamples = Resamples(len(plan.problems))
    found["seconds"] = [_seconds(table, plan, budget_s, resamples) for budget_s in plan.budgets_s]
    found["confidence"] = [_confidence(table.of(setting), setting) for setting in plan.auto()]
    found["confidence_of_all"] = _confidence_of(
        [row for s in plan.auto() if s.budget_s in plan.budgets_s for row in table.of(s)]
    )
    return found


# -- each by itself ------------------------------------------------------------------------------------------------


def _auto_row(table: Table, setting: Setting) -> Figures:
    rows = table.of(setting)
    stops = Counter(row["early_stop"] for row in rows if row["early_stop"] is not None)
    waves = [row["waves"] for row in rows if row["waves"] is not None]
    return {
        "budget_s": setting.budget_s,
        **_costs(table, setting),
        "unanswered": sum(not row["is_answered"] for row in rows),
        "early_stops": dict(stops.most_common()),
        "mean_waves": round(statistics.fmean(waves), 2) if waves else None,
    }


def _costs(table: Table, setting: Setting) -> Figures:
    rows, seconds = table.of(setting), table.seconds_by(setting)
    accuracy = intervals.mean([float(right) for right in table.rights(setting)])
    return {
        "accuracy": accuracy["value"],
        "interval95": accuracy["interval95"],
        "coverage": round(statistics.fmean(row["is_covered"] for row in rows), 4),
        "mean_s": round(statistics.fmean(seconds), 5),
        "median_s": round(statistics.median(seconds), 5),
        "mean_candidates": round(statistics.fmean(row["candidates"] for row in rows), 1),
        "decoded_tokens": round(statistics.fmean(row["decoded_tokens"] for row in rows), 1),
    }


def _rising(table: Table, plan: Plan) -> Iterator[Figures]:
    budgets = sorted(plan.budgets_s)
    for less, more in itertools.pairwise(budgets):
        ours, theirs = (table.rights(Setting("auto", None, budget_s)) for budget_s in (more, less))
        yield intervals.paired(f"{more:g} s", ours, f"{less:g} s", theirs, seed=0)


def _fixed_row(table: Table, setting: Setting, plan: Plan) -> Figures:
    rows = table.of(setting)
    return {
        "name": setting.name,
        "strategy": setting.strategy,
        "n": setting.n,
        **_costs(table, setting),
        "num_cut": sum(row["is_cut"] for row in rows),
        "num_not_as_asked": sum(not row["is_as_asked"] for row in rows),
        "accuracy_by": {
            f"{budget_s:g}": round(statistics.fmean(table.rights_by(setting, budget_s)), 4)
            for budget_s in plan.all_budgets_s
        },
    }


# -- against the best fixed setting --------------------------------------------------------------------------------


def best_fixed(table: Table, plan: Plan, budget_s: float, indices: Sequence[int] | None = None) -> Setting:
    """The fixed setting with the highest accuracy by a budget, the quickest of several, on some of the problems."""
    chosen = range(len(plan.problems)) if indices is None else indices

    def merit(setting: Setting) -> tuple[int, float]:
        rights, seconds = table.rights_by(setting, budget_s), table.seconds_by(setting, budget_s)
        return sum(rights[i] for i in chosen), -sum(seconds[i] for i in chosen)

    return max(plan.fixed(), key=merit)


def _against_best(table: Table, plan: Plan, budget_s: float) -> Figures:
    auto, best = Setting("auto", None, budget_s), best_fixed(table, plan, budget_s)
    ours, theirs = table.rights(auto), table.rights_by(best, budget_s)
    return {
        "budget_s": budget_s,
        "best": best.name,
        "accuracy": round(statistics.fmean(ours), 4),
        "best_accuracy": round(statistics.fmean(theirs), 4),
        "mean_s": round(statistics.fmean(table.seconds_by(auto)), 5),
        "best_mean_s": round(statistics.fmean(table.seconds_by(best, budget_s)), 5),
        **intervals.paired("auto", ours, best.name, theirs, seed=0),
        "cross_fitted": _cross_fitted(table, plan, budget_s, ours),
    }


def _cross_fitted(table: Table, plan: Plan, budget_s: float, ours: Sequence[bool]) -> Figures | None:
    """Auto against what was the best on the other half; None where a half would be empty."""
    parts = halves(len(plan.problems))
    if not all(parts):
        return None
    theirs = [False] * len(plan.problems)
    names = []
    for own, other in (parts, parts[::-1]):
        best = best_fixed(table, plan, budget_s, other)
        names.append(best.name)
        rights = table.rights_by(best, budget_s)
        for i in own:
            theirs[i] = rights[i]
    return intervals.paired("auto", ours, " / ".join(names), theirs, seed=0)


def halves(num_problems: int) -> list[list[int]]:
    """Two halves by lot: every second problem would be one of half the families."""
    drawn = random.Random(0).sample(range(num_problems), num_problems)
    return [sorted(drawn[start::2]) for start in (0, 1)]


def _seconds(table: Table, plan: Plan, budget_s: float, resamples: Resamples) -> Figures:
    """How long auto takes to be as good as the best fixed setting at a budget, over what that one takes."""
    best, autos = best_fixed(table, plan, budget_s), plan.auto()
    columns = [
        *(table.rights(setting) for setting in autos),
        *(table.seconds_by(setting) for setting in autos),
        table.rights_by(best, budget_s),
        table.seconds_by(best, budget_s),
    ]
    values = np.array(columns, dtype=np.float64).T  # (problems, columns)
    ratio = ratio_of(values.mean(axis=0))
    resampled = np.array([ratio_of(means) for means in resamples.totals(values) / len(values)])
    low, high = np.quantile(resampled, (0.025, 0.975), method="nearest")
    return {
        "budget_s": budget_s,
        "best": best.name,
        "accuracy": round(float(values[:, -2].mean()), 4),
        "best_mean_s": round(float(values[:, -1].mean()), 5),
        "ratio": _finite(ratio),
        "interval95": [_finite(float(low)), _finite(float(high))],
        "share_unreached": round(float(np.isinf(resampled).mean()), 4),
        "is_upper_bound": bool(values[:, -2].mean() <= values[:, 0].mean()),
    }


def _finite(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def ratio_of(means: Floats) -> float:
    """Seconds of auto at the other's accuracy over the other's seconds; infinite where it is never reached.

    Args:
        means: auto's accuracies and then its mean seconds, budgets rising; then the other's accuracy and mean seconds.
    """
    num = (len(means) - 2) // 2
    return seconds_at(means[num : 2 * num], means[:num], means[-2]) / float(means[-1])


def seconds_at(seconds: Floats, accuracies: Floats, wanted: float) -> float:
    """When a curve first reaches an accuracy: its first point where it starts there, infinite where it never does."""
    reached, times = np.maximum.accumulate(accuracies), np.maximum.accumulate(seconds)
    place = int(np.argmax(reached >= wanted))
    if reached[place] < wanted:
        return UNREACHED
    if place == 0:
        return float(times[0])
    share = (wanted - reached[place - 1]) / (reached[place] - reached[place - 1])
    return float(times[place - 1] * (times[place] / times[place - 1]) ** share)


# -- confidence ----------------------------------------------------------------------------------------------------


def _confidence(rows: Sequence[Row], setting: Setting) -> Figures:
    stopped = [row["is_right"] for row in rows if row["early_stop"] == "confidence"]
    return {
        "budget_s": setting.budget_s,
        "stopped_by_confidence": intervals.share(stopped) if stopped else None,
        **_confidence_of(rows),
    }


def _confidence_of(rows: Sequence[Row]) -> Figures:
    told = [row for row in rows if row["confidence"] is not None]
    return {
        "num_untold": len(rows) - len(told),
        "num_calibrated": sum(row["is_calibrated"] for row in told),
        "all": _reliability(told),
        "without_proof": _reliability([row for row in told if row["proof"] is None]),
    }


def _reliability(rows: Sequence[Row]) -> Figures | None:
    """Brier score and calibration; None without rows."""
    if not rows:
        return None
    confidences, rights = [row["confidence"] for row in rows], [row["is_right"] for row in rows]
    share = statistics.fmean(rights)
    brier = intervals.mean([(a - b) ** 2 for a, b in zip(confidences, rights, strict=True)])
    return {
        "brier": brier["value"],
        "brier_interval95": brier["interval95"],
        "brier_of_a_constant": round(share * (1 - share), 4),
        **(calibration(confidences, rights, [1] * len(rows)) or {}),
    }


# -- the rerun -----------------------------------------------------------------------------------------------------


def rerun_settings(table: Table, plan: Plan) -> list[Setting]:
    """The best fixed setting of each budget, with that budget."""
    best = {budget_s: best_fixed(table, plan, budget_s) for budget_s in plan.budgets_s}
    return [Setting(each.strategy, each.n, budget_s) for budget_s, each in best.items()]


def rerun(table: Table, plan: Plan) -> list[Figures]:
    """Auto against the best fixed setting as it really runs under the budget."""
    found = []
    for setting in rerun_settings(table, plan):
        auto = table.rights(Setting("auto", None, setting.budget_s))
        rows = table.of(setting)
        found.append(
            {
                "name": setting.name,
                "budget_s": setting.budget_s,
                **_costs(table, setting),
                "unanswered": sum(not row["is_answered"] for row in rows),
                "num_not_as_asked": sum(not row["is_as_asked"] for row in rows),
                "against_auto": intervals.paired("auto", auto, setting.name, table.rights(setting), seed=0),
            }
        )
    return found


# -- output --------------------------------------------------------------------------------------------------------


def lines(found: Figures) -> Iterator[str]:
    """The figures for a reader, line by line."""
    yield f"accuracy against budget, {found['problems']} held-out problems, 95% intervals"
    yield "budget s  accuracy  interval         coverage  mean s  candidates  none  ended early"
    for row in found["auto"]:
        low, high = row["interval95"]
        stops = ", ".join(f"{reason} {count}" for reason, count in row["early_stops"].items())
        yield (
            f"{row['budget_s']:8g}  {row['accuracy']:8.1%}  {low:6.1%} - {high:6.1%}  {row['coverage']:8.1%}  "
            f"{row['mean_s']:6.3f}  {row['mean_candidates']:10.0f}  {row['unanswered']:4}  {stops}"
        )
    for each in found["rising"]:
        yield f"{each['name']}: {_points(each)}"
    yield "fixed setting       accuracy  mean s"
    for row in found["fixed"]:
        told = ", ".join(f"{row[key]} {word}" for key, word in _REMARKS.items() if row[key])
        yield f"{row['name']:18}  {row['accuracy']:8.1%}  {row['mean_s']:6.3f}  {told}".rstrip()
    yield from _comparisons(found)
    yield from _confidences(found)


_REMARKS = {"num_cut": "cut off", "num_not_as_asked": "not as asked"}


def _comparisons(found: Figures) -> Iterator[str]:
    for each in found["against_best"]:
        yield (
            f"{each['budget_s']:g} s: {each['name']}: {_points(each)}; {each['mean_s']:.3f} s and "
            f"{each['best_mean_s']:.3f} s on average"
        )
        if fair := each["cross_fitted"]:
            yield f"    chosen on other problems: {fair['name']}: {_points(fair)}"
    for each in found["seconds"]:
        sign = "at most " if each["is_upper_bound"] else ""
        ratio = "never" if each["ratio"] is None else f"in {sign}{each['ratio']:.2f} of its seconds"
        yield f"{each['budget_s']:g} s: auto reaches the {each['accuracy']:.1%} of {each['best']} {ratio}"
    for each in found.get("rerun", []):
        versus = each["against_auto"]
        yield f"{each['budget_s']:g} s, run with that budget: {versus['name']}: {_points(versus)}"


def _confidences(found: Figures) -> Iterator[str]:
    for row in found["confidence"]:
        if row["all"] is not None:
            stopped = row["stopped_by_confidence"]
            own = f"; {stopped['right']} of {stopped['of']} that it ended are right" if stopped else ""
            yield (
                f"confidence at {row['budget_s']:g} s: Brier {row['all']['brier']:.3f} (a constant "
                f"{row['all']['brier_of_a_constant']:.3f}), ECE {row['all']['ece']:.3f}{own}"
            )


def _points(each: Figures) -> str:
    low, high = each["interval95"]
    return f"{100 * each['difference']:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"

"""What strategies.py makes of its rows: the table, and the comparisons with their 95% intervals over problems.

* `rows`: each strategy, verifier and n: accuracy, coverage, tokens, seconds.
* `at_compared_n`: each strategy against the weighted vote of as many samples, on the same problems.
* `hard_half`: on the harder half of the problems (by the share of right ones among samples that have nothing to do with
  those compared), each strategy that grows beams step by step against the weighted vote *at equal seconds*: that vote's
  accuracy, linear in the logarithm of its seconds between two n, at the seconds that the strategy takes. Everything is
  taken anew for each resample of the problems. Where a strategy takes longer than the widest vote, that one stands.
* `rising`: what more samples add.
* `at_one`: whether one beam is one sample, letter by letter.
* `verifiers`: a process reward model against the solver's own certainty, and both together.
* `early_stop`: what ending votes early saves, and whether the answers stay.

Several comparisons are made, and one in twenty 95% intervals misses. Rows with errors or without all their outcomes are
told, and compared with nothing.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from strategies_plan import Plan
from strategies_rows import COSTS, Floats, Row, Rows

from edgesearch import search
from edgesearch.bench import difficulty, intervals
from edgesearch.bench.report.resamples import Resamples, interval

Figures = dict[str, Any]

RIVAL = "weighted"
PRM, CERTAINTY, BOTH = "nano-prm", "certainty:mean", "product:nano-prm,certainty:mean"
RISING = ("majority", "best_of_n", "weighted")
NOT_A_SAMPLE = ("greedy", "budget_forcing")
"""Strategies whose one solution is not what one sample would be: by definition."""


def figures(rows: Rows, plan: Plan) -> Figures:
    """All figures."""
    return {
        "rows": [_row(row) for row in rows.rows.values()],
        "at_compared_n": list(_at_compared_n(rows, plan)),
        "hard_half": _hard_half(rows, plan),
        "rising": list(_rising(rows, plan)),
        "at_one": _at_one(rows),
        "verifiers": list(_verifiers(rows, plan)),
        "early_stop": list(_early_stops(rows)),
    }


def name(row: Row) -> str:
    """For people, such as `beam n=16`."""
    key = row.key
    words = [key.strategy, f"n={key.n}"]
    if key.verifier != PRM:
        words.append(f"by {key.verifier}")
    if key.early_stop is not None:
        words.append(f"early_stop={key.early_stop:g}")
    return " ".join(words)


# -- the table -----------------------------------------------------------------------------------------------------


def _row(row: Row) -> Figures:
    key, done = row.key, row.table["is_done"]
    found: Figures = {
        "strategy": key.strategy,
        "verifier": key.verifier if search.strategy(key.strategy).needs_scores else None,
        "n": key.n,
        "early_stop": key.early_stop,
        "num_errors": row.errors.total(),
        "num_missing": int((~done).sum()) - row.errors.total(),
        "num_cut": row.num_cut,
        "num_narrower": row.num_narrower,
        "errors": dict(row.errors.most_common(3)),
        "warnings": dict(row.warnings.most_common(3)),
    }
    if not done.any():
        return found
    decoded, verified = row.table["decoded_tokens"][done].sum(), row.table["verified_tokens"][done].sum()
    costs = {column: round(float(row.table[column][done].mean()), 4) for column in COSTS}
    return found | {
        **intervals.share(row.table["is_right"][done].tolist() + [False] * row.errors.total()),
        "coverage": round(float(row.table["is_covered"][done].mean()), 4),
        "weighted_vote": round(float(row.table["is_voted"][done].mean()), 4),
        **costs,
        "median_wall_s": round(float(np.median(row.table["wall_s"][done])), 4),
        "verified_per_decoded": round(float(verified / decoded), 4) if decoded else None,
    }


# -- comparisons on all problems -----------------------------------------------------------------------------------


def _paired(ours: Row | None, theirs: Row | None) -> Iterator[Figures]:
    """The difference; nothing where a side is not whole."""
    if ours is not None and theirs is not None:
        rights = (ours.table["is_right"].tolist(), theirs.table["is_right"].tolist())
        yield intervals.paired(name(ours), rights[0], name(theirs), rights[1], seed=0)


def _of(rows: Rows, strategy: str, n: int) -> Row | None:
    return rows.of(strategy, n, verifier=PRM)


def _at_compared_n(rows: Rows, plan: Plan) -> Iterator[Figures]:
    rival = _of(rows, RIVAL, plan.compared_n)
    for strategy in search.general_names():
        if strategy != RIVAL:
            n = 1 if strategy == "greedy" else plan.compared_n
            yield from _paired(_of(rows, strategy, n), rival)


def _rising(rows: Rows, plan: Plan) -> Iterator[Figures]:
    widths = sorted(plan.widths)
    for strategy in RISING:
        pairs = [*zip(widths[1:], widths, strict=False), (widths[-1], widths[0])]
        for more, fewer in dict.fromkeys(pairs):
            yield from _paired(_of(rows, strategy, more), _of(rows, strategy, fewer))


def _verifiers(rows: Rows, plan: Plan) -> Iterator[Figures]:
    for strategy in ("best_of_n", "weighted"):
        for n in sorted(plan.widths)[1:]:
            prm, certainty, both = (rows.of(strategy, n, verifier=each) for each in (PRM, CERTAINTY, BOTH))
            yield from _paired(prm, certainty)
            yield from _paired(both, prm)
            yield from _paired(certainty, _of(rows, "majority", n))


def _at_one(rows: Rows) -> Figures:
    """The share of problems on which one beam of each strategy is one sample, letter by letter."""
    sample = _of(rows, "sample", 1)
    if sample is None:
        return {}
    found = {strategy: _of(rows, strategy, 1) for strategy in search.general_names() if strategy != "sample"}
    return {
        strategy: round(
            float(np.mean([ours == theirs for ours, theirs in zip(row.texts, sample.texts, strict=True)])), 4
        )
        for strategy, row in found.items()
        if row is not None
    }


def _early_stops(rows: Rows) -> Iterator[Figures]:
    for row in rows.rows.values():
        whole = rows.of(row.key.strategy, row.key.n, verifier=row.key.verifier)
        if row.key.early_stop is None or whole is None or not row.is_whole:
            continue
        same = [ours == theirs for ours, theirs in zip(row.answers, whole.answers, strict=True)]
        (paired,) = _paired(row, whole)
        yield {
            **paired,
            "strategy": row.key.strategy,
            "n": row.key.n,
            "early_stop": row.key.early_stop,
            "same_answers": round(float(np.mean(same)), 4),
            "share_stopped": round(float((row.table["decoded_tokens"] < whole.table["decoded_tokens"]).mean()), 4),
            "tokens_saved": round(
                float(1 - row.table["decoded_tokens"].sum() / whole.table["decoded_tokens"].sum()), 4
            ),
            "seconds_saved": round(float(1 - row.table["wall_s"].sum() / whole.table["wall_s"].sum()), 4),
        }


# -- the hard half at equal seconds --------------------------------------------------------------------------------


def _hard_half(rows: Rows, plan: Plan) -> Figures | None:
    """None where no part said which problems are hard, or the rival did not run whole."""
    rivals = [row for n in sorted(plan.widths) if (row := _of(rows, RIVAL, n)) is not None]
    if np.isnan(rows.pass_at_1).any() or len(rivals) < 2:
        return None
    hard = np.flatnonzero(difficulty.levels(rows.pass_at_1, 2) == 2)
    resamples = Resamples(len(hard))
    ours = [_of(rows, strategy, plan.compared_n) for strategy in search.general_names() if _is_guided(strategy)]
    return {
        "problems": len(hard),
        "pass_at_1": round(float(rows.pass_at_1[hard].mean()), 4),
        "pass_at_1_of_all": round(float(rows.pass_at_1.mean()), 4),
        "rival": [_on(row, hard) for row in rivals],
        "rows": [_at_equal_seconds(row, rivals, hard, resamples) for row in ours if row is not None],
    }


def _is_guided(strategy: str) -> bool:
    return search.strategy(strategy).is_stepwise


def _on(row: Row, where: NDArray[np.int64]) -> Figures:
    return {
        "name": name(row),
        "accuracy": round(float(row.table["is_right"][where].mean()), 4),
        "coverage": round(float(row.table["is_covered"][where].mean()), 4),
        "weighted_vote": round(float(row.table["is_voted"][where].mean()), 4),
        "wall_s": round(float(row.table["wall_s"][where].mean()), 4),
    }


def _at_equal_seconds(row: Row, rivals: Sequence[Row], where: NDArray[np.int64], resamples: Resamples) -> Figures:
    sides = (row, *rivals)
    columns = [each.table["is_right"][where] for each in sides] + [each.table["wall_s"][where] for each in sides]
    values = np.column_stack(columns).astype(np.float64)
    drawn = resamples.means(values, np.ones_like(values))
    measured, gaps = _gaps(values.mean(axis=0)[None])[0], _gaps(drawn)
    low, high = interval(gaps)
    found = _on(row, where)
    return found | {
        "rival_at_equal_seconds": round(found["accuracy"] - float(measured), 4),
        "difference": round(float(measured), 4),
        "interval95": [round(low, 4), round(high, 4)],
        "is_beyond_rival": found["wall_s"] > max(_on(each, where)["wall_s"] for each in rivals),
    }


def _gaps(means: Floats) -> Floats:
    """(resamples,) how far the first side is above what the others reach in its seconds.

    Args:
        means: (resamples, 2 * sides) the accuracy of each side, then the seconds of each.
    """
    accuracy, wall_s = np.split(means, 2, axis=1)
    seconds = np.log(wall_s)
    order = np.argsort(seconds[:, 1:], axis=1)  # more samples may have taken less time by chance
    xs, ys = (np.take_along_axis(each[:, 1:], order, axis=1) for each in (seconds, accuracy))
    reached = [np.interp(at, x, y) for at, x, y in zip(seconds[:, 0], xs, ys, strict=True)]
    found: Floats = accuracy[:, 0] - np.array(reached)
    return found

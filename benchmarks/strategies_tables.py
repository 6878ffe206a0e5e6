"""The figures of strategies.py for a reader: Markdown tables and the sentences around them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Figures = Mapping[str, Any]


def overview(figures: Figures) -> Iterator[str]:
    """A line a strategy: its accuracy at every n, and what it takes at the n that strategies are compared at."""
    widths, n = sorted(figures["plan"]["widths"]), figures["compared_n"]
    heads = [*(f"n={each}" for each in widths), f"coverage at {n}", "decoded", "verified", "seconds"]
    yield f"| strategy | {' | '.join(heads)} |"
    yield "|---" * (len(heads) + 1) + "|"
    for (strategy, verifier), rows in _by_strategy(figures["rows"]).items():
        at = rows.get(n) or rows[max(rows)]
        cells = [_percent(rows.get(each), "accuracy") for each in widths]
        cells += [_percent(at, "coverage"), *(_number(at, key, ".0f") for key in ("decoded_tokens", "verified_tokens"))]
        yield f"| {_named(strategy, verifier)} | {' | '.join([*cells, _number(at, 'wall_s', '.3f')])} |"


def table(figures: Figures) -> Iterator[str]:
    """A line a row: everything."""
    yield "| strategy | n | accuracy | coverage | decoded | verified | verified / decoded | seconds | remarks |"
    yield "|---" * 9 + "|"
    for row in figures["rows"]:
        early = "" if row["early_stop"] is None else f", early stop at {row['early_stop']:g}"
        cells = [
            _named(row["strategy"], row["verifier"]) + early,
            str(row["n"]),
            _accuracy(row),
            _percent(row, "coverage"),
            *(_number(row, key, ".0f") for key in ("decoded_tokens", "verified_tokens")),
            _number(row, "verified_per_decoded", ".2f") if row["verifier"] else "",
            _number(row, "wall_s", ".3f"),
            "; ".join(_remarks(row)),
        ]
        yield f"| {' | '.join(cells)} |"


def comparisons(figures: Figures) -> Iterator[str]:
    """The other figures, a line each."""
    yield from _hard_half(figures["hard_half"])
    for title in ("at_compared_n", "rising", "verifiers"):
        yield f"{title}:"
        yield from (f"  {_difference(each)}" for each in figures[title])
    yield "the one solution at n=1 is one sample: " + ", ".join(
        f"{name} {share:.1%}" for name, share in figures["at_one"].items()
    )
    for each in figures["early_stop"]:
        yield (
            f"{each['strategy']} n={each['n']}, early stop at {each['early_stop']:g}: {each['share_stopped']:.1%} "
            f"stopped, {each['tokens_saved']:.1%} of the tokens and {each['seconds_saved']:.1%} of the seconds saved, "
            f"{each['same_answers']:.1%} the same answers, {_points(each)}"
        )
    for each in figures["rescoring"]:
        ratios = (f"{key.removesuffix('_per_decoded')} {value:.2f}" for key, value in each.items() if "_per_" in key)
        yield (
            f"{each['strategy']} n={each['n']}, {each['searches']} searches with solutions of {each['min_steps']} or "
            f"more steps; tokens for each token decoded: {', '.join(ratios)}"
        )
    for target in figures["targets"]:
        mark = "ok  " if target["is_reached"] else "MISS"
        yield f"{mark}  {target['name']}: {target['value']} (target {target['target']})"


def failures(figures: Figures) -> Iterator[str]:
    """What did not run, or did not run as it was asked to."""
    for part, error in figures["failed_parts"].items():
        yield f"part {part} failed: {error}"
    for row in figures["rows"]:
        remarks = [*_remarks(row), *row["errors"]]
        if row["num_errors"] or row["num_missing"] or row["num_narrower"] or row["num_cut"]:
            yield f"{_named(row['strategy'], row['verifier'])} n={row['n']}: {'; '.join(remarks)}"


def _hard_half(found: Figures | None) -> Iterator[str]:
    if found is None:
        yield "no hard half: a part that is needed for it is not whole"
        return
    yield (
        f"hard half: {found['problems']} problems, of whose samples {found['pass_at_1']:.1%} are right (of all: "
        f"{found['pass_at_1_of_all']:.1%})"
    )
    for each in found["rival"]:
        yield f"  {each['name']}: {each['accuracy']:.1%} in {each['wall_s']:.3f} s"
    for each in sorted(found["rows"], key=lambda each: -each["difference"]):
        beyond = ", longer than the widest vote" if each["is_beyond_rival"] else ""
        yield (
            f"  {each['name']}: {each['accuracy']:.1%} in {each['wall_s']:.3f} s{beyond}; the weighted vote in those "
            f"seconds {each['rival_at_equal_seconds']:.1%}, difference {_points(each)}; a weighted vote of its own "
            f"candidates would have {each['weighted_vote']:.1%}"
        )


def _by_strategy(rows: Sequence[Figures]) -> dict[tuple[str, str | None], dict[int, Figures]]:
    """The rows of each strategy and verifier by n, without early stops."""
    found: dict[tuple[str, str | None], dict[int, Figures]] = {}
    for row in rows:
        if row["early_stop"] is None:
            found.setdefault((row["strategy"], row["verifier"]), {})[row["n"]] = row
    return found


def _named(strategy: str, verifier: str | None) -> str:
    return f"`{strategy}`" if verifier in (None, "nano-prm") else f"`{strategy}` by `{verifier}`"


def _accuracy(row: Figures) -> str:
    if "accuracy" not in row:
        return "failed"
    low, high = row["interval95"]
    return f"{row['accuracy']:.1%} ({100 * low:.0f}-{100 * high:.0f})"


def _percent(row: Figures | None, key: str) -> str:
    if row is None:
        return ""
    return f"{row[key]:.1%}" if key in row else "failed"


def _number(row: Figures, key: str, form: str) -> str:
    return format(row[key], form) if row.get(key) is not None else ""


def _remarks(row: Figures) -> Iterator[str]:
    words = {"num_errors": "failed", "num_missing": "did not run", "num_cut": "cut off", "num_narrower": "ran narrower"}
    for key, word in words.items():
        if row[key]:
            yield f"{row[key]} {word}"
    if row["warnings"]:
        yield f"{sum(row['warnings'].values())} with a warning"


def _difference(each: Figures) -> str:
    return f"{each['name']}: {_points(each)}, McNemar p = {each['mcnemar_p']:.2g}"


def _points(each: Figures) -> str:
    low, high = each["interval95"]
    return f"{100 * each['difference']:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"

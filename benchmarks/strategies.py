"""Every strategy at 1, 4, 16 and 64 on the built-in models: accuracy, coverage, tokens, seconds, and what beats what.

    python benchmarks/strategies.py                                # all, two parts at a time
    python benchmarks/strategies.py --record --plot benchmarks/results
    python benchmarks/strategies.py --again beam dvts              # these anew, the others from their stores
    python benchmarks/strategies.py --quick                        # whether it runs, not how well

`recipes/strategies.toml` is run for each seed, in parts (strategies_plan.py), each into a store of its own under
`--stores`. strategies_measure.py says what is made of them, strategies_rescore.py what a verifier without a memory
would have read. The same command goes on where a killed one stopped, and takes what is done from the stores, whatever
has changed in the code since: use `--again` for strategies that changed, or `--fresh`. The stores can be reported as
any other (`edgesearch bench report`), those of one seed together.

Seconds were measured with as many solves side by side as there are `--workers`. Exit codes: 0 done, 1 something failed;
what did is in the result, beside all that did not. Whether the targets are reached is in the result, too.
"""

import argparse
import concurrent.futures
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import strategies_figures
import strategies_measure
import strategies_rescore
import strategies_rows
import strategies_tables
from common import RESULTS, Report, add_record_option
from runner import pool
from strategies_measure import NOT_A_SAMPLE, RISING
from strategies_plan import QUICK, RECIPE, Part, Plan, parts, run_part

from edgesearch import catalog, search
from edgesearch.bench import recipe as recipes
from edgesearch.bench.recipe import Recipe
from edgesearch.errors import EdgesearchError

Figures = dict[str, Any]

MAX_VERIFIED = 1.05
"""Tokens verified for each token decoded, of searches with long solutions."""


def targets(figures: Figures) -> list[Figures]:
    """What is promised, what was measured, and whether it holds."""
    return [
        {"name": name, "value": value, "target": f"{sign} {limit:g}", "is_reached": is_reached}
        for name, value, sign, limit, is_reached in _targets(figures)
    ]


def _targets(figures: Figures) -> Iterator[tuple[str, float, str, float, bool]]:
    if found := figures["hard_half"]:
        best = max(found["rows"], key=lambda each: each["interval95"][0], default=None)
        if best is not None:
            which = f"best of {len(found['rows'])}: {best['name']}"
            name = f"{which} above the weighted vote at equal seconds, hard half, lower end of the interval"
            yield name, best["interval95"][0], ">", 0, best["interval95"][0] > 0
    widths = figures["plan"]["widths"]
    for strategy in RISING:
        name = f"{strategy} n={max(widths)} - {strategy} n={min(widths)}"
        for each in figures["rising"]:
            if each["name"] == name:
                yield f"{name}, lower end of the interval", each["interval95"][0], ">", 0, each["interval95"][0] > 0
    for strategy, share in figures["at_one"].items():
        if strategy not in NOT_A_SAMPLE:
            yield f"{strategy} at n=1 is one sample", share, ">=", 1, share >= 1
    for each in figures["rescoring"]:
        value = each.get("verified_per_decoded")
        if value is not None:
            name = f"{each['strategy']} n={each['n']}, long solutions: verified / decoded"
            yield name, value, "<=", MAX_VERIFIED, value <= MAX_VERIFIED


# -- the run -------------------------------------------------------------------------------------------------------


def _run(todo: Sequence[Part], folder: Path, num_workers: int) -> dict[str, str]:
    """Runs all parts; what went wrong, by the name of the part."""
    folder.mkdir(parents=True, exist_ok=True)
    failed: dict[str, str] = {}
    with pool(num_workers) as workers:
        try:
            futures = {workers.submit(run_part, part, folder): part.name for part in todo}
            for number, future in enumerate(concurrent.futures.as_completed(futures), 1):
                error = future.exception()
                if error is not None:
                    failed[futures[future]] = f"{type(error).__name__}: {error}"
                _log(f"{number} of {len(todo)} parts: {futures[future]} {'failed' if error else 'is done'}")
        except BaseException:
            workers.shutdown(wait=False, cancel_futures=True)
            raise
    return failed


def _figures(args: argparse.Namespace, recipe: Recipe, todo: Sequence[Part], failed: dict[str, str]) -> Figures:
    plan: Plan = args.plan
    rows = strategies_rows.read(recipe, todo, args.stores, failed)
    _log(f"comparing, on {rows.num_problems} problems")
    figures: Figures = {
        "plan": dataclasses.asdict(plan),
        "problems": rows.num_problems,
        "compared_n": plan.compared_n,
        "workers": args.workers,
        "begun": rows.begun,
        "weights_sha256": {model.name: model.sha256 for model in catalog.known()},
        "failed_parts": failed,
        **strategies_measure.figures(rows, plan),
    }
    _log("counting what a verifier without a memory would read")
    figures["rescoring"] = strategies_rescore.figures(recipe, plan)
    return figures | {"targets": [] if args.quick else targets(figures)}


def _forget(todo: Sequence[Part], folder: Path, names: Sequence[str] | None) -> None:
    """Drops the stores of these strategies, or of all."""
    for part in todo:
        strategies = {name for entry in part.recipe.grid for name in entry.strategy}
        if names is None or (strategies <= set(names) and not part.is_difficulty):
            for suffix in ("", "-wal", "-shm", "-lock"):
                Path(f"{part.store(folder)}{suffix}").unlink(missing_ok=True)


def _print(figures: Figures, *, is_markdown: bool) -> None:
    if is_markdown:
        for lines in (strategies_tables.overview(figures), strategies_tables.table(figures)):
            print("\n".join(lines), end="\n\n")
    else:
        _log("\n".join(strategies_tables.table(figures)))
    for line in strategies_tables.comparisons(figures):
        _log(line)
    for line in strategies_tables.failures(figures):
        _log(f"warning: {line}")


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# -- options -------------------------------------------------------------------------------------------------------


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    usual = Plan()
    parser = argparse.ArgumentParser(description="Compare all strategies on the built-in models.")
    add = parser.add_argument
    add("--seeds", type=int, nargs="+", metavar="SEED", help="of problems and draws; default 0 1 2")
    add("--problems", type=int, help=f"for each seed; default {usual.num_problems}")
    add("--n", type=int, nargs="+", metavar="N", help="1 and others of the recipe; default 1 4 16 64")
    add("--workers", type=int, default=2, help="parts at a time; a core each")
    add("--stores", type=Path, help="folder of the stores; default: beside the result")
    add("--again", nargs="+", default=[], metavar="STRATEGY", help="run these anew")
    add("--fresh", action="store_true", help="run all anew")
    add("--as-is", action="store_true", help="run nothing, and report what the stores hold")
    add("--markdown", action="store_true", help="print the tables as Markdown before the JSON line")
    add("--plot", type=Path, metavar="DIR", help="draw the picture there; needs matplotlib")
    add("--quick", action="store_true", help="few problems: whether it runs, not how well")
    add_record_option(parser)
    args = parser.parse_args(arguments)
    if args.workers < 1:
        parser.error("--workers must be at least 1")
    if unknown := set(args.again) - set(search.general_names()):
        parser.error(f"--again: there is no strategy {', '.join(sorted(unknown))}")
    try:
        args.plan = _plan(args)
        args.recipe = recipes.load(RECIPE)
        args.parts = parts(args.recipe, args.plan)
    except (ValueError, EdgesearchError) as error:
        parser.error(str(error))
    args.name = "strategies-quick" if args.quick else "strategies"
    args.stores = args.stores or RESULTS / f"{args.name}.partial"
    return args


def _plan(args: argparse.Namespace) -> Plan:
    given = {
        "seeds": tuple(args.seeds) if args.seeds else None,
        "num_problems": args.problems,
        "widths": tuple(sorted(set(args.n))) if args.n else None,
    }
    usual = QUICK if args.quick else Plan()
    return dataclasses.replace(usual, **{name: value for name, value in given.items() if value is not None})


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark."""
    args = _parse(arguments)
    report = Report(args.name)
    if args.fresh or args.again:
        _forget(args.parts, args.stores, None if args.fresh else args.again)
    try:
        if args.plot:
            strategies_figures.require()  # before an hour of work, not after
        failed = {} if args.as_is else _run(args.parts, args.stores, args.workers)
        figures = _figures(args, args.recipe, args.parts, failed)
    except (RuntimeError, EdgesearchError) as error:
        _log(f"error: {error}")
        return 1
    _print(figures, is_markdown=args.markdown)
    if args.plot:
        _log(f"wrote {strategies_figures.draw(figures, args.plot)}")
    report.close(figures, is_recorded=args.record)
    return 1 if list(strategies_tables.failures(figures)) else 0


if __name__ == "__main__":
    sys.exit(main())

"""Whether the planner knows how long a search takes, and what planning costs.

    python benchmarks/forecast.py --record           # some 15 minutes on two cores; makes a file of 0.7 GB once
    python benchmarks/forecast.py --only cost        # what planning costs alone: a minute, no such file
    python benchmarks/forecast.py --quick            # a tiny model: whether it runs, not how well

Seconds: fixed strategies on a model of 1B shape with random weights (synthetic_gguf.py), which never ends a solution,
so that every draft is as long as `--tokens` says and only the seconds are left to be known. Predicted is what the plan
says of its first wave, measured the solve's own wall time, reading the prompt included. Settings and repeats are
shuffled. `majority` draws only; `weighted` asks a verifier as well, the solver's own certainty, which runs no weights:
what a verifier's weights cost is not part of this. An error is predicted over measured less 1; the target is about the
median of its absolute value for each n.

Cost: the share of a solve's wall time that is spent inside edgesearch/planner on the built-in models, with `auto`. All
functions and methods of that package but generators are wrapped, and the time of the outermost is added up; the
wrapping is part of it, so the truth is a little less. Not covered: measuring the profile of a device, which is part of
loading.

Exit codes: 0 done, 1 something failed. Whether the targets are reached is in the result.
"""

import argparse
import contextlib
import dataclasses
import functools
import importlib
import inspect
import itertools
import pkgutil
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clock_rows import log_targets, target
from common import Report, add_record_option, log

import edgesearch
from edgesearch import planner
from edgesearch.errors import EdgesearchError
from edgesearch.tasks.arithmetic import held_out
from edgesearch.types import Solution

Figures = dict[str, Any]

PARTS = ("seconds", "cost")
STRATEGIES = ("majority", "weighted")
VERIFIER = "certainty:mean"
GENEROUS_S = 3600.0
MAX_ERROR, MAX_COST = 0.1, 0.01


# -- predicted against measured ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Case:
    """One solve."""

    strategy: str
    n: int
    prompt_words: int
    max_tokens: int
    repeat: int


def measure_forecast(path: Path, args: argparse.Namespace) -> Figures:
    """Solves every case and compares."""
    import synthetic_gguf

    words = list(itertools.islice(synthetic_gguf.made_up_words(), max(args.prompts)))
    cases = [
        Case(*each) for each in itertools.product(STRATEGIES, args.n, args.prompts, args.tokens, range(args.repeats))
    ]
    random.Random(args.seed).shuffle(cases)
    with edgesearch.load(str(path), VERIFIER, max_n=max(args.n), max_tokens=max(args.tokens)) as pipeline:
        # Its system prompt would be spelled letter by letter, as this vocabulary has none of its words.
        pipeline._spec = dataclasses.replace(pipeline._spec, system_prompt="")
        _row(pipeline, cases[0], words)  # warms it up
        rows = []
        for number, case in enumerate(cases):
            rows.append(_row(pipeline, case, words))
            log(f"forecast: {number + 1} of {len(cases)}: {told(rows[-1])}")
    return {"tokens": args.tokens, "prompt_words": args.prompts, **forecast_figures(rows), "rows": rows}


def _row(pipeline: Any, case: Case, words: Sequence[str]) -> Figures:
    solution: Solution = pipeline.solve(
        " ".join(words[: case.prompt_words]),
        budget_s=GENEROUS_S,
        strategy=case.strategy,
        n=case.n,
        max_tokens=case.max_tokens,
        seed=case.repeat,
    )
    wave = solution.plan.waves[0] if solution.plan is not None else None
    return dataclasses.asdict(case) | {
        "ran": [solution.strategy.name, solution.strategy.n],
        "predicted_s": None if wave is None else round(wave.predicted_s, 5),
        "measured_s": round(solution.wall_s, 5),
        "prompt_tokens": solution.usage.prompt_tokens,
        "decoded_tokens": solution.usage.decoded_tokens,
    }


def told(row: Figures) -> str:
    """A row for a reader."""
    predicted = "nothing" if row["predicted_s"] is None else f"{row['predicted_s']:.3f} s"
    return (
        f"{row['strategy']} n={row['n']}, {row['prompt_tokens']} + {row['max_tokens']} tokens: {predicted} predicted, "
        f"{row['measured_s']:.3f} s measured"
    )


def forecast_figures(rows: Sequence[Figures]) -> Figures:
    """By n, and within it by strategy, what predictions are off by; and what is not comparable."""
    counted = [row for row in rows if row["predicted_s"] is not None]
    return {
        "solves": len(rows),
        "num_unpredicted": len(rows) - len(counted),
        "num_not_as_asked": sum(row["ran"] != [row["strategy"], row["n"]] for row in rows),
        "num_of_other_length": sum(row["decoded_tokens"] != row["n"] * row["max_tokens"] for row in rows),
        "by_n": [
            {"n": n, **errors([row for row in counted if row["n"] == n])}
            | {name: errors([r for r in counted if (r["n"], r["strategy"]) == (n, name)]) for name in STRATEGIES}
            for n in sorted({row["n"] for row in rows})
        ],
    }


def errors(rows: Sequence[Figures]) -> Figures:
    """The median size of the errors, the median error (its sign tells which way) and the largest; none without rows."""
    found = [row["predicted_s"] / row["measured_s"] - 1 for row in rows]
    if not found:
        return {"of": 0, "median_error": None, "median_signed": None, "max_error": None}
    sizes = [abs(each) for each in found]
    return {
        "of": len(found),
        "median_error": round(statistics.median(sizes), 4),
        "median_signed": round(statistics.median(found), 4),
        "max_error": round(max(sizes), 4),
    }


# -- what planning costs -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Watch:
    """Adds up the time that is spent in wrapped functions; of nested ones the outermost counts."""

    seconds: float = 0.0
    by_name: dict[str, float] = field(default_factory=dict)
    num_calls: int = 0
    _depth: int = 0

    def wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, watched."""

        @functools.wraps(function)
        def watched(*args: Any, **options: Any) -> Any:
            if self._depth:
                return function(*args, **options)
            self._depth = 1
            start = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                spent = time.perf_counter() - start
                self._depth = 0
                self.seconds += spent
                self.num_calls += 1
                self.by_name[name] = self.by_name.get(name, 0.0) + spent

        return watched


@contextlib.contextmanager
def watching(package: Any) -> Iterator[Watch]:
    """Within it all functions and methods of a package are watched, wherever they were imported to."""
    watch, undo = Watch(), contextlib.ExitStack()
    modules = [
        importlib.import_module(f"{package.__name__}.{each.name}") for each in pkgutil.iter_modules(package.__path__)
    ]
    with undo:
        for module in modules:
            for name, value in list(vars(module).items()):
                if getattr(value, "__module__", None) != module.__name__:
                    continue
                where = f"{module.__name__.rpartition('.')[2]}.{name}"
                if inspect.isclass(value):
                    _watch_methods(watch, value, where, undo)
                elif is_watchable(value):
                    _watch_function(watch, value, where, undo)
        yield watch


def is_watchable(value: object) -> bool:
    """Whether it is a function whose call is its whole run."""
    return inspect.isfunction(value) and not inspect.isgeneratorfunction(value)


def _watch_methods(watch: Watch, owner: type, where: str, undo: contextlib.ExitStack) -> None:
    for name, value in list(vars(owner).items()):
        if name.startswith("__") and name.endswith("__"):
            continue  # what a dataclass writes
        own = f"{where}.{name}"
        if isinstance(value, property) and value.fget is not None:
            _put(owner, name, value, property(watch.wrapped(own, value.fget)), undo)
        elif isinstance(value, (classmethod, staticmethod)) and is_watchable(value.__func__):
            _put(owner, name, value, type(value)(watch.wrapped(own, value.__func__)), undo)
        elif is_watchable(value):
            _put(owner, name, value, watch.wrapped(own, value), undo)


def _watch_function(watch: Watch, function: Callable[..., Any], where: str, undo: contextlib.ExitStack) -> None:
    """Replaces it in every module of edgesearch that has it by name."""
    watched = watch.wrapped(where, function)
    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] == edgesearch.__name__:
            for name, value in list(vars(module).items()):
                if value is function:
                    _put(module, name, function, watched, undo)


def _put(owner: Any, name: str, before: object, value: object, undo: contextlib.ExitStack) -> None:
    setattr(owner, name, value)
    undo.callback(setattr, owner, name, before)


def measure_cost(args: argparse.Namespace) -> Figures:
    """The share of the planner at each budget."""
    problems = [sample.problem for sample in held_out(args.seed, args.problems)]
    rows = []
    with edgesearch.load() as pipeline:
        pipeline.solve(problems[0], budget_s=0.5)
        for budget_s in args.budgets:
            rows.append(_cost(pipeline, problems, budget_s))
            log(f"cost: {cost_line(rows[-1])}")
    return {"problems": len(problems), "budgets": rows}


def _cost(pipeline: Any, problems: Sequence[str], budget_s: float) -> Figures:
    wall_s = 0.0
    with watching(planner) as watch:
        for seed, text in enumerate(problems):
            start = time.perf_counter()
            pipeline.solve(text, budget_s=budget_s, seed=seed)
            wall_s += time.perf_counter() - start
    most = sorted(watch.by_name.items(), key=lambda item: -item[1])[:5]
    return {
        "budget_s": budget_s,
        "mean_wall_s": round(wall_s / len(problems), 5),
        "mean_planner_s": round(watch.seconds / len(problems), 6),
        "share": round(watch.seconds / wall_s, 5),
        "mean_calls": round(watch.num_calls / len(problems), 1),
        "most": {name: round(seconds / wall_s, 5) for name, seconds in most},
    }


def cost_line(row: Figures) -> str:
    """A row for a reader."""
    most = ", ".join(f"{name} {share:.2%}" for name, share in row["most"].items())
    return (
        f"budget {row['budget_s']:g} s: {row['share']:.2%} of {row['mean_wall_s']:.3f} s in the planner, "
        f"{row['mean_calls']:.0f} calls: {most}"
    )


# -- the run -------------------------------------------------------------------------------------------------------


def targets(figures: Figures) -> list[Figures]:
    """What is promised, what was measured, and whether it holds."""
    rows = []
    for each in figures.get("seconds", {}).get("by_n", []):
        rows.append(
            target(
                f"n={each['n']}: predicted over measured seconds, median error", each["median_error"], "<=", MAX_ERROR
            )
        )
    for each in figures.get("cost", {}).get("budgets", []):
        rows.append(target(f"share of the planner in a solve of {each['budget_s']:g} s", each["share"], "<=", MAX_COST))
    return rows


def _measure(args: argparse.Namespace) -> Figures:
    figures: Figures = {}
    if "seconds" in args.parts:
        import synthetic_gguf

        with tempfile.TemporaryDirectory() if args.quick else contextlib.nullcontext(None) as folder:
            shape = synthetic_gguf.TINY if args.quick else synthetic_gguf.LLAMA_1B
            path = synthetic_gguf.model_file(shape, "Q4_0", None if folder is None else Path(folder))
            figures["seconds"] = {"shape": shape.name, **measure_forecast(path, args)}
    if "cost" in args.parts:
        figures["cost"] = measure_cost(args)
    return figures


def _print(figures: Figures) -> None:
    for each in figures.get("seconds", {}).get("by_n", []):
        if each["of"]:
            log(
                f"n={each['n']}: predictions are off by {each['median_error']:.1%} (median of {each['of']}), mostly "
                f"{each['median_signed']:+.1%}, at most {each['max_error']:.1%}"
            )
        else:
            log(f"n={each['n']}: nothing was predicted")
    for row in figures.get("cost", {}).get("budgets", []):
        log(cost_line(row))
    log_targets(figures["targets"])


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Compare predicted with measured seconds; measure what planning costs."
    )
    add = parser.add_argument
    add("--only", choices=PARTS)
    add("--n", type=int, nargs="+", metavar="N", help="widths; default 1 4 16")
    add("--prompts", type=int, nargs="+", metavar="WORDS", help="lengths of prompts; default 32 128 384")
    add("--tokens", type=int, nargs="+", metavar="T", help="lengths of solutions; default 16 48")
    add("--repeats", type=int, help="of each case; default 3")
    add("--problems", type=int, help="solved at each budget for the cost; default 30")
    add("--budgets", type=float, nargs="+", metavar="S", help="of the cost, seconds; default 0.25 1 4")
    add("--seed", type=int, default=0, help="of the order, the problems and the draws")
    add("--quick", action="store_true", help="a tiny model, few problems: whether it runs, not how well")
    add_record_option(parser)
    args = parser.parse_args(arguments)
    usual = {
        "n": [1, 4, 16],
        "prompts": [32, 128, 384],
        "tokens": [16, 48],
        "repeats": 3,
        "problems": 30,
        "budgets": [0.25, 1.0, 4.0],
    }
    quick = {"n": [1, 2], "prompts": [8], "tokens": [4], "repeats": 1, "problems": 2, "budgets": [0.2]}
    for name, value in (quick if args.quick else usual).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if min(*args.n, *args.prompts, *args.tokens, args.repeats, args.problems) < 1 or min(args.budgets) <= 0:
        parser.error("counts and lengths must be at least 1, and budgets above 0")
    args.parts = PARTS if args.only is None else (args.only,)
    args.name = "forecast" + (f"-{args.only}" if args.only else "") + ("-quick" if args.quick else "")
    return args


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark."""
    args = _parse(arguments)
    report = Report(args.name)
    try:
        figures = _measure(args)
    except (ImportError, RuntimeError, EdgesearchError) as error:
        log(f"error: {error}")
        return 1
    figures["targets"] = [] if args.quick else targets(figures)
    _print(figures)
    report.close(figures, is_recorded=args.record)
    return 0


if __name__ == "__main__":
    sys.exit(main())
